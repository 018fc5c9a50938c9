from pathlib import Path
from typing import Any

import pytest

from amtss import dvc_status
from amtss.errors import AmtssError


@pytest.mark.parametrize(("differences", "found"), [
    ([], []), ([{"changed outs": {"artifacts/teachers/en": "deleted"}}], []),
    ([{"changed outs": {"artifacts/teachers/en": "not in cache"}}], []),
    ([{"changed deps": {"artifacts/teachers/en": "deleted"}}], []),
    ([{"changed deps": {"artifacts/gate.json": {"teach.en": "modified"}}}],
     ["artifacts/gate.json"]),
    ([{"changed deps": {"amtss/teachers/teach.py": "modified"}},
      {"changed outs": {"artifacts/teachers/en": "modified"}}],
     ["amtss/teachers/teach.py", "artifacts/teachers/en"]),
    (["changed command"], ["changed command"])], ids=str)
def test_results_that_are_merely_missing_here_are_no_changes(differences: list[Any],
                                                             found: list[str]) -> None:
    assert [*dvc_status.changes(differences)] == found


def test_a_folder_without_dvc(tmp_path: Path) -> None:
    with pytest.raises(AmtssError, match=r"^dvc\.lock: expected `dvc status` to succeed, found: "
                                         r"ERROR: you are not inside of a DVC repository.*; fix"):
        dvc_status.status(tmp_path)

import shutil
from pathlib import Path
from typing import Any, cast

import pytest
from support.pipeline import Pipeline, demo
from support.project import ROOT, Project, run
from support.registered import version

from amtss import records, status
from amtss.config.params import load_params
from amtss.errors import AmtssError
from amtss.paths import Layout
from amtss.registry.versions import Version
from amtss.status import State, next_step
from amtss.table import markdown

FIGURES = cast(records.Metrics, {
    "student": {"accuracy": {"average": 90.0}}, "floor": {"accuracy": {"average": 89.5}},
    "measured": {"student": f"{2:016x}"}})
"""Those of version 2."""
DONE: dict[str, State] = {"settings": "done", "data@en": "done", "data@fr": "done"}


def named(number: int, *aliases: str) -> Version:
    made = version(number, en=90.0)
    return Version(**{**vars(made), "aliases": aliases})


@pytest.mark.parametrize(("states", "metrics", "versions", "says"), [
    (dict.fromkeys(DONE, "never run"), None, [], "`dvc repro`, as 3 of 3 stages"),
    (DONE | {"data@fr": "stale"}, FIGURES, [named(2, "champion")], "`dvc repro`, as 1 of 3 "),
    (DONE | {"data@fr": "not here"}, FIGURES, [], "`dvc checkout`"),
    (DONE, None, [], "`dvc checkout`"),
    (DONE, FIGURES, [named(1, "champion")], "`amtss register`, which makes the student a version"),
    (DONE, FIGURES, [named(1, "champion"), named(2, "challenger")], "`amtss promote`"),
    (DONE, FIGURES, [named(1, "champion"), named(2, "previous")], "challenger again"),
    (DONE, FIGURES, [named(2, "champion"), named(3, "challenger")], "`amtss onboard-language")])
def test_what_to_do_next(states: dict[str, State], metrics: records.Metrics | None,
                         versions: list[Version], says: str) -> None:
    assert says in next_step(states, metrics, versions)


def test_stages_of_languages_share_a_row() -> None:
    states: dict[str, State] = DONE | {"data@ko": "stale", "data@pt": "never run",
                                       "validate@en": "stale", "validate@fr": "stale"}
    shown = markdown(status.stage_table(states))
    assert "| settings | done |" in shown
    assert "| data | 2 of 4 done; stale: ko; never run: pt |" in shown
    assert "| validate | stale |" in shown


def test_the_student_in_this_folder() -> None:
    assert status.student_line(None, []) == "The student in this folder has not been evaluated."
    assert status.student_line(FIGURES, [named(1)]) == (
        "The student in this folder: 90.00 points of test accuracy on average, linear floor 89.50; "
        "not registered.")
    assert status.student_line(FIGURES, [named(1), named(2)]).endswith("; version 2.")


def test_a_project_where_nothing_has_run(project: Project, monkeypatch: pytest.MonkeyPatch,
                                         capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(AmtssError, match=r"^dvc\.yaml: expected a file, found none; run `git"):
        status.states(load_params(Path("params.yaml")), Layout(Path()))
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    assert run("status") == 0
    out = capfd.readouterr().out
    assert out.splitlines()[-1] == (
        "Next: `dvc repro`, as 18 of 18 stages are stale or have never run.")
    assert run("versions") == 0
    assert capfd.readouterr().out == "amtss-tiny: no versions yet; `amtss register` makes one\n"
    assert not Path("mlflow.db").exists()


@pytest.mark.slow
def test_states(reproduced: Pipeline, tmp_path: Path) -> None:
    """`dvc status` takes some seconds, so there is one project for all states."""
    pipeline = reproduced.copy(tmp_path)
    layout = Layout(tmp_path)

    def states() -> dict[str, Any]:
        return status.states(load_params(layout.params), layout)

    before = states()
    assert set(before.values()) == {"done"}
    assert {*before} >= {"settings", "data@ko", "teach@multilingual", "score@en", "report"}
    pipeline.set(demo("en", "fr", "ko", "ru", scores=["en", "fr", "ko", "ru"]))
    shutil.rmtree(layout.report)
    (layout.root / "amtss/evaluation/floor.py").write_text("# changed\n")
    after = states()
    assert {name: state for name, state in after.items() if state != before.get(name)} == {
        "settings": "stale", "floor": "stale", "evaluate": "stale", "report": "not here",
        **dict.fromkeys(("data@ru", "validate@ru", "teach@ru", "score@ru"), "never run")}

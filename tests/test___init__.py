import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.project import ROOT
from support.training import LABELS, LANGUAGES, distilled

import amtss


def test_import_is_quick() -> None:
    """No module of the package but itself, and nothing outside of the standard library."""
    code = ("import sys; before = set(sys.modules); import amtss\n"
            "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before}\n"
            "             - sys.stdlib_module_names), 'amtss.errors' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True,
                          cwd=ROOT)
    assert done.stdout == "['amtss'] False\n"


def test_public_names() -> None:
    assert set(amtss.__all__) <= set(dir(amtss))
    for name in amtss.__all__:
        assert getattr(amtss, name).__doc__
    assert re.fullmatch(r"\d+\.\d+\.\d+", amtss.__version__)
    with pytest.raises(AttributeError, match="module 'amtss' has no attribute 'distil'"):
        amtss.distil  # noqa: B018


def test_the_lines_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## From Python\n")[1]
    lines = textwrap.dedent(re.findall(r"(?:^    .*\n|^\n)+", section, re.M)[0])
    assert "amtss.load_student(" in lines
    distilled(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(lines, "README.md", "exec"), {})  # noqa: S102
    first, *answers = capsys.readouterr().out.splitlines()
    assert first == f"{list(LANGUAGES)} {list(LABELS)}"
    assert [answer.split()[0] in LABELS for answer in answers] == [True, True]

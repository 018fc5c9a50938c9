import io
import json
import subprocess
import sys

import pytest
from support.project import ROOT, STAGES, Project, run

from amtss.cli import stages

pytestmark = pytest.mark.slow
HEAVY = ("torch", "transformers", "pandas", "numpy", "datasets", "pyarrow", "great_expectations",
         "matplotlib", "sklearn", "scipy", "dvc", "pydantic", "mlflow", "prefect", "accelerate",
         "onnxruntime", "cleanlab")
"""Without any of them `amtss --help` answers in under half a second."""


def test_help_imports_nothing_heavy() -> None:
    code = ("import sys; sys.argv = ['amtss', '--help']\n"
            "from amtss.cli.main import main\n"
            "try: main()\n"
            f"finally: print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stderr == "[]\n"


def test_reading_files_or_the_registry_imports_no_models(project: Project) -> None:
    code = ("import sys\n"
            "from pathlib import Path\n"
            "from amtss.config.params import load_params\n"
            "from amtss.data import sources\n"
            "from amtss.registry import fetch, promote, versions\n"
            "sources.read(load_params(Path('params.yaml')).data, 'en')\n"
            "print({'torch', 'transformers', 'datasets'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "set()\n"


def test_help_names_every_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out = capfd.readouterr().out
    for command in {stage.split()[0] for stage in STAGES} | {"predict", "preset", "results"}:
        assert f" {command} " in out


def test_every_command_has_help() -> None:
    for command in stages.app.registered_commands:
        assert command.callback is not None
        assert command.callback.__doc__, command.callback.__name__


def test_the_stages_of_the_dag_are_commands() -> None:
    from amtss.config import yaml

    dag = yaml.load((ROOT / "dvc.yaml").read_text())
    commands = {each.callback.__name__ for each in stages.app.registered_commands if each.callback}
    assert set(dag["stages"]) <= commands
    for name, stage in dag["stages"].items():
        assert stage.get("do", stage)["cmd"].split()[:2] == ["amtss", name]


def test_presets_are_listed(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    project.write("params/tiny.yaml", "")
    assert run("preset") == 0
    assert capfd.readouterr().out == "tiny\n"


def test_the_results_are_printed(ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("results") == 0
    assert f"Report: {ready.root / 'artifacts/report/report.html'}" in capfd.readouterr().out


def test_stages_say_nothing_on_stderr(ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
    for stage in STAGES:
        assert run(*stage.split()) == 0
    assert capfd.readouterr().err == ""


def answers(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def test_predict_arguments(ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("predict", "--lang", "fr", "où est le colis", "bonjour") == 0
    first, second = answers(capfd.readouterr().out)
    assert (first["text"], first["lang"], second["text"]) == ("où est le colis", "fr", "bonjour")
    probabilities = first["probabilities"]
    assert isinstance(probabilities, dict)
    assert set(probabilities) == {"pay", "ship", "chat"}
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert first["label"] == max(probabilities, key=lambda label: probabilities[label])


def test_predict_stdin(ready: Project, capfd: pytest.CaptureFixture[str],
                       monkeypatch: pytest.MonkeyPatch) -> None:
    lines = '\ufeff{"text": "hi", "lang": "en"}\nbonjour\n\n{"text": "hi", "pair": "you"}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert run("predict", "--lang", "fr") == 0
    found = answers(capfd.readouterr().out)
    assert [(each["text"], each["lang"]) for each in found] == [
        ("hi", "en"), ("bonjour", "fr"), ("hi", "fr")]


def test_predict_of_the_baseline(ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("predict", "--lang", "fr", "--model", "artifacts/baseline", "bonjour") == 0
    assert len(answers(capfd.readouterr().out)) == 1


def test_predict_nothing(ready: Project, capfd: pytest.CaptureFixture[str],
                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert run("predict", "--lang", "fr") == 0
    assert capfd.readouterr() == ("", "")

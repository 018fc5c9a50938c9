"""params/xnli.yaml and params/ae.yaml are section 3 of the paper, and xnli.yaml runs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.constants import HF_HUB_CACHE
from support import hub
from support.pipeline import Pipeline
from support.project import ROOT, Project, run
from support.warm import programs

from amtss import records
from amtss.config import yaml
from amtss.config.params import load_params
from amtss.config.schema import Params, Student
from amtss.paths import Layout
from amtss.report import paper
from amtss.student import model

XNLI, AE = (load_params(ROOT / "params" / f"{name}.yaml") for name in ("xnli", "ae"))
LANGUAGES = ["ar", "en", "es", "fr", "ru"]
TOKENS = 250_002
"""Of XLM-R's vocabulary."""
UNPINNED = {"almanach/camembert-large"}
"""Hub ids that the presets do not pin to a commit, because we do not know it."""


def parameters(settings: Student, heads: list[str], classes: int) -> int:
    with torch.device("meta"):
        labels = [f"label {index}" for index in range(classes)]
        student = model.build_student(settings, heads, labels, TOKENS, pad=1)
    return student.num_parameters()


def test_the_student_has_the_size_of_table_3() -> None:
    size = parameters(XNLI.student, LANGUAGES, 3)
    assert size == 52_238_215
    assert round(size / 1e6, 1) == paper.TABLE_3["AMTSS-LM-Tiny"] / 1e6 == 52.2
    # X-LM-Tiny has one head; AE's heads have 20 classes.
    assert parameters(XNLI.student, ["all"], 3) == size - 4 * (200 * 200 + 200 + 200 * 3 + 3)
    assert parameters(AE.student, LANGUAGES, 20) == size + 5 * 17 * (200 + 1)


@pytest.mark.parametrize("params", [XNLI, AE], ids=["xnli", "ae"])
class TestSection3:
    def test_training(self, params: Params) -> None:
        for settings in (params.distil, *map(params.training_of, params.teachers)):
            assert (settings.batch_size, settings.learning_rate) == (32, 1e-5)
        assert {params.training_of(name).dropout for name in params.teachers} == {0.01}
        assert {params.training_of(name).epochs for name in params.teachers} == {200}
        assert (params.student.dropout, params.distil.max_epochs) == (0.01, 200)

    def test_teachers(self, params: Params) -> None:
        names = {"XLM-R": "FacebookAI/xlm-roberta-large", "RoBERTa": "FacebookAI/roberta-large",
                 "CamemBERT": "almanach/camembert-large"}
        assert params.report.paper is not None
        results = paper.RESULTS[params.report.paper]
        for code in LANGUAGES:
            candidates = [params.teachers[name].checkpoint for name in params.pool
                          if params.taught_on(name) == (code,)]
            others = [names["XLM-R"]] if code in results.xlmr else []
            assert candidates == [names[results.architecture[code]], *others]
        tiny = params.baseline.teacher
        assert params.teachers[tiny].checkpoint == names["XLM-R"]
        assert list(params.taught_on(tiny)) == LANGUAGES
        assert tiny not in params.pool

    def test_names_of_the_hub_are_pinned_to_commits(self, params: Params) -> None:
        revisions = {(teacher.checkpoint, teacher.revision) for teacher in params.teachers.values()}
        revisions |= {(params.student.tokenizer, params.student.revision)}
        if params.data.hub:
            revisions |= {(params.data.hub, params.data.revision)}
        for name, revision in revisions:
            pattern = "main" if name in UNPINNED else "[0-9a-f]{40}"
            assert re.fullmatch(pattern, revision or ""), name


def sized(**places: Any) -> dict[str, Any]:
    """The preset with small sizes, and with `places` where its data and checkpoints are."""
    values: dict[str, Any] = yaml.load((ROOT / "params" / "xnli.yaml").read_text("utf-8"))
    for key, value in (hub.SIZES | places).items():
        section, last = values, key.split(".")[-1]
        for step in key.split(".")[:-1]:
            section = section[step]
        section[last] = value
    return values


def stages() -> list[str]:
    """The commands that `dvc repro` runs for the preset, in order."""
    teachers = list(XNLI.teachers)
    return ["settings", "sources",
            *(f"{stage} {code}" for stage in ("data", "validate") for code in LANGUAGES),
            "gate", "floor",
            *(f"{stage} {name}" for stage in ("teach", "score") for name in teachers),
            "fetch", "start", "distil", "baseline", "evaluate", "report"]


@pytest.mark.slow
def test_runs_from_the_hubs_cache(project: Project) -> None:
    hub.fill(Path(HF_HUB_CACHE))
    project.write("params.yaml", yaml.dump(sized()))
    for stage in stages():
        assert run(*stage.split()) == 0, stage
    check_results(project.root)
    commits = {name: json.loads(Path(
        f"artifacts/teachers/{name}/teacher.json").read_bytes())["commit"]
        for name in XNLI.teachers}
    assert commits == {name: hub.pinned()[str(teacher.checkpoint)]
                       for name, teacher in XNLI.teachers.items()}


@pytest.mark.slow
@pytest.mark.timeout(1800)  # some forty commands, where other things run too
def test_runs_from_folders_by_dvc(tmp_path: Path) -> None:
    folder = hub.repositories()
    places = {f"teachers.{name}.checkpoint": str(folder / str(teacher.checkpoint))
              for name, teacher in XNLI.teachers.items()}
    places |= {"data.path": str(folder / str(XNLI.data.hub)),
               "student.tokenizer": str(folder / str(XNLI.student.tokenizer))}
    pipeline = Pipeline(tmp_path / "project", sized(**places), programs())
    ran = pipeline.repro()
    assert ["amtss " + stage for stage in stages()] == [
        f"amtss {' '.join(name.split('@'))}" for name in ran]
    check_results(pipeline.root)
    assert pipeline.repro() == []


def check_results(root: Path) -> None:
    """Every teacher has the preset's architecture, and the report shows the paper's figures."""
    teachers = {name: records.teacher(Layout(root), name) for name in XNLI.teachers}
    assert {name: teacher["architecture"] for name, teacher in teachers.items()} == {
        name: hub.KINDS[str(teacher.checkpoint)] for name, teacher in XNLI.teachers.items()}
    assert {tuple(teacher["labels"]) for teacher in teachers.values()} == {hub.LABELS}
    report = (root / "artifacts" / "report" / "report.md").read_text("utf-8")
    for figure in ("90.91", "81.88", "52.2M"):  # Table 1's student in English, X-LM-Tiny; Table 3
        assert figure in report

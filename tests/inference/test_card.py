import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from support.registered import evaluated
from support.training import LABELS, LANGUAGES, Project

from amtss import records
from amtss.inference import card, facts
from amtss.inference.card import Model
from amtss.inference.export import export_onnx
from amtss.inference.facts import Facts


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return evaluated(tmp_path_factory.mktemp("cards"))


@pytest.fixture(scope="module")
def known(project: Project) -> Facts:
    found = facts.known(project.layout, project.layout.student)
    assert found
    return found


def content(known: Facts | None, *codes: str, labels: tuple[str, ...] = LABELS) -> str:
    return card.content(Model("onnx-int8", labels, codes or LANGUAGES, 16, known))


def test_the_metadata_are_the_hubs(project: Project, known: Facts) -> None:
    data = ModelCard(content(known)).data
    accuracy = records.metrics(project.layout)["student"]["accuracy"]
    assert (data.language, data.library_name, data.pipeline_tag) == (
        list(LANGUAGES), "onnx", "text-classification")
    assert {result.dataset_config: result.metric_value for result in data.eval_results} == {
        code: round(accuracy[code], 2) for code in LANGUAGES}
    assert content(known) == content(known)


def test_it_tells_what_was_measured(project: Project, known: Facts) -> None:
    metrics = records.metrics(project.layout)
    text = content(known)
    for code in LANGUAGES:
        row = re.search(rf"^\| {code} \| (\S+) \| (\S+) to (\S+) \| (\S+) \| (\S+) \| (\S+) \|$",
                        text, re.M)
        assert row, code
        assert row.groups() == (
            f"{metrics['student']['accuracy'][code]:.2f}", f"{metrics['student']['low'][code]:.1f}",
            f"{metrics['student']['high'][code]:.1f}",
            *(f"{metrics[name]['accuracy'][code]:.2f}"  # type: ignore[literal-required]
              for name in ("floor", "mixture", "baseline")))
    assert "| ru | 48 | 24 | 24 | 20 | 0 |" in text
    assert "| multilingual | transformer | – | en, fr, ru |" in text
    only = content(known, "fr")
    assert "| fr |" in only
    assert "| ru |" not in only
    assert "| ru |" not in only.partition("## Teachers")[2]


def test_limits_follow_from_the_figures(known: Facts) -> None:
    changed: Facts = json.loads(json.dumps(known))
    for code, student in (("en", 80.0), ("fr", 90.0), ("ru", 89.5)):
        changed["languages"][code]["accuracy"] |= {"student": student, "floor": 90.0}
    texts = changed["languages"]["ru"]["texts"]
    assert texts
    texts |= {"cut": 0.25, "unknown": 0.011}
    limits = content(changed).partition("## Limits")[2]
    assert "below the linear floor in en (-10.00 points), ru (-0.50 points)" in limits
    assert "the first 16 tokens of a text; the rest is cut off: 25.0% of the test texts of ru." in (
        limits)
    assert "unknown are 1.1% of the tokens of test of ru." in limits
    assert "rounded to 8 bits" in limits
    none = content(changed, "fr").partition("## Limits")[2]
    assert "below the linear floor in none of its languages" in none
    assert "does not know" not in none


def test_what_has_not_been_evaluated_says_so() -> None:
    text = content(None)
    assert "had not been evaluated" in text
    assert ModelCard(text).data.eval_results is None


def test_names_are_literal(known: Facts) -> None:
    text = content(known, labels=("a|b", "<script>", "[x](http://y)"))
    assert r"a\|b, \<script\>, \[x\](http:\//y)" in text


def test_its_code_runs(project: Project, known: Facts, tmp_path: Path) -> None:
    to = tmp_path / "onnx"
    export_onnx(project.layout.student, to, "onnx", facts=known)
    code = re.findall(r"```python\n(.*?)```", (to / card.FILE).read_text(), re.S)[0]
    done = subprocess.run([sys.executable, "-c", code.replace("path/to/this/folder", str(to))],
                          capture_output=True, text=True, check=True)
    assert done.stdout.strip() in [f"['{label}']" for label in LABELS]


def test_a_card_may_be_edited(project: Project, tmp_path: Path) -> None:
    from amtss.inference.onnx_predictor import OnnxPredictor

    to = tmp_path / "onnx"
    export_onnx(project.layout.student, to, "onnx")
    (to / card.FILE).write_text("mine")
    assert OnnxPredictor(to).languages == list(LANGUAGES)

"""The whole report from small files of the stages before it."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest
from support.metrics import FIVE, SEVEN, TWENTY, history, metrics, onboarded
from support.page import Page

from amtss import distribution
from amtss.config.schema import Distil, Params, Report, TransformerTeacher
from amtss.data.appendix_a import COUNTS, LABELS
from amtss.errors import AmtssError
from amtss.files import seal, write_json, write_text
from amtss.paths import Layout
from amtss.report import report

pytestmark = pytest.mark.slow
Languages = tuple[str, ...]


def params(languages: Languages = FIVE, beside: Any = "ae") -> Params:
    teachers = {code.replace("-", "_"): TransformerTeacher(languages=(code,)) for code in languages}
    return Params(languages=languages, report=Report(paper=beside), distil=Distil(top_k=1),
                  teachers={**teachers, "multilingual": TransformerTeacher(languages=("all",))})


def write_csv(path: Path, header: str, rows: list[tuple[Any, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def run(root: Path, languages: Languages = FIVE, labels: Languages = LABELS,
        epochs: int = 6) -> Layout:
    """A run's files, as the stages `gate`, `distil`, `baseline` and `evaluate` write them."""
    layout, draw = Layout(root), random.Random(0)
    counts = list(COUNTS.values())
    numbers = {code: dict(zip(labels, counts[i % len(counts)], strict=False))
               for i, code in enumerate(languages)}
    write_json(layout.gate_keys, {"labels": list(labels)})
    write_json(layout.gate / "distribution.json", {
        "labels": labels, "warnings": ["fr: KL 0.45 nats, above 0.25"], "languages": {code: {
            "rows": {"train": 4200, "validation": 720, "test": 1080}, "divergence": 0.123,
            "unlabelled": {"own": 0, "mixed": 0},
            "split_divergence": {"validation": 0.01, "test": 0.02}, "imbalance": 31.5,
            "without_examples": [], "errors": 0, "warnings": 2} for code in languages}})
    write_csv(layout.gate / "labels.csv", "language,split,label,count", [
        (code, split, label, n * share // 100) for code in languages
        for split, share in (("train", 70), ("validation", 12), ("test", 18))
        for label, n in numbers[code].items()])
    write_json(layout.metrics, metrics(languages))
    student = history(languages, epochs)
    write_text(layout.training("distil") / "history.jsonl", lines(student))
    write_text(layout.training("baseline") / "history.jsonl", lines(
        [{"epoch": row["epoch"], "examples": 57_000, "seconds": 30.0, "loss": row["loss"],
          "accuracy": {code: value - 1.1 for code, value in row["accuracy"].items()},
          "average": row["average"], "skill": row["skill"], "best": row["best"]}
         for row in history(languages, 4)]))
    def guess(label: str) -> str:
        return label if draw.random() < 0.86 else draw.choice(labels)
    write_csv(layout.evaluation / "predictions.csv", "language,id,actual,student,baseline", [
        (code, f"{code}-{i}", label, guess(label), guess(label)) for code in languages
        for i, label in enumerate(draw.choices(
            labels, weights=list(numbers[code].values()), k=400))])
    write_csv(layout.evaluation / "suspects.csv", "language,label,rows,count", [
        (languages[0], label, 10, number) for number, label in enumerate(labels)])
    write_csv(layout.evaluation / "coverage.csv", "language,coverage,error", [
        (code, f"{share}.00", f"{share / 8:.2f}") for code in languages
        for share in range(10, 101, 10)])
    for folder in sealed(layout):
        seal(folder)
    return layout


def sealed(layout: Layout) -> tuple[Path, ...]:
    """The folders that the report reads."""
    return (layout.gate, layout.evaluation, layout.training("distil"), layout.training("baseline"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = run(tmp_path_factory.mktemp("run"))
    report.report(params(), layout)
    return layout


def html(layout: Layout) -> str:
    return (layout.report / "report.html").read_text(encoding="utf-8")


def test_html_refers_to_nothing_outside(finished: Layout) -> None:
    page = Page(html(finished))
    anchors = {link[1:] for link in page.links if link.startswith("#")}
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert anchors <= set(page.ids)
    assert len(anchors) == 8
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "url(" not in html(finished)
    assert "@import" not in html(finished)
    assert "http" not in page.text


def numbers(languages: Languages) -> list[str]:
    """Every number the report must hold, as it is printed."""
    given, epochs = metrics(languages), history(languages)
    models = [given["student"], given["baseline"], given["mixture"], given["floor"],
              *given["teachers"].values()]
    columns = ("average", *languages)
    return [
        *(f"{model[key][code]:.2f}" for model in models for code in languages
          for key in ("accuracy", "macro_f1", "ece", "low", "high") if code in model[key]),
        *(f"{given[key]['accuracy']['average']:.2f}" for key in (
            "student", "baseline", "mixture", "floor")),
        *(f"{given['paired'][code]['difference']:+.2f}" for code in columns),
        *(f"{training['examples']:,}" for training in given["cost"].values()),
        *(f"{training['seconds']:,.1f}" for training in given["cost"].values()),
        *(" ".join(str(languages.index(code)) for code in sorted(languages, key=row["rank"].get))
          for row in epochs),
        "4.0M", "16.0 MB", "0.35", "0.65",
    ]


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_every_number_is_in_it(finished: Layout, name: str) -> None:
    text = (finished.report / name).read_text(encoding="utf-8")
    assert [number for number in numbers(FIVE) if number not in text] == []
    assert "89.93" in text  # the paper's English student on AE
    assert "Table 2" in text
    assert "no language has been onboarded" in text
    assert "fr: KL 0.45 nats" in text
    assert "points below X-LM-Tiny on average" in text


def test_the_best_teacher_is_bold(finished: Layout) -> None:
    assert "<strong>teacher multilingual</strong>" in html(finished)
    assert "**teacher multilingual**" in (finished.report / "report.md").read_text(encoding="utf-8")


def test_markdowns_pictures_lie_beside_it(finished: Layout) -> None:
    names = {path.name for path in (finished.report / "figures").iterdir()}
    assert names == {"labels.png", "learning.png", "margins.png", "weights.png", "cost.png",
                     "coverage.png",
                     *(f"confusion-{code}.png" for code in FIVE)}
    text = (finished.report / "report.md").read_text(encoding="utf-8")
    assert all(f"](figures/{name})" in text for name in names)


@pytest.mark.parametrize(("beside", "present", "absent"), [
    ("xnli", ["90.91", "Table 1", "550M"], ["89.93"]),
    ("ae", ["89.93", "Table 2", "550M"], ["90.91"]),
    (None, ["Table 1"], ["90.91", "89.93", "550M", "Paper:"]),
])
def test_the_papers_figures_are_those_asked_for(tmp_path: Path, beside: str | None,
                                                present: list[str], absent: list[str]) -> None:
    layout = run(tmp_path, ("ar", "en"), ("no", "yes"))
    report.report(params(("ar", "en"), beside), layout)
    text = (layout.report / "report.md").read_text(encoding="utf-8")
    assert [word for word in present if word not in text] == []
    assert [word for word in absent if word in text] == []


def test_twenty_languages(tmp_path: Path) -> None:
    layout = run(tmp_path, TWENTY)
    report.report(params(TWENTY), layout)
    text = html(layout)
    Page(text)
    assert [number for number in numbers(TWENTY) if number not in text] == []


def test_one_language_two_labels_one_epoch(tmp_path: Path) -> None:
    layout = run(tmp_path, ("ko",), ("no", "yes"), epochs=2)
    report.report(params(("ko",), None), layout)
    Page(html(layout))


def test_the_same_files_give_the_same_report(finished: Layout, tmp_path: Path) -> None:
    layout = run(tmp_path)
    report.report(params(), layout)
    assert html(layout) == html(finished)


def test_a_second_report_replaces_the_first(tmp_path: Path) -> None:
    layout = run(tmp_path, ("ar", "en"), ("no", "yes"))
    report.report(params(("ar", "en")), layout)
    report.report(params(("ar",)), layout)
    assert not (layout.report / "figures" / "confusion-en.png").exists()
    assert [path.name for path in layout.report.parent.glob(".report*")] == []


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    layout = run(tmp_path, ("ko",), (
        "<script>alert(1)</script>", "a|b $x_{$", "[click](http://x)"))
    report.report(params(("ko",)), layout)
    page = Page(html(layout))
    assert "script" not in page.tags
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert "[click](http://x)" in page.text
    assert r"\[click\](http:\//x)" in (layout.report / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("path", "stage"), [
    ("metrics.json", "evaluate"), ("evaluation/predictions.csv", "evaluate"),
    ("training/distil/history.jsonl", "distil"), ("training/baseline/history.jsonl", "baseline"),
    ("gate.json", "gate"), ("gate/labels.csv", "gate"), ("gate/distribution.json", "gate"),
])
def test_a_missing_file_names_the_stage_that_makes_it(tmp_path: Path, path: str,
                                                      stage: str) -> None:
    layout = run(tmp_path)
    (layout.artifacts / path).unlink()
    with pytest.raises(AmtssError, match=f"found.*; run `dvc repro {stage}`"):
        report.report(params(), layout)
    assert not layout.report.exists()


@pytest.mark.parametrize(("text", "found"), [
    ("", "found none"), ('{"epoch": 1', "line 1 .*EOF"), ("[]", "line 1 "),
    ("{}", "line 1 epoch: ")])
def test_a_truncated_history_is_refused(tmp_path: Path, text: str, found: str) -> None:
    layout = run(tmp_path)
    write_text(layout.training("distil") / "history.jsonl", text)
    seal(layout.training("distil"))
    with pytest.raises(AmtssError, match=f"{found}.*run `dvc repro distil`"):
        report.report(params(), layout)


def test_metrics_of_other_languages_are_refused(tmp_path: Path) -> None:
    layout = run(tmp_path)
    write_json(layout.metrics, metrics(("ar", "en")))
    with pytest.raises(AmtssError, match="found none of es, fr, ru; run `dvc repro evaluate`"):
        report.report(params(), layout)


def test_confusions_are_the_students(tmp_path: Path) -> None:
    layout = run(tmp_path, ("ko", "pl"), ("no", "yes"))
    write_csv(layout.evaluation / "predictions.csv", "language,id,actual,student,baseline", [
        ("ko", "1", "no", "yes", "no"), ("ko", "2", "yes", "yes", "no"),
        ("pl", "3", "no", "no", "yes")])
    seal(layout.evaluation)
    read = report.read(params(("ko", "pl")), layout)
    assert {code: c.tolist() for code, c in read.confusions.items()} == \
        {"ko": [[0, 1], [0, 1]], "pl": [[1, 0], [0, 0]]}
    assert read.kept["epoch"] == 5
    assert distribution.appendix_a(read.training, read.labels).header == ("Label", "ko", "pl")


@pytest.mark.parametrize("beside", [None, "ae"])
def test_an_onboarding(tmp_path: Path, beside: str | None) -> None:
    layout = run(tmp_path, SEVEN, ("no", "yes"))
    given = onboarded()
    write_json(layout.metrics, given)
    write_text(layout.training("baseline") / "history.jsonl", "")  # as `baseline` writes it
    seal(layout.training("baseline"))
    report.report(params(SEVEN, beside), layout)
    Page(html(layout))
    text = (layout.report / "report.md").read_text(encoding="utf-8")
    assert "Table 4. After onboarding" in text
    assert "Before and after" in text
    assert "Version 3" in text
    assert "no language has been onboarded" not in text
    assert ("77.91" in text) is (beside == "ae")
    assert text.replace("Paper: X-LM-Tiny", "").count("X-LM-Tiny") == 0
    for code, pair in given["paired"].items():
        assert f"| {code} | {given['baseline']['accuracy'][code]:.2f} |" in text
        assert f"{pair['difference']:+.2f}" in text

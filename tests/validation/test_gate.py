import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.training import write_checkpoint

from amtss.config.schema import (
    Data,
    Distil,
    Params,
    Splits,
    Student,
    TeachingOverrides,
    TransformerTeacher,
    Validation,
)
from amtss.data import corpus, demo, holding_out, mixing
from amtss.data.appendix_a import COUNTS, LABELS
from amtss.errors import CheckpointError, DataError
from amtss.paths import SPLITS, Layout
from amtss.validation import expectations
from amtss.validation import gate as data_gate

pytestmark = pytest.mark.slow
NAMES = ("pay", "ship", "chat")
Edit = Callable[[dict[str, list[str]]], None]
"""Changes the labels of each split in place."""


def params_of(*languages: str, labels: tuple[str, ...] | None = None,
              **thresholds: Any) -> Params:
    """A teacher for each language, one for all, one of the first that scores two."""
    teachers = {code: TransformerTeacher(languages=(code,)) for code in languages}
    teachers["multilingual"] = TransformerTeacher(languages=("all",))
    teachers["wide"] = TransformerTeacher(languages=(languages[0],), scores=languages[:2])
    return Params(languages=languages, teachers=teachers, distil=Distil(top_k=1),
                  data=Data(labels=labels),
                  validation=Validation(**thresholds))


class Project:
    """Languages in a folder of their own, written, validated and gated for real."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)

    def write(self, code: str, edit: Edit | None = None,
              labels: tuple[str, ...] | None = None, texts: str = "", mixed: int = 0,
              cut: tuple[str, ...] = ()) -> None:
        """`code`'s corpus and validation: six rows of every label in every split, then `edit`.

        Args:
            mixed: texts up to which training rows are filled up.
            cut: splits that are said to be cut off train.
        """
        splits = {split: [*NAMES] * 6 for split in SPLITS[:3]}
        if edit:
            edit(splits)
        tables = {split: pa.table({
            "id": [f"{code}-{split}-{i}" for i in range(len(rows))],
            "text": [f"{texts} {code} {split} {i}" for i in range(len(rows))],
            "label": rows}) for split, rows in splits.items()}
        tables = mixing.mix(tables, mixed, code, 0)
        corpus.write(self.layout, code, tables, labels, cut)
        expectations.validate(params_of("ab"), self.layout, code)

    def gate(self, params: Params) -> dict[str, Any]:
        """What gate.json says."""
        data_gate.gate(params, self.layout)
        return self.read("../gate.json")

    def read(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.layout.gate / name).read_text())
        return found

    def rows(self, name: str) -> list[list[str]]:
        with open(self.layout.gate / name, newline="", encoding="utf-8") as file:
            return list(csv.reader(file))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def only(label: str) -> Edit:
    """Every row of every split has `label`."""
    def edit(splits: dict[str, list[str]]) -> None:
        for rows in splits.values():
            rows[:] = [label] * len(rows)
    return edit


def only_renamed(label: str) -> Edit:
    """The label `ship` has another name."""
    def edit(splits: dict[str, list[str]]) -> None:
        for rows in splits.values():
            rows[:] = [label if row == "ship" else row for row in rows]
    return edit


def without(label: str, *names: str) -> Edit:
    """Splits without the rows of `label`."""
    def edit(splits: dict[str, list[str]]) -> None:
        for name in names:
            splits[name] = [row for row in splits[name] if row != label]
    return edit


def with_one(label: str, split: str) -> Edit:
    """One row of `label` more at the end of a split."""
    return lambda splits: splits[split].append(label)


def test_like_languages_pass_without_warnings(project: Project) -> None:
    for code in ("ab", "cd"):
        project.write(code)
    assert project.gate(params_of("ab", "cd"))["labels"] == ["chat", "pay", "ship"]
    found = project.read("distribution.json")
    assert found["warnings"] == []
    assert found["languages"]["ab"] == {
        "rows": {"train": 18, "validation": 18, "test": 18},
        "unlabelled": {"own": 0, "mixed": 0},
        "divergence": pytest.approx(0, abs=1e-9), "imbalance": 1.0, "without_examples": [],
        "split_divergence": {"validation": pytest.approx(0, abs=1e-9),
                             "test": pytest.approx(0, abs=1e-9)},
        "errors": 0, "warnings": 0}
    assert "## Warnings\n\n- none\n" in (project.layout.gate / "summary.md").read_text()


def test_the_folder_holds_tables_links_and_a_figure(project: Project) -> None:
    project.write("ab", without("chat", "train", "validation", "test"))
    project.write("cd")
    project.gate(params_of("ab", "cd"))
    assert sorted(path.name for path in project.layout.gate.iterdir()) == [
        "appendix_a.csv", "checksums.json", "distribution.json", "label_distribution.png",
        "labels.csv", "summary.md"]
    assert project.rows("appendix_a.csv") == [
        ["label", "ab", "cd"], ["chat", "0", "18"], ["pay", "18", "18"], ["ship", "18", "18"],
        ["Total", "36", "54"]]
    long = project.rows("labels.csv")
    assert long[0] == ["language", "split", "label", "count"]
    assert long[1:5] == [["ab", "train", "chat", "0"], ["ab", "train", "pay", "6"],
                         ["ab", "train", "ship", "6"], ["ab", "validation", "chat", "0"]]
    assert len(long) == 1 + 2 * 3 * 3
    summary = (project.layout.gate / "summary.md").read_text()
    assert "| ab | 12 | 12 | 12 | 0.182 | 0.000 | 0.000 | 1.0 | 0 |" in summary  # ln 1.2
    assert "| Total | 36 | 54 |" in summary
    for link in ("../validation/cd/validation.md", "../validation/cd/docs/index.html",
                 "label_distribution.png"):
        assert f"({link})" in summary
        assert (project.layout.gate / link).is_file()
    assert (project.layout.gate / "label_distribution.png").read_bytes()[:4] == b"\x89PNG"


def test_labels_of_params_come_first_in_their_order(project: Project) -> None:
    project.write("ab")
    given = ("ship", "pay", "chat")
    assert project.gate(params_of("ab", labels=given))["labels"] == [*given]


def test_the_list_that_the_sources_agree_on_is_taken_in_its_order(project: Project) -> None:
    for code in ("ab", "cd"):
        project.write(code, labels=NAMES)
    assert project.gate(params_of("ab", "cd"))["labels"] == [*NAMES]


def test_a_list_read_from_data_is_all_train_splits_sorted(project: Project) -> None:
    project.write("ab", without("chat", "train", "validation", "test"))
    project.write("cd", without("ship", "train", "validation"))  # its test has ship, ab's train too
    assert project.gate(params_of("ab", "cd"))["labels"] == ["chat", "pay", "ship"]


def test_sources_that_disagree_about_the_list_are_refused(project: Project) -> None:
    project.write("ab", labels=NAMES)
    project.write("cd", labels=("ship", "pay", "chat"))
    with pytest.raises(DataError, match=r"^cd: expected the label list of ab, 3 \(pay, ship, chat"
                                        r"\), found 3 \(ship, pay, chat\); set data\.labels"):
        project.gate(params_of("ab", "cd"))


def test_a_corpus_made_with_another_list_than_params_is_refused(project: Project) -> None:
    project.write("ab", labels=NAMES)
    with pytest.raises(DataError, match=r"^ab: expected the label list of params\.yaml, 2"):
        project.gate(params_of("ab", labels=("pay", "ship")))


def test_one_label_is_nothing_to_classify(project: Project) -> None:
    project.write("ab", only("pay"))
    with pytest.raises(DataError, match=r"expected at least 2 labels in train, found 1 \(pay\)"):
        project.gate(params_of("ab"))


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("labels", [None, (*NAMES, "refund")])
def test_a_label_that_no_train_split_has_is_refused_with_its_row(
        project: Project, split: str, labels: tuple[str, ...] | None) -> None:
    project.write("ab", labels=labels)
    project.write("cd", with_one("refund", split), labels=labels)
    with pytest.raises(DataError, match=rf"^cd/{split}: expected a label that some language's "
                                        rf"train has, found 'refund' at id 'cd-{split}-18'; .*"
                                        r"`dvc repro validate@cd`"):
        project.gate(params_of("ab", "cd"))
    assert not project.layout.gate.exists()
    assert not project.layout.gate_keys.exists()


def test_a_train_label_outside_the_list_of_params_is_refused(project: Project) -> None:
    project.write("ab")
    with pytest.raises(DataError, match=r"^ab/train: expected a label of the list, found 'chat'"):
        project.gate(params_of("ab", labels=("pay", "ship")))


def test_labels_of_two_languages_that_print_alike_are_refused(project: Project) -> None:
    for code, label in (("ab", "envoy\u00e9"), ("cd", "envoye\u0301")):
        project.write(code, only_renamed(label))
    with pytest.raises(DataError, match=r"^all languages: expected labels that do not print alike, "
                                        r"found 'envoye\\u0301' and 'envoy\u00e9'; spell them"):
        project.gate(params_of("ab", "cd"))


def test_labels_of_two_languages_that_differ_in_case_are_a_warning(project: Project) -> None:
    project.write("ab")
    project.write("cd", only_renamed("Ship"))
    project.gate(params_of("ab", "cd"))
    assert "all: labels that may be one: 'Ship' and 'ship'" in project.read(
        "distribution.json")["warnings"]


def test_a_listed_label_without_any_example_is_a_warning(project: Project) -> None:
    for code in ("ab", "cd"):
        project.write(code, labels=(*NAMES, "refund"))
    project.gate(params_of("ab", "cd"))
    assert project.read("distribution.json")["warnings"] == [
        "all: no training example of refund, so it cannot be learnt",
        "ab: 1 warning from its own validation", "cd: 1 warning from its own validation"]


def test_a_label_that_one_language_lacks_is_a_warning(project: Project) -> None:
    project.write("ab", without("chat", "train", "validation", "test"))
    project.write("cd")
    project.gate(params_of("ab", "cd"))
    found = project.read("distribution.json")
    assert found["warnings"] == ["ab: no training example of chat"]
    assert found["languages"]["ab"]["without_examples"] == ["chat"]
    assert "- ab: no training example of chat\n" in (
        project.layout.gate / "summary.md").read_text()


def test_a_language_without_the_unlabelled_split_is_a_warning(project: Project) -> None:
    project.write("ab")
    params = params_of("ab")
    project.gate(params.model_copy(update={"data": Data(splits=Splits(unlabelled="logs"))}))
    assert project.read("distribution.json")["warnings"] == ["ab: no unlabelled split 'logs'"]


def test_splits_that_are_cut_off_train_are_a_warning(project: Project) -> None:
    project.write("ab", cut=("validation", "test"))
    project.write("cd")
    project.gate(params_of("ab", "cd"))
    said = [f"ab: no {split} split in the source; its {6 * len(NAMES)} rows are cut off train"
            for split in ("validation", "test")]
    assert project.read("distribution.json")["warnings"] == said
    assert all(f"- {line}\n" in (project.layout.gate / "summary.md").read_text() for line in said)


def test_mixed_texts_are_told_apart_from_the_source_s_own(project: Project) -> None:
    project.write("ab", mixed=40)
    project.write("cd")
    params = params_of("ab", "cd")
    project.gate(params.model_copy(update={"data": Data(splits=Splits(unlabelled="logs"))}))
    assert project.read("distribution.json")["languages"]["ab"]["unlabelled"] == {
        "own": 0, "mixed": 22}
    assert project.read("distribution.json")["warnings"] == [
        "ab: no unlabelled split 'logs'", "cd: no unlabelled split 'logs'"]
    assert ("Texts without labels, own and mixed from training rows (`data.mixed`): "
            "ab 0 and 22, cd 0 and 0.\n") in (project.layout.gate / "summary.md").read_text()


class TestWithoutLabels:
    def write(self, project: Project, labelled_test: bool) -> None:
        """Two languages with labels, and pt with logs alone, but maybe with a labelled test."""
        project.write("en")
        project.write("fr")
        logs = {"unlabelled": pa.table({"id": [str(i) for i in range(40)],
                                        "text": [f"olá {i}" for i in range(40)],
                                        "label": pa.nulls(40, pa.string())})}
        if labelled_test:
            logs["test"] = pa.table({"id": ["0", "1"], "text": ["a", "b"],
                                     "label": ["pay", "chat"]})
        corpus.write(project.layout, "pt", holding_out.hold_out(logs, "pt", 0), None)
        expectations.validate(params_of("ab"), project.layout, "pt")

    @pytest.mark.parametrize(("labelled_test", "rows", "note"), [
        (True, 2, ""), (False, 0, ", and so is its test")])
    def test_is_no_error_and_said(self, project: Project, labelled_test: bool, rows: int,
                                  note: str) -> None:
        self.write(project, labelled_test)
        params = params_of("en", "fr", "pt")
        teacher = TransformerTeacher(languages=("en", "fr"), scores=("all",))
        project.gate(params.model_copy(update={"teachers": {"multilingual": teacher}}))
        found = project.read("distribution.json")
        assert found["warnings"] == [
            "pt: no labels to learn from; the student learns it from what its teachers answer, and "
            f"its validation is agreement with them{note}"]
        own = found["languages"]["pt"]
        assert own["rows"] == {"train": 0, "validation": 0, "test": rows}
        assert own["divergence"] is own["split_divergence"]["test"] is None
        summary = (project.layout.gate / "summary.md").read_text(encoding="utf-8")
        assert f"| pt | 0 | 0 | {rows} | – | – | – | – | 0 |" in summary

    def test_no_teacher_can_be_taught_on_it(self, project: Project) -> None:
        self.write(project, labelled_test=True)
        with pytest.raises(DataError, match=(
                r"^teachers\.pt\.languages: expected languages with labelled training rows, found "
                r"pt, which has texts without labels alone; ")):
            project.gate(params_of("en", "fr", "pt"))


def test_a_language_far_from_the_mean_is_a_warning(project: Project) -> None:
    for code in ("ab", "cd", "ef"):
        project.write(code, (lambda splits: splits["train"].extend(["pay"] * 80))
                      if code == "ef" else None)
    languages = ("ab", "cd", "ef")
    project.gate(params_of(*languages, warn_language_divergence=0.1))
    warnings = project.read("distribution.json")["warnings"]
    far = [warning for warning in warnings if "mean" in warning]
    assert len(far) == 1
    assert far[0].startswith("ef: its label distribution differs from the mean of all languages")
    before = project.layout.gate_keys.read_bytes()
    project.gate(params_of(*languages, warn_language_divergence=2.0))
    assert not any("mean" in warning for warning in project.read("distribution.json")["warnings"])
    assert project.layout.gate_keys.read_bytes() == before  # thresholds retrain nothing


def test_validation_must_be_there_fresh_and_without_errors(project: Project) -> None:
    project.write("ab", texts="old")
    path = project.layout.validation("ab") / "validation.json"
    kept = path.read_text()
    path.unlink()
    with pytest.raises(DataError, match=r"expected ab's validation, found none; "
                                        r"run `dvc repro validate@ab`"):
        project.gate(params_of("ab"))
    project.write("ab", texts="new")
    path.write_text(kept)
    with pytest.raises(DataError, match=r"expected the validation of corpus \w+, found that of "
                                        r"\w+; run `dvc repro validate@ab`"):
        project.gate(params_of("ab"))
    with pytest.raises(DataError, match="expected at least one row"):
        project.write("ab", lambda splits: splits["test"].clear())
    with pytest.raises(DataError, match=r"expected no errors, found 1; .*`dvc repro validate@ab`"):
        project.gate(params_of("ab"))


def test_a_new_language_changes_only_the_keys_of_teachers_that_read_it(project: Project) -> None:
    for code in ("ab", "cd", "ef"):
        project.write(code)
    before = project.gate(params_of("ab", "cd"))
    after = project.gate(params_of("ab", "cd", "ef"))
    for stage in ("teach", "score"):
        changed = {name for name, key in before[stage].items() if key != after[stage][name]}
        assert changed == {"multilingual"}
        assert all(len(key) == 16 and int(key, 16) >= 0 for key in after[stage].values())
    assert before["student"] != after["student"]


def test_new_texts_change_the_keys_of_those_that_read_them(project: Project) -> None:
    for code in ("ab", "cd"):
        project.write(code)
    before = project.gate(params_of("ab", "cd"))
    project.write("cd", texts="new")
    after = project.gate(params_of("ab", "cd"))
    changed = {(stage, name) for stage in ("teach", "score") for name, key in before[stage].items()
               if key != after[stage][name]}
    assert changed == {("teach", "cd"), ("teach", "multilingual"), ("score", "cd"),
                       ("score", "multilingual"), ("score", "wide")}


def test_another_label_list_changes_every_key(project: Project) -> None:
    project.write("ab")
    before = project.gate(params_of("ab"))
    after = project.gate(params_of("ab", labels=("ship", "pay", "chat")))
    assert not set(before["teach"].values()) & set(after["teach"].values())


def test_the_demo_warns_of_what_appendix_a_is_known_for(project: Project) -> None:
    languages = ("ar", "en", "es", "fr", "ru")
    params = params_of(*languages)
    for code in languages:
        tables = {split: pa.table({key: [getattr(row, key) for row in rows]
                                   for key in ("id", "text", "label")})
                  for split, rows in demo.generate(code).items()}
        corpus.write(project.layout, code, tables, LABELS)
        expectations.validate(params, project.layout, code)
    assert project.gate(params)["labels"] == [*LABELS]
    warnings = project.read("distribution.json")["warnings"]
    assert "en: no training example of route_ae_others" in warnings
    assert [warning[:2] for warning in warnings if "mean" in warning] == ["fr"]
    total = [int(cell) for cell in project.rows("appendix_a.csv")[-1][1:]]
    assert total == pytest.approx([0.04 * sum(COUNTS[code]) for code in languages], rel=0.02)


def test_the_same_corpora_give_the_same_bytes(project: Project) -> None:
    project.write("ab")
    project.gate(params_of("ab"))
    before = {path.name: path.read_bytes() for path in project.layout.gate.iterdir()}
    project.gate(params_of("ab"))
    assert {path.name: path.read_bytes() for path in project.layout.gate.iterdir()} == before


def test_rows_that_a_checkpoint_cuts_are_reported(project: Project) -> None:
    for code in ("en", "fr"):
        project.write(code, texts="library " * 20)
    params = params_of("en", "fr")
    checkpoint = write_checkpoint(project.layout.root / "hub", "roberta")
    teachers = params.teachers | {
        "en": TransformerTeacher(languages=("en",), checkpoint=str(checkpoint),
                                 training=TeachingOverrides(max_length=64))}
    project.gate(params.model_copy(update={"teachers": teachers}))
    summary = (project.layout.gate / "summary.md").read_text()
    warning = (r"- en: 54 of 54 rows \(100\.0%\) are longer than 64 tokens, the max\_length of en, "
               r"and are cut there; raise")
    assert re.search(warning, summary)
    (cut,) = project.read("distribution.json")["lengths"]
    assert (cut["language"], cut["readers"], cut["longer"]) == ("en", ["en"], 54)
    assert f"| {cut['usual']} | {cut['longest']} | 64 | 54 (100.00%) | 0.00% |" in summary
    project.gate(params)
    assert "## Lengths" not in (project.layout.gate / "summary.md").read_text()


def test_the_students_checkpoint_is_looked_up_before_teachers_are_trained(project: Project) -> None:
    project.write("en")
    params = params_of("en").model_copy(update={"student": Student(tokenizer="nobody/nothing")})
    with pytest.raises(CheckpointError, match="nobody/nothing: expected a folder or a copy"):
        project.gate(params)

import contextlib
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.project import SHARED

from amtss.config.schema import Columns, Data, Distil, Params, TransformerTeacher, Validation
from amtss.data import corpus, sources
from amtss.errors import AmtssError, DataError
from amtss.lookalikes import plain
from amtss.paths import Layout
from amtss.validation import expectations
from amtss.validation.labels import divergence

pytestmark = pytest.mark.slow
MASSIVE = SHARED / "massive"
NAMES = ("pay", "ship", "chat")
Row = tuple[str | None, str | None] | tuple[str | None, str | None, str | None]


def split_of(name: str, count: int = 4) -> list[Row]:
    """`count` rows of every label, all texts different."""
    return [(f"{name} {label} {i}", label) for i in range(count) for label in NAMES]


def clean() -> dict[str, list[Row]]:
    return {name: split_of(name) for name in ("train", "validation", "test")}


def table(split: str, rows: list[Row]) -> pa.Table:
    """Rows of (text, label) or (text, label, pair), with ids that name split and row."""
    columns = {"id": [f"{split}-{i}" for i in range(len(rows))], "text": [row[0] for row in rows]}
    if rows and len(rows[0]) == 3:
        columns["pair"] = [row[2] for row in rows]  # type: ignore[misc]
    columns["label"] = [row[1] for row in rows]
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


class Project:
    """A language `xx` in a folder of its own, written and validated for real."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.folder = self.layout.validation("xx")

    def write(self, splits: dict[str, list[Row]], labels: tuple[str, ...] | None = NAMES) -> None:
        corpus.write(self.layout, "xx", {split: table(split, rows)
                                         for split, rows in splits.items()}, labels)

    def validate(self, **thresholds: Any) -> dict[str, Any]:
        """What validation.json says, whether there are errors or not."""
        with contextlib.suppress(DataError):
            self.validate_strictly(**thresholds)
        found: dict[str, Any] = json.loads((self.folder / "validation.json").read_text())
        return found

    def validate_strictly(self, **thresholds: Any) -> None:
        params = Params(languages=("xx",), teachers={
            "multilingual": TransformerTeacher(languages=("all",))},
                        distil=Distil(top_k=1), validation=Validation(**thresholds))
        expectations.validate(params, self.layout, "xx")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def bad(report: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """(split, check) -> the finding, of those that did not pass."""
    return {(finding["split"], finding["check"]): finding for finding in report["findings"]
            if finding["severity"] != "ok"}


def ids(finding: dict[str, Any]) -> list[str]:
    return [example["id"] for example in finding["examples"]]


def test_a_clean_corpus_passes_every_check(project: Project) -> None:
    project.write(clean() | {"unlabelled": [(f"more {i}", None) for i in range(5)]})
    report = project.validate()
    assert bad(report) == {}
    assert (report["errors"], report["warnings"]) == (0, 0)
    assert report["language"] == "xx"
    assert report["fingerprint"] == corpus.load(project.layout, "xx").fingerprint
    assert report["rows"] == {"train": 12, "validation": 12, "test": 12, "unlabelled": 5}
    assert report["counts"]["test"] == {"chat": 4, "pay": 4, "ship": 4}
    checked = defaultdict(set)
    for finding in report["findings"]:
        checked[finding["split"]].add(finding["check"])
    text = {"schema", "nulls", "empty", "too long", "duplicates"}
    labelled = text | {"rows", "conflicting", "unknown labels"}
    assert checked == {
        "train": labelled | {"few examples", "labels printed alike", "labels alike",
                                "imbalance"},
        "validation": labelled | {"leaked", "conflicting with train", "label distribution"},
        "test": labelled | {"leaked", "conflicting with train", "label distribution"},
        "unlabelled": text | {"leaked"}}


def test_the_folder_holds_json_markdown_and_data_docs(project: Project) -> None:
    project.write(clean() | {"test": [("a | b\n`c`", "pay"), ("a | b\n`c`", "pay")]})
    project.validate_strictly(max_duplicates=1.0)
    index = (project.folder / "docs/index.html").read_text()
    linked = re.findall(r'<a href="(validations/[^"]+)">(\w+)</a>', index.partition("</p>")[0])
    assert [name for _, name in linked] == ["train", "validation", "test", "labels"]
    assert all((project.folder / "docs" / page).is_file() for page, _ in linked)
    markdown = (project.folder / "validation.md").read_text()
    assert ("| warning | test | duplicates | 2 rows (100.00%) | 0 | each text once |"
            in markdown)
    assert r"| test-0 | a \| b \`c\` | pay |" in markdown
    linked = re.findall(r"\]\(([^)]+)\)", markdown)
    assert len(linked) == 5  # the index, three splits and the labels
    assert all((project.folder / link).is_file() for link in linked)
    assert [path.name for path in project.folder.parent.iterdir()] == ["xx"]


def test_data_docs_show_the_offending_texts_and_no_temporary_path(project: Project) -> None:
    project.write(clean() | {"test": [("train pay 0", "ship"), ("new", "pay")]})
    project.validate()
    page = next(project.folder.glob("docs/validations/test/*/*/*.html")).read_text()
    assert "leaked: expect no text that also occurs in train" in page
    assert page.count("train pay 0") >= 2
    assert str(project.layout.root) not in page


def test_data_docs_show_what_failed_without_a_network(project: Project) -> None:
    project.write(clean() | {"test": [("train pay 0", "ship"), ("new", "pay")]})
    project.validate()
    page = next(project.folder.glob("docs/validations/test/*/*/*.html")).read_text()
    icons = set(re.findall(r'class="fas (fa-[a-z-]+) text-', page))
    assert {"fa-check-circle", "fa-times"} <= icons
    styles = page.partition("<body")[0]
    assert all(f".{icon}::before {{ content: " in styles for icon in icons)


def test_data_docs_escape_texts_and_labels(project: Project) -> None:
    script = "<script>alert(1)</script>"
    project.write(clean() | {"test": [("train pay 0", script), (script, "pay"), (script, "pay")]})
    project.validate()
    pages = [page.read_text() for page in project.folder.glob("docs/**/*.html")]
    assert not any(script in page for page in pages)
    assert any("&lt;script&gt;alert(1)&lt;/script&gt;" in page for page in pages)


@pytest.mark.parametrize(("column", "row"), [("text", (None, "pay")), ("label", ("new", None))])
def test_a_null_is_an_error(project: Project, column: str, row: Row) -> None:
    project.write(clean() | {"train": [*split_of("train"), row]})
    finding = bad(project.validate())["train", "nulls"]
    assert (finding["severity"], finding["column"], finding["count"]) == ("error", column, 1)
    assert ids(finding) == ["train-12"]


@pytest.mark.parametrize("blank", ["", " \t", "\u3000\u00a0\n", "\u200b\ufeff",
                                   "\x00 \u00ad\u2800"])
def test_an_empty_text_is_an_error_until_allowed(project: Project, blank: str) -> None:
    project.write(clean() | {"validation": [*split_of("validation"), (blank, "pay")]})
    finding = bad(project.validate())["validation", "empty"]
    assert (finding["severity"], finding["count"], ids(finding)) == ("error", 1, ["validation-12"])
    allowed = bad(project.validate(max_empty=0.1))["validation", "empty"]
    assert allowed["severity"] == "warning"


def test_an_absurdly_long_text(project: Project) -> None:
    project.write(clean() | {"test": [*split_of("test"), ("x" * 201, "pay"), ("y" * 200, "pay")]})
    assert ("test", "too long") not in bad(project.validate())
    finding = bad(project.validate(max_characters=200))["test", "too long"]
    assert (finding["severity"], ids(finding)) == ("error", ["test-12"])
    assert finding["share"] == pytest.approx(1 / 14)
    more = project.validate(max_characters=200, max_absurd=0.1)
    assert bad(more)["test", "too long"]["severity"] == "warning"
    assert "…" in (project.folder / "validation.md").read_text()


def test_an_unknown_label_is_an_error_where_the_list_is_fixed(project: Project) -> None:
    splits = clean() | {"test": [*split_of("test"), ("new", "refund")]}
    project.write(splits)
    finding = bad(project.validate())["test", "unknown labels"]
    assert (finding["severity"], ids(finding)) == ("error", ["test-12"])
    assert finding["examples"][0]["labels"] == ["refund"]
    project.write(splits, labels=None)
    report = project.validate()
    assert "unknown labels" not in {finding["check"] for finding in report["findings"]}
    assert report["errors"] == 0


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("blank", ["", " ", "\u00a0\u200b"])
def test_a_blank_label_is_an_error(project: Project, split: str, blank: str) -> None:
    project.write(clean() | {split: [*split_of(split), ("more", blank)]}, labels=None)
    with pytest.raises(DataError, match=rf"^xx/{split}: expected a label in every row, found "
                                        r"otherwise in 1 row \(7\.69%\), such as id "
                                        rf"'{split}-12' with '"):
        project.validate_strictly()
    assert ids(bad(project.validate())[split, "empty"]) == [f"{split}-12"]


@pytest.mark.parametrize(("first", "second"), [
    ("rembours\u00e9", "rembourse\u0301"), ("to pay", "to\u00a0pay"), ("to pay", "to  pay"),
    ("pay", " pay"), ("pay", "pay\n"), ("pay", "p\u200bay"), ("pay", "\ufeffpay"),
    ("\ud55c\uad6d", "\u1112\u1161\u11ab\u1100\u116e\u11a8")])
def test_labels_that_print_alike_are_an_error(project: Project, first: str, second: str) -> None:
    rows: list[Row] = [("a", first), ("b", second)]
    project.write({split: [*split_of(split), *rows] for split in clean()}, labels=None)
    with pytest.raises(DataError, match=r"^xx/train: expected labels that do not print alike, "
                                        r"found otherwise in 2 labels .* such as ") as refused:
        project.validate_strictly(max_leaked=1.0)
    assert ascii(second) in str(refused.value)


@pytest.mark.parametrize("second", ["Pay", "PAY", "\uff50\uff41\uff59", "pay\ufe0f"])
def test_labels_that_differ_in_case_or_width_are_a_warning(project: Project, second: str) -> None:
    rows: list[Row] = [("a", "pay"), ("b", second)]
    project.write({split: [*split_of(split), *rows] for split in clean()}, labels=None)
    report = project.validate(max_leaked=1.0)
    assert report["errors"] == 0
    finding = bad(report)["train", "labels alike"]
    assert [example["labels"] for example in finding["examples"]] == [
        [label, ({"pay", second} - {label}).pop()] for label in sorted(["pay", second])]


def test_an_unknown_label_is_shown(project: Project) -> None:
    rows: list[Row] = [("a", "0"), ("b", "1")]
    project.write(dict.fromkeys(clean(), rows))
    with pytest.raises(DataError, match=r"^xx/train: expected one of the 3 known labels in every "
                                        r"row, found otherwise in 2 rows .*, such as id 'train-0' "
                                        r"with '0' \("):
        project.validate_strictly(max_leaked=1.0)


@pytest.mark.parametrize("alike", ["TRAIN SHIP 1", "\uff54rain ship 1", " train\u00a0ship  1\n",
                                   "tr\u200bain ship 1", "train ship \u2460"])
def test_texts_that_a_tokenizer_does_not_tell_apart(project: Project, alike: str) -> None:
    project.write(clean() | {"train": [*split_of("train"), (alike, "ship")],
                             "test": [*split_of("test"), (alike, "pay")],
                             "unlabelled": [("TEST pay 1", None)]})
    found = bad(project.validate(max_conflicting=0.5))
    assert {key: (finding["count"], ids(finding)) for key, finding in found.items()
            if finding["column"] == ""} == {
        ("train", "duplicates"): (2, ["train-4", "train-12"]),
        ("test", "leaked"): (1, ["test-12"]), ("test", "conflicting with train"): (1, ["test-12"]),
        ("unlabelled", "leaked"): (1, ["unlabelled-0"])}
    assert found["test", "leaked"]["examples"][0]["text"] == alike


def test_duplicates_warn_and_above_the_threshold_are_an_error(project: Project) -> None:
    project.write(clean() | {"train": [*split_of("train"), ("train pay 0", "pay")]})
    finding = bad(project.validate())["train", "duplicates"]
    assert (finding["severity"], finding["count"]) == ("warning", 2)
    assert finding["share"] == pytest.approx(2 / 13)
    assert ids(finding) == ["train-0", "train-12"]
    assert bad(project.validate(max_duplicates=0.1))["train", "duplicates"]["severity"] == "error"
    assert ("train", "duplicates") not in bad(project.validate(warn_duplicates=0.2))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_text_of_train_in_another_split_is_a_leak(project: Project, split: str) -> None:
    project.write(clean() | {split: [*split_of(split), ("train ship 1", "ship")]})
    report = project.validate()
    assert list(bad(report)) == [(split, "leaked")]
    finding = bad(report)[split, "leaked"]
    assert (finding["severity"], finding["count"], ids(finding)) == (
        "warning", 1, [f"{split}-12"])
    assert bad(project.validate(max_leaked=0.05))[split, "leaked"]["severity"] == "error"


def test_a_text_with_two_labels_in_a_split(project: Project) -> None:
    project.write(clean() | {"test": [*split_of("test"), ("test pay 0", "ship")]})
    report = project.validate(max_conflicting=0.5)
    finding = bad(report)["test", "conflicting"]
    assert (finding["severity"], finding["count"]) == ("warning", 2)
    labels = [example["labels"] for example in finding["examples"]]
    assert labels == [["pay", "ship"], ["ship", "pay"]]
    assert ("test", "conflicting with train") not in bad(report)
    assert bad(project.validate())["test", "conflicting"]["severity"] == "error"


def test_a_text_with_another_label_in_train(project: Project) -> None:
    project.write(clean() | {"validation": [*split_of("validation"), ("train pay 0", "chat")]})
    report = project.validate(max_conflicting=0.1)
    finding = bad(report)["validation", "conflicting with train"]
    assert (finding["severity"], finding["count"]) == ("warning", 1)
    assert finding["examples"] == [{"id": "validation-12", "text": "train pay 0", "pair": None,
                                    "labels": ["chat", "pay"]}]
    assert ("validation", "conflicting") not in bad(report)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("missing", [False, True])
def test_a_split_without_rows_is_an_error(project: Project, split: str, missing: bool) -> None:
    splits = clean() | {split: []}
    if missing:
        del splits[split]
    project.write(splits)
    report = project.validate()
    assert bad(report)[split, "rows"]["severity"] == "error"
    assert report["rows"][split] == 0
    with pytest.raises(DataError, match=rf"^xx/{split}: expected at least one row, found 0"):
        project.validate_strictly()


def test_an_empty_unlabelled_split_is_no_error(project: Project) -> None:
    project.write(clean() | {"unlabelled": []})
    assert bad(project.validate()) == {}


def test_unlabelled_texts_are_checked_and_those_of_test_warn(project: Project) -> None:
    rows: list[Row] = [("new", None), ("test pay 0", None), ("train pay 0", None), (" ", None)]
    project.write(clean() | {"unlabelled": rows})
    found = bad(project.validate(max_leaked=0.0))
    assert {key: (finding["severity"], ids(finding)) for key, finding in found.items()} == {
        ("unlabelled", "empty"): ("error", ["unlabelled-3"]),
        ("unlabelled", "leaked"): ("warning", ["unlabelled-1"])}


def test_label_distributions_far_from_train_warn(project: Project) -> None:
    skewed: list[Row] = [(f"skewed {i}", "pay" if i < 10 else "ship") for i in range(12)]
    project.write(clean() | {"test": skewed})
    found = bad(project.validate())
    assert list(found) == [("test", "label distribution")]
    finding = found["test", "label distribution"]
    exact = divergence([10, 2, 0], [4, 4, 4])
    assert finding["severity"] == "warning"
    assert finding["value"] == pytest.approx(exact, abs=1e-4)
    assert bad(project.validate(warn_split_divergence=exact + 0.01)) == {}


def test_a_label_that_train_lacks_keeps_the_divergence_finite(project: Project) -> None:
    project.write(clean() | {"train": [row for row in split_of("train") if row[1] != "chat"]})
    found = bad(project.validate())
    assert 1 < found["test", "label distribution"]["value"] < 20
    few = found["train", "few examples"]
    assert (few["severity"], few["count"]) == ("warning", 1)
    assert few["examples"][0]["labels"] == ["chat"]


def test_min_examples_names_labels_with_fewer(project: Project) -> None:
    project.write(clean() | {"train": split_of("train")[:-1]})
    assert bad(project.validate()) == {}
    assert bad(project.validate(min_examples=4))["train", "few examples"]["count"] == 1


def test_imbalance_warns(project: Project) -> None:
    more: list[Row] = [(f"train pay {i}", "pay") for i in range(4, 8)]
    project.write(clean() | {"train": [*split_of("train"), *more]})
    assert ("train", "imbalance") not in bad(project.validate(warn_imbalance=2.0))
    finding = bad(project.validate(warn_imbalance=1.9))["train", "imbalance"]
    assert (finding["severity"], finding["value"]) == ("warning", 2.0)


def test_pairs_are_equal_only_if_both_texts_are(project: Project) -> None:
    pairs: dict[str, list[Row]] = {
        split: [(f"premise {i // 3}", NAMES[i % 3], f"{split} {i}") for i in range(12)]
        for split in ("train", "validation", "test")}
    project.write(pairs)
    assert bad(project.validate()) == {}
    pairs["test"] += [("premise 0", "ship", "train 0"), ("premise 0", "pay", "test 0")]
    project.write(pairs)
    found = bad(project.validate(max_conflicting=0.1))
    assert {key: (finding["count"], ids(finding)) for key, finding in found.items()} == {
        ("test", "duplicates"): (2, ["test-0", "test-13"]),
        ("test", "leaked"): (1, ["test-12"]),
        ("test", "conflicting with train"): (1, ["test-12"])}
    assert found["test", "leaked"]["examples"][0]["pair"] == "train 0"
    assert "| id | text | pair | labels |" in (project.folder / "validation.md").read_text()


def test_nulls_empty_and_long_texts_of_the_second_column(project: Project) -> None:
    rows: list[Row] = [("a", "pay", None), ("a", "pay", " "), ("a", "pay", "x" * 3000)]
    project.write(dict.fromkeys(("train", "validation", "test"), rows))
    report = project.validate()
    found = {(finding["check"], finding["column"]): ids(finding) for finding in report["findings"]
             if finding["split"] == "train" and finding["severity"] == "error"}
    assert found == {("nulls", "pair"): ["train-0"], ("empty", "pair"): ["train-1"],
                     ("too long", "pair"): ["train-2"]}


def test_a_missing_column_is_an_error_and_the_other_splits_are_still_checked(
        project: Project) -> None:
    tables = {split: table(split, rows) for split, rows in clean().items()}
    tables["test"] = tables["test"].drop_columns(["label"])
    corpus.write(project.layout, "xx", tables, NAMES)
    with pytest.raises(DataError, match=r"^xx/test: expected the columns id, text, label, found "
                                        r"id, key, text .*data\.columns"):
        project.validate_strictly()
    report = project.validate()
    assert {finding["severity"] for finding in report["findings"]
            if finding["split"] == "train"} == {"ok"}
    assert "nulls" not in {finding["check"] for finding in report["findings"]
                           if finding["split"] == "test"}


def test_a_column_that_holds_no_strings_is_an_error(project: Project) -> None:
    tables = {split: table(split, rows) for split, rows in clean().items()}
    tables["train"] = tables["train"].set_column(
        2, "label", pa.array(range(len(tables["train"]))))
    corpus.write(project.layout, "xx", tables, NAMES)
    with pytest.raises(DataError, match=r"^xx/train: expected strings in label, found int64"):
        project.validate_strictly()


def test_large_strings_are_checked_too(project: Project) -> None:
    tables = {split: table(split, [*rows, ("", "pay")]) for split, rows in clean().items()}
    large = pa.schema([(name, pa.large_string()) for name in ("id", "text", "label")])
    corpus.write(project.layout, "xx", {split: table.cast(large)
                                        for split, table in tables.items()}, NAMES)
    assert bad(project.validate())["train", "empty"]["count"] == 1


def test_an_error_is_one_line_that_says_what_where_and_how_to_fix_it(project: Project) -> None:
    project.write(clean() | {"train": [*split_of("train"), ("", "pay"), ("new\nline", None)]})
    with pytest.raises(DataError, match="xx/train: expected more than white space") as caught:
        project.validate_strictly()
    assert str(caught.value) == (
        "xx/train: expected more than white space in every text, found otherwise in 1 row (7.14%), "
        f"such as id 'train-12' (1 more error); details in {project.folder}/validation.md; "
        "fix these rows in the source or raise validation.max_empty in params.yaml, "
        "then run `dvc repro validate@xx`")
    with pytest.raises(DataError, match=r"in every text in all but 5\.00% of rows, found"):
        project.validate_strictly(max_empty=0.05)


def test_examples_are_as_many_as_asked_for(project: Project) -> None:
    project.write(clean() | {"test": [("same", "pay")] * 8})
    finding = bad(project.validate(examples=3))["test", "duplicates"]
    assert (finding["count"], len(finding["examples"])) == (8, 3)


def test_the_same_corpus_gives_the_same_json(project: Project) -> None:
    project.write(clean())
    project.validate()
    before = (project.folder / "validation.json").read_bytes()
    project.validate()
    assert (project.folder / "validation.json").read_bytes() == before


def test_no_corpus_names_the_command_that_makes_it(project: Project) -> None:
    with pytest.raises(AmtssError, match=r"corpus\.json: .* run `dvc repro data@xx`"):
        project.validate_strictly()


def test_importing_the_module_does_not_import_great_expectations() -> None:
    code = ("import sys, amtss.validation.expectations, amtss.validation.gate; "
            "print([name for name in ('great_expectations', 'matplotlib', 'pandas', 'torch') "
            "if name in sys.modules])")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.skipif(not MASSIVE.is_dir(), reason=f"MASSIVE is not at {MASSIVE}")
@pytest.mark.parametrize(("language", "leaked"), [("en", 21), ("pl", 255), ("ko", 187)])
def test_massive_as_it_lies_passes_with_warnings(
        tmp_path: Path, language: str, leaked: int) -> None:
    data = Data(source="dataset", path=str(MASSIVE), columns=Columns(label=("scenario",)))
    params = Params(languages=("en", "ko", "pl"), data=data,
                    teachers={"multilingual": TransformerTeacher(languages=("all",))})
    layout = Layout(tmp_path)
    source = sources.read(data, language)
    corpus.write(layout, language, source.tables, source.labels)
    expectations.validate(params, layout, language)
    report = json.loads((layout.validation(language) / "validation.json").read_text())
    assert report["errors"] == 0
    assert report["rows"] == {"train": 11514, "validation": 2033, "test": 2974}
    found = bad(report)
    assert found["test", "leaked"]["count"] == leaked
    assert counted_by_hand(language) == {
        key: found[key]["count"] if key in found else 0 for key in counted_by_hand(language)}
    assert all(len(finding["examples"]) == min(5, finding["count"]) for finding in found.values()
               if finding["count"])


def counted_by_hand(language: str) -> dict[tuple[str, str], int]:
    """The same counts straight from the JSON lines, by plain loops."""
    rows = {}
    for split in ("train", "validation", "test"):
        lines = (MASSIVE / language / f"{split}.jsonl").read_text(encoding="utf-8").split("\n")
        examples = [json.loads(line) for line in lines if line]
        rows[split] = [(plain(row["text"]), row["scenario"]) for row in examples]
    in_train = defaultdict(set)
    for text, label in rows["train"]:
        in_train[text].add(label)
    counts = {}
    for split, pairs in rows.items():
        texts = [text for text, _ in pairs]
        often: dict[str, int] = defaultdict(int)
        labels = defaultdict(set)
        for text, label in pairs:
            often[text] += 1
            labels[text].add(label)
        counts[split, "duplicates"] = sum(often[text] > 1 for text in texts)
        counts[split, "conflicting"] = sum(len(labels[text]) > 1 for text in texts)
        if split != "train":
            counts[split, "leaked"] = sum(text in in_train for text in texts)
            counts[split, "conflicting with train"] = sum(
                any(other != label for other in in_train.get(text, ())) for text, label in pairs)
    return counts

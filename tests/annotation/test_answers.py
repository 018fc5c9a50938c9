import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.project import Project, Row, inside, run

from amtss.annotation import answers
from amtss.annotation.answers import Applied
from amtss.config.params import load_params
from amtss.data import corpus, corrections, cutting, sources
from amtss.errors import DataError
from amtss.files import write_json
from amtss.paths import Layout

LOGS = [{"id": "7", "text": "-- a parcel"}, {"id": "8", "text": "robot"}]


@pytest.fixture
def sheets(project: Project) -> Project:
    """English and French have logs; Korean has nothing else."""
    project.params(lambda values: values["data"].update(splits={"unlabelled": "logs"}))
    for code in ("en", "fr", "ko"):
        project.rows(f"data/{code}/logs.jsonl", LOGS)
    write_json(Layout(project.root).gate_keys, {"labels": ["pay", "ship", "chat"]})
    return project


def line(language: str, split: str, row: int, **cells: str) -> dict[str, str]:
    data = load_params(Path("params.yaml")).data
    table: pa.Table = (sources.logs(data, language) if split == "unlabelled"
                       else sources.read(data, language).tables[split])
    return {"lang": language, "split": split, "id": table["id"][row].as_py(),
            "key": corrections.keys(table)[row], "label": table["label"][row].as_py() or "",
            } | cells


def write(*lines: Row) -> Path:
    with open("sheet.csv", "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, sorted({name for line in lines for name in line}))
        writer.writeheader()
        writer.writerows(lines)
    return Path("sheet.csv")


def apply(*lines: Row) -> list[Applied]:
    return answers.apply(load_params(Path("params.yaml")), Layout(Path()), write(*lines))


def kept(language: str) -> list[tuple[str, str, str, str]]:
    return [(row.split, row.id, row.old, row.new)
            for row in corrections.read(Path(f"corrections/{language}.csv"))]


def test_answers_become_corrections_and_twice_is_once(sheets: Project) -> None:
    lines = [line("en", "train", 0, corrected=" ship "), line("en", "train", 1, corrected=""),
             line("en", "train", 2, corrected="chat"), line("fr", "test", 0, corrected="chat"),
             line("ko", "unlabelled", 0, label="ship")]
    expected = [Applied("en", 1, 1, 0), Applied("fr", 1, 0, 0), Applied("ko", 0, 0, 1)]
    assert apply(*lines) == expected
    before = sheets.snapshot()
    assert apply(*lines) == expected
    assert sheets.snapshot() == before
    assert kept("en") == [("train", "train-chat-0", "chat", "chat"),
                          ("train", "train-pay-0", "pay", "ship")]
    assert kept("fr") == [("test", "test-pay-12", "pay", "chat")]
    assert kept("ko") == [("unlabelled", "7", "", "ship")]


def test_a_later_answer_replaces_an_earlier_one(sheets: Project) -> None:
    apply(line("en", "train", 0, corrected="ship"), line("en", "unlabelled", 1, label="pay"))
    apply(line("en", "train", 0, label="ship", corrected="chat"),
          line("en", "unlabelled", 1, label="pay", corrected="chat") | {"split": "train"})
    assert kept("en") == [("train", "train-pay-0", "pay", "chat"),
                          ("unlabelled", "8", "", "chat")]


def test_only_the_corrected_language_has_another_fingerprint(sheets: Project) -> None:
    params, layout = load_params(Path("params.yaml")), Layout(Path())
    before = [sources.fingerprint(params.data, code, layout) for code in params.languages]
    apply(line("fr", "train", 0, corrected="ship"))
    after = [sources.fingerprint(params.data, code, layout) for code in params.languages]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False]


def test_the_stage_reads_the_corrected_rows(sheets: Project) -> None:
    from amtss.data import corpus

    apply(line("en", "train", 0, corrected="ship"), line("en", "unlabelled", 0, label="ship"))
    with inside(sheets.root):
        assert run("data", "en") == 0
    english = corpus.load(Layout(sheets.root), "en")
    assert english["train"]["label"][0].as_py() == "ship"
    assert english["train"]["text"].to_pylist()[-1] == "-- a parcel"
    assert english["unlabelled"]["text"].to_pylist() == ["robot"]


@pytest.mark.parametrize(("cells", "problem"), [
    ({"corrected": "sheep"}, r"row 1: expected one of the project's 3 labels \('pay', .* 'sheep'"),
    ({"corrected": "Ship"}, r"expected one of the project's 3 labels \('ship'\), found 'Ship'"),
    ({"corrected": "ship", "key": "k0"}, "sheet.csv: expected a row of train .* no such row"),
    ({"corrected": "ship", "label": "chat"}, "found the label 'pay'"),
    ({"corrected": "ship", "lang": "../x"}, "expected a language and a split, found '../x'"),
    ({"corrected": "ship", "split": "tests"}, "expected a language and a split, found 'en' and"),
    ({"corrected": ""}, "expected labels in the column 'corrected'")])
def test_what_does_not_fit_is_refused_and_nothing_written(
        sheets: Project, cells: dict[str, str], problem: str) -> None:
    wrong = line("en", "train", 0) | cells
    with pytest.raises(DataError, match=problem) as error:
        apply(wrong)
    assert "\n" not in str(error.value)
    assert not Path("corrections").exists()


def test_a_sheet_that_fits_in_part_changes_nothing(sheets: Project) -> None:
    with pytest.raises(DataError, match="no such row"):
        apply(line("en", "train", 0, corrected="ship"),
              line("fr", "train", 0, corrected="ship", key="k0"))
    assert not Path("corrections").exists()


def test_a_row_of_a_split_that_is_cut_off_train(sheets: Project) -> None:
    sheets.params(lambda values: values["data"].update(splits={"test": None}))
    data = load_params(Path("params.yaml")).data
    tables = cutting.complete(sources.read(data, "en").tables, "en", data.seed)
    test = tables["test"]
    [gold] = [label for label in ("pay", "ship", "chat") if label == test["label"][0].as_py()]
    new = "ship" if gold == "pay" else "pay"
    assert apply({"lang": "en", "split": "test", "id": test["id"][0].as_py(), "label": gold,
                  "key": corrections.keys(test)[0], "corrected": new}) == [Applied("en", 1, 0, 0)]
    corrected = corrections.correct(tables, Layout(Path()).corrections("en"))
    assert corrected["test"]["label"][0].as_py() == new
    assert corrected["train"].equals(tables["train"])


def test_labelled_logs_are_what_a_language_without_labels_is_taught_on(sheets: Project) -> None:
    def edit(values: dict[str, Any]) -> None:
        values["languages"].append("ko")
        values["data"]["splits"] = {"unlabelled": "logs"}

    sheets.params(edit)
    sheets.rows("data/ko/logs.jsonl", [{"id": str(number), "text": f"text {number}"}
                                       for number in range(90)])
    apply(*(line("ko", "unlabelled", row, label=("pay", "ship", "chat")[row % 3])
            for row in range(60)))
    for command in ("settings", "sources", "data ko"):
        assert run(*command.split()) == 0
    found = corpus.load(Layout(Path()), "ko")
    assert {split: len(table) for split, table in found.splits.items()} == {
        "train": 36, "validation": 12, "test": 12, "unlabelled": 30}
    assert all(found.has_labels(split) for split in ("train", "validation", "test"))

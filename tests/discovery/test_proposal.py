from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from support.project import LABELS, WORDS, Project, examples

from amtss.discovery.proposal import Request, propose, remarks, table
from amtss.errors import DataError
from amtss.table import markdown


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty folder, the working directory."""
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def tsv(project: Project, name: str, code: str, split: str, columns: str = "id text label") -> None:
    names = columns.split()
    lines = ["\t".join(names), *("\t".join(str(row.get(key, key)) for key in names)
                                 for row in examples(code, split))]
    project.write(name, "\n".join(lines) + "\n")


def test_what_a_folder_holds(project: Project) -> None:
    for code in WORDS:
        tsv(project, f"mine/{code}/train.csv", code, "train")
    tsv(project, "mine/fr/dev.csv", "fr", "validation")
    project.write("mine/notes.txt", "")
    found = propose(Request(Path("mine")))
    assert found.data.model_dump(include={"source", "path", "files", "configs"}) == {
        "source": "files", "path": "mine", "files": "{language}/{split}.csv", "configs": {}}
    assert found.data.splits.model_dump(exclude={"unlabelled"}) == {
        "train": "train", "validation": "dev", "test": None, "missing": "cut"}
    assert found.rows == {"en": {"train": 24}, "fr": {"train": 24, "validation": 12}}
    assert found.sizes == {"en": {"train": 14, "validation": 5, "test": 5},
                           "fr": {"train": 19, "validation": 12, "test": 5}}
    assert found.labels == tuple(sorted(LABELS))
    assert found.named
    assert "| en | 24 | 5 (cut off train) | 5 (cut off train) |" in markdown(table(found))
    assert [*remarks(found)] == [
        "Texts: column 'text'. Labels: column 'label', 3: chat, pay, ship.",
        "Lengths: 99.5% of the texts have at most 17 tokens, roughly; `max_length` follows from "
        "them, up to 256.", "Left aside: notes.txt."]


def test_languages_in_a_column(project: Project) -> None:
    rows = [row | {"locale": f"{code}_{code.upper()}"} for code in WORDS
            for row in examples(code, "train")]
    project.rows("mine/all.jsonl", [*rows, {"text": "?", "label": "pay", "locale": ""}])
    found = propose(Request(Path("mine")))
    assert found.data.columns.language == ("locale",)
    assert found.data.configs == {"en-EN": "en_EN", "fr-FR": "fr_FR"}
    assert found.rows == {"en-EN": {"train": 24}, "fr-FR": {"train": 24}}
    assert "Languages: column 'locale'." in remarks(found)


@pytest.mark.parametrize(("place", "path", "files", "configs"), [
    ("mine/fr", "mine", "{language}/{split}.tsv", {}),
    ("mine/pt_br", "mine", "{language}/{split}.tsv", {"pt-BR": "pt_br"}),
    ("fr", "fr", "{split}.tsv", {})], ids=["as the code", "otherwise", "beside the project"])
def test_a_language_s_folder_is_one_of_several(project: Project, place: str, path: str, files: str,
                                               configs: dict[str, str]) -> None:
    tsv(project, f"{place}/train.tsv", "fr", "train")
    found = propose(Request(Path(place)))
    assert (found.folder, found.data.path, found.data.files) == (place, path, files)
    assert found.data.configs == configs
    assert [*found.rows.values()] == [{"train": 24}]
    assert table(found).title == f"Rows of {place}"


def test_one_language_that_the_user_names(project: Project) -> None:
    tsv(project, "data/train.tsv", "fr", "train")
    assert propose(Request(Path("data"), language="fr")).rows == {"fr": {"train": 24}}
    with pytest.raises(DataError, match=r"^data: expected languages in the names .* with --lang"):
        propose(Request(Path("data")))
    with pytest.raises(DataError, match=r"^--lang: expected a language code .* found 'French'"):
        propose(Request(Path("data"), language="French"))


def test_a_test_split_without_labels(project: Project) -> None:
    tsv(project, "mine/fr/train.tsv", "fr", "train")
    tsv(project, "mine/fr/test.tsv", "fr", "test", "id text")
    found = propose(Request(Path("mine")))
    assert (found.data.splits.test, found.data.splits.unlabelled) == (None, "test")
    assert found.rows == {"fr": {"train": 24, "unlabelled": 12}}


def test_labels_that_no_training_row_has(project: Project) -> None:
    tsv(project, "mine/fr/train.tsv", "fr", "train")
    project.write("mine/fr/test.tsv", "id\ttext\tlabel\n1\ta\tfly\n2\tb\tpay\n")
    found = propose(Request(Path("mine")))
    assert found.unseen == ("fly",)
    assert any("No training row has the label fly, " in line for line in remarks(found))


@pytest.mark.parametrize(("text", "tokens"), [
    ("x" * 300, 104), ("где" * 100, 104), ("한" * 90, 93), ("語" * 90, 93),
    ("ж" * 90 + "한" * 30, 64)], ids=["Latin", "Cyrillic", "Hangul", "Han", "mixed"])
def test_tokens_are_estimated(project: Project, text: str, tokens: int) -> None:
    project.rows("mine/fr/train.jsonl", [
        {"text": f"{text}{number}"[-len(text):], "label": number % 2} for number in range(8)])
    assert propose(Request(Path("mine"))).tokens == tokens


def test_pairs_with_integers_for_labels(project: Project) -> None:
    (project.root / "mine/fr").mkdir(parents=True)
    pyarrow.parquet.write_table(pa.table({
        "premise": [f"premise {n}" for n in range(9)], "tags": [["x"]] * 9,
        "hypothesis": [f"hypothesis {n}" for n in range(9)], "label": [0, 1, 2] * 3}),
        project.root / "mine/fr/train.parquet")
    found = propose(Request(Path("mine")))
    assert (found.data.columns.text, found.data.columns.pair) == (("premise",), ("hypothesis",))
    assert (found.labels, found.named) == (("0", "1", "2"), False)
    assert "The labels are numbers; name them in data.labels if you know what they mean." in (
        remarks(found))


def test_a_folder_that_is_none(project: Project) -> None:
    with pytest.raises(DataError, match=r"^mine: expected a folder of CSV, .* found none; name an"):
        propose(Request(Path("mine")))
    tsv(project, "fr/train.tsv", "fr", "train")
    with pytest.raises(DataError, match=r"expected a folder of data alone, found the project in"):
        propose(Request(Path()))
    with pytest.raises(DataError, match=r"^fr/train\.tsv: .* found a file; name another"):
        propose(Request(Path("fr/train.tsv")))

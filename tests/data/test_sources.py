import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from support.project import Project, examples

from amtss.config import yaml
from amtss.config.schema import Columns, Data, Splits
from amtss.data import demo, sources
from amtss.data.appendix_a import LABELS
from amtss.errors import DataError

SPLITS = ("train", "validation", "test")
Rows = list[dict[str, Any]]


def rows_of(table: pa.Table) -> Rows:
    found: Rows = table.to_pylist()
    return found


def csv_of(rows: Rows) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def parquet_of(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue()


def one_file(project: Project, suffix: str, content: bytes, **settings: Any) -> sources.Source:
    """A source whose splits are all the same file."""
    for split in SPLITS:
        project.write(f"data/en/{split}.{suffix}", content)
    return sources.read(Data(source="files", files=f"{{language}}/{{split}}.{suffix}", **settings),
                        "en")


def hub(project: Project, **tables: pa.Table) -> None:
    """A folder in the hub's layout, config `en`, with the features that `datasets` writes."""
    files = [{"split": split, "path": f"en/{split}-*"} for split in tables]
    about = {"configs": [{"config_name": "en", "data_files": files}]}
    project.write("set/README.md", f"---\n{yaml.dump(about)}---\n")
    for split, table in tables.items():
        project.write(f"set/en/{split}-00000-of-00001.parquet", parquet_of(table))


def test_demo() -> None:
    source = sources.read(Data(scale=0.01), "fr")
    assert source.labels == LABELS
    assert set(source.tables) == set(SPLITS)
    made = demo.generate("fr", scale=0.01)
    assert rows_of(source.tables["test"]) == [row._asdict() for row in made["test"]]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_files(project: Project, suffix: str) -> None:
    wanted = {split: examples("fr", split) for split in SPLITS}
    for split, rows in wanted.items():
        if suffix == "csv":
            project.write(f"data/fr/{split}.csv", csv_of(rows))
        elif suffix == "tsv":
            project.write(f"data/fr/{split}.tsv", csv_of(rows).replace(b",", b"\t"))
        elif suffix == "parquet":
            project.write(f"data/fr/{split}.parquet", parquet_of(pa.Table.from_pylist(rows)))
    source = sources.read(Data(source="files", files=f"{{language}}/{{split}}.{suffix}"), "fr")
    assert source.labels is None
    assert {split: rows_of(table) for split, table in source.tables.items()} == wanted


def test_csv_columns_stay_text(project: Project) -> None:
    content = 'id,text,label\n007,"1,5\nand more",01\n1.0,true,NA\n'.encode("utf-8-sig")
    assert rows_of(one_file(project, "csv", content).tables["train"]) == [
        {"id": "007", "text": "1,5\nand more", "label": "01"},
        {"id": "1.0", "text": "true", "label": "NA"}]


def test_rows_without_an_id_are_numbered(project: Project) -> None:
    table = one_file(project, "csv", b"text,label\na,x\nb,y\n").tables["train"]
    assert table["id"].to_pylist() == ["0", "1"]


def test_the_first_present_column_is_used(project: Project) -> None:
    columns = Columns(text=("utterance", "text"), label=("intent", "scenario"), id=("key",))
    table = one_file(project, "csv", b"text,scenario,label,key\na,x,no,7\n",
                     columns=columns).tables["train"]
    assert rows_of(table) == [{"id": "7", "text": "a", "label": "x"}]


def test_pairs(project: Project) -> None:
    columns = Columns(text=("premise",), pair=("hypothesis",))
    table = one_file(project, "jsonl", b'{"premise": "a", "hypothesis": "b", "label": "x"}\n',
                     columns=columns).tables["train"]
    assert rows_of(table) == [{"id": "0", "text": "a", "pair": "b", "label": "x"}]


def test_an_unlabelled_split_needs_no_labels(project: Project) -> None:
    project.rows("data/en/logs.jsonl", [{"text": "a"}, {"text": "b", "label": "pay"}])
    source = sources.read(Data(source="files", files="{language}/{split}.jsonl",
                               splits=Splits(unlabelled="logs")), "en")
    assert source.tables["unlabelled"]["label"].to_pylist() == [None, None]
    assert set(source.tables) == {*SPLITS, "unlabelled"}


@pytest.mark.parametrize("source", ["files", "dataset"])
def test_a_language_may_lack_the_unlabelled_split(project: Project, source: str) -> None:
    for split in SPLITS:
        project.write(f"data/mine/en/{split}.csv", csv_of(examples("en", split)))
    files = "".join(f"  - {{split: {split}, path: en/{split}.csv}}\n" for split in SPLITS)
    project.write("data/mine/README.md",
                  f"---\nconfigs:\n- config_name: en\n  data_files:\n{files}---\n")
    settings = Data(source=source, path="data/mine", splits=Splits(unlabelled="logs"))
    assert set(sources.read(settings, "en").tables) == set(SPLITS)


def test_a_file_that_a_readme_names_and_is_not_there(project: Project) -> None:
    project.write("data/mine/README.md", "---\nconfigs:\n- config_name: en\n  data_files:\n"
                  "  - {split: train, path: en/train.csv}\n---\n")
    with pytest.raises(DataError, match=r"found: Unable to find '[^']*en/train\.csv'; correct "):
        sources.read(Data(source="dataset", path="data/mine"), "en")


@pytest.mark.parametrize("source", ["files", "dataset"])
def test_a_language_may_lack_splits_that_are_cut(project: Project, source: str) -> None:
    project.write("data/mine/en/train.csv", csv_of(examples("en", "train")))
    project.write("data/mine/README.md", "---\nconfigs:\n- config_name: en\n  data_files:\n"
                  "  - {split: train, path: en/train.csv}\n---\n")
    for splits in (Splits(missing="cut"), Splits(validation=None, test=None)):
        settings = Data(source=source, path="data/mine", splits=splits)
        assert set(sources.read(settings, "en").tables) == {"train"}
    with pytest.raises(DataError, match=r"found .*train.*; set data\.splits\."):
        sources.read(Data(source=source, path="data/mine"), "en")


def test_a_file_of_several_languages(project: Project) -> None:
    project.write("data/train.csv", "text,label,lang\na,x,fr-FR\nb,y,en\nc,y,fr-FR\n")
    project.write("data/test.csv", "text,label,lang\nd,x,en\n")
    settings = {"files": "{split}.csv", "columns": Columns(language=("language", "lang")),
                "splits": Splits(missing="cut"), "configs": {"fr": "fr-FR"}}
    data = Data(source="files", **settings)
    assert {split: rows_of(table) for split, table in sources.read(data, "fr").tables.items()} == {
        "train": [{"id": "0", "text": "a", "label": "x"}, {"id": "1", "text": "c", "label": "y"}]}
    assert set(sources.read(data, "en").tables) == {"train", "test"}
    with pytest.raises(DataError, match=r"train\.csv: expected ko's split 'train', found rows of "
                                        r"en, fr-FR; correct data\.path or data\.files in "):
        sources.read(data, "ko")


@pytest.mark.parametrize("source", ["files", "dataset"])
@pytest.mark.parametrize("given", [(), ("test",)])
def test_a_language_may_have_logs_alone(project: Project, source: str,
                                        given: tuple[str, ...]) -> None:
    for split in given:
        project.write(f"data/mine/pt/{split}.csv", csv_of(examples("en", split)))
    project.write("data/mine/pt/logs.csv", b"text\nbom dia\n")
    files = "".join(f"  - {{split: {split}, path: pt/{split}.csv}}\n" for split in (*given, "logs"))
    project.write("data/mine/README.md",
                  f"---\nconfigs:\n- config_name: pt\n  data_files:\n{files}---\n")
    settings = Data(source=source, path="data/mine", splits=Splits(unlabelled="logs"))
    tables = sources.read(settings, "pt").tables
    assert set(tables) == {*given, "unlabelled"}
    assert tables["unlabelled"]["label"].to_pylist() == [None]


def test_labels_in_train_need_them_in_validation(project: Project) -> None:
    project.rows("data/en/logs.jsonl", [{"text": "a"}])
    Path("data/en/validation.jsonl").unlink()
    with pytest.raises(DataError, match="expected en's split 'validation', found no file"):
        sources.read(Data(source="files", files="{language}/{split}.jsonl",
                          splits=Splits(unlabelled="logs")), "en")


@pytest.mark.parametrize(("data", "language", "cure"), [
    ({"validation": "dev"}, "en", r"dev\.jsonl: expected en's split 'validation', found no file, "
     r"but test\.jsonl, train\.jsonl, validation\.jsonl in data/en; set "
     r"data\.splits\.validation to its name in the source, or data\.splits\.missing: cut to cut it "
     r"off train$"),
    ({"train": "trn"}, "en", r"set data\.splits\.train to its name in the source, or name texts "),
    ({}, "ko", r"found no file, but en, fr in data; correct data\.path or data\.files in "
     r"params\.yaml, or say in data\.configs what ko is called there$")],
    ids=["dev", "train", "language"])
def test_a_missing_split_s_cure(project: Project, data: dict[str, str], language: str,
                                cure: str) -> None:
    settings = Data(source="files", files="{language}/{split}.jsonl", splits=Splits(**data))
    with pytest.raises(DataError, match=cure):
        sources.read(settings, language)


def test_splits_by_the_source_s_names(project: Project) -> None:
    Path("data/en/validation.jsonl").rename("data/en/dev.jsonl")
    source = sources.read(Data(source="files", files="{language}/{split}.jsonl",
                               splits=Splits(validation="dev")), "en")
    assert len(source.tables["validation"]) == 12


def test_integer_labels_index_params_list(project: Project) -> None:
    content = b'{"text": "a", "label": 1}\n{"text": "b", "label": 7}\n{"text": "c", "label": -1}\n'
    source = one_file(project, "jsonl", content, labels=("no", "yes"))
    assert source.labels == ("no", "yes")
    assert source.tables["train"]["label"].to_pylist() == ["yes", "7", None]


def test_digits_of_a_csv_index_the_list_like_integers(project: Project) -> None:
    content = b"text,label\na,1\nb,7\nc,-1\nd,\n"
    source = one_file(project, "csv", content, labels=("no", "yes"))
    assert source.tables["train"]["label"].to_pylist() == ["yes", "7", None, ""]


@pytest.mark.parametrize(("content", "labels"), [
    (b"text,label\na,1\nb,no\n", ("no", "yes")), (b"text,label\na,1\nb,0\n", ("1", "0")),
    (b"text,label\na,01\nb,1\n", ("no", "yes"))])
def test_digits_of_a_csv_that_may_be_names_stay(project: Project, content: bytes,
                                                labels: tuple[str, ...]) -> None:
    written = [line.split(",")[1] for line in content.decode().splitlines()[1:]]
    source = one_file(project, "csv", content, labels=labels)
    assert source.tables["train"]["label"].to_pylist() == written


def test_a_column_of_all_splits_comes_before_one_of_the_test_split(project: Project) -> None:
    for split in SPLITS:
        project.rows(f"data/en/{split}.jsonl", [{"text": "a", "scenario": "x"} | (
            {"intent": "y"} if split == "test" else {})])
    columns = Columns(label=("intent", "scenario"))
    tables = sources.read(Data(source="files", files="{language}/{split}.jsonl", columns=columns),
                          "en").tables
    for table in tables.values():
        assert table["label"].to_pylist() == ["x"]


LATIN_1 = [b"a", b"caf\xe9", None]


@pytest.mark.parametrize("column", ["id", "text", "label"])
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.string(), pa.large_string()])
def test_parquet_strings_that_are_not_utf_8(project: Project, column: str,
                                            kind: pa.DataType) -> None:
    values = pa.array(LATIN_1, pa.binary()).view(pa.string()).cast(kind)
    table = pa.table({name: values if name == column else ["b"] * 3
                      for name in ("id", "text", "label")})
    with pytest.raises(DataError, match=rf"^en/train: expected UTF-8 in the {column} column, found "
                                        "other bytes in row 2; save it as UTF-8$"):
        one_file(project, "parquet", parquet_of(table))


def test_class_labels_of_a_data_set(project: Project) -> None:
    import datasets

    features = datasets.Features({"text": datasets.Value("string"),
                                  "label": datasets.ClassLabel(names=["no", "yes"])})
    made = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features)
    hub(project, **dict.fromkeys(SPLITS, made.with_format("arrow")[:].replace_schema_metadata(
        features.arrow_schema.metadata)))
    source = sources.read(Data(source="dataset", path="set"), "en")
    assert source.labels == ("no", "yes")
    assert source.tables["test"]["label"].to_pylist() == ["yes", "no", None]
    renamed = sources.read(Data(source="dataset", path="set", labels=("yes", "no")), "en")
    assert renamed.labels == ("yes", "no")
    assert renamed.tables["test"]["label"].to_pylist() == ["yes", "no", None]


def test_a_data_set_of_texts(project: Project) -> None:
    hub(project, **dict.fromkeys(SPLITS, pa.table({"text": ["a"], "label": ["x"]})))
    source = sources.read(Data(source="dataset", path="set", configs={"fr": "en"}), "fr")
    assert source.labels is None
    assert rows_of(source.tables["train"]) == [{"id": "0", "text": "a", "label": "x"}]


def described(project: Project, **files: str) -> None:
    """A data set of text files whose config `en` says what its integer labels mean."""
    splits = "".join(f"  - {{split: {name.split('_')[0]}, path: {name.replace('_', '.')}}}\n"
                     for name in files)
    project.write("set/README.md", f"""---
configs:
- config_name: en
  data_files:
{splits}dataset_info:
- config_name: en
  features:
  - {{name: text, dtype: string}}
  - {{name: label, dtype: {{class_label: {{names: {{'0': neg, '1': pos}}}}}}}}
---
""")
    for name, content in files.items():
        project.write(f"set/{name.replace('_', '.')}", content)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_text_files_of_a_data_set_are_read_as_they_are_written(project: Project,
                                                              suffix: str) -> None:
    content = ("text,label\n2024-01-01T00:00:00Z,1\n007,0\n" if suffix == "csv" else
               '{"text": "2024-01-01T00:00:00Z", "label": 1}\n{"text": "007", "label": 0}\n')
    more = content.replace("label", "more", 1) if suffix == "jsonl" else content.replace(
        "text,label", "text,label,more").replace("1\n", "1,2\n").replace("0\n", "0,3\n")
    more = more.replace('"more": 1', '"label": 1, "more": 2')
    described(project, **{f"train_{suffix}": content, f"validation_{suffix}": content,
                          f"test_{suffix}": more})
    source = sources.read(Data(source="dataset", path="set"), "en")
    assert source.labels == ("neg", "pos")
    for table in source.tables.values():
        assert rows_of(table) == [{"id": "0", "text": "2024-01-01T00:00:00Z", "label": "pos"},
                                  {"id": "1", "text": "007", "label": "neg"}]


def test_a_readme_with_a_name_that_yaml_1_1_takes_for_a_bool(project: Project) -> None:
    about = "configs:\n- config_name: no\n  data_files: train.csv\n"
    project.write("set/README.md", f"---\n{about}---\n")
    project.write("set/train.csv", "text,label\na,x\n")
    with pytest.raises(DataError, match=r"^data set set, config 'no': expected a README\.md in the "
                                        r"hub's layout, .* no or yes need quotes there$"):
        sources.read(Data(source="dataset", path="set"), "no")


def test_changed_files_of_a_data_set_are_read_again(project: Project) -> None:
    for text in ("old", "new"):
        hub(project, **dict.fromkeys(SPLITS, pa.table({"text": [text], "label": ["x"]})))
        source = sources.read(Data(source="dataset", path="set"), "en")
        assert source.tables["train"]["text"].to_pylist() == [text]


def test_a_categorical_column(project: Project) -> None:
    table = pa.table({"text": pa.array(["a", "b"], pa.large_string()),
                      "label": pa.array(["x", "y"]).dictionary_encode()})
    read = one_file(project, "parquet", parquet_of(table)).tables["train"]
    assert read["label"].to_pylist() == ["x", "y"]
    assert read.schema.field("text").type == pa.string()


@pytest.mark.parametrize(("column", "classes"), [("scenario", 18), ("intent", 60)])
def test_massive_as_downloaded(massive: Path, column: str, classes: int) -> None:
    source = sources.read(Data(source="dataset", path=str(massive),
                               columns=Columns(label=(column,))), "ko")
    sizes = {split: len(table) for split, table in source.tables.items()}
    assert sizes == {"train": 11514, "validation": 2033, "test": 2974}
    assert len(Counter(source.tables["train"]["label"].to_pylist())) == classes
    assert source.tables["train"]["id"][0].as_py() == "1"


def test_xnli_as_downloaded(xnli: Path) -> None:
    data = Data(source="dataset", path=str(xnli), labels=("entailment", "neutral", "contradiction"),
                columns=Columns(text=("premise",), pair=("hypothesis",)))
    source = sources.read(data, "ru")
    assert len(source.tables["train"]) == 1659
    assert set(source.tables["train"]["label"].to_pylist()) == set(data.labels or ())
    assert source.tables["test"].column_names == ["id", "text", "pair", "label"]


def test_a_missing_column_lists_the_present_ones(project: Project) -> None:
    with pytest.raises(DataError, match=r"en/train: expected a column 'text' .* found a, label; "
                                        r"set data\.columns\.text"):
        one_file(project, "csv", b"a,label\nx,y\n")

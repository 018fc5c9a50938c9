from pathlib import Path

import pytest

from amtss.discovery import folder
from amtss.errors import DataError


def found(root: Path, *names: str) -> folder.Found:
    """What these files are, all empty."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder.find(root)


@pytest.mark.parametrize(("name", "code"), [
    ("fr", "fr"), ("FR", "fr"), ("pt-BR", "pt-BR"), ("pt_br", "pt-BR"), ("zh_Hant", "zh-Hant"),
    ("zh-Hans-CN", "zh-Hans-CN"), ("es-419", "es-419"), ("fil", "fil"), ("english", None),
    ("xx", None), ("fr-train", None), ("", None)])
def test_codes(name: str, code: str | None) -> None:
    assert folder.code_of(name) == code


@pytest.mark.parametrize(("names", "pattern", "languages"), [
    (["fr/train.csv", "ko/train.csv", "fr/test.csv"], "{language}/{split}.csv", "fr ko"),
    (["train/fr.jsonl", "train/ko.jsonl"], "{split}/{language}.jsonl", "fr ko"),
    (["train.fr.csv", "train.ko.csv"], "{split}.{language}.csv", "fr ko"),
    (["train_fr.tsv"], "{split}_{language}.tsv", "fr"),
    (["fr.csv", "ko.csv"], "{language}.csv", "fr ko"),
    (["my_fr_train.csv", "my_de_train.csv"], "my_{language}_{split}.csv", "de fr"),
    (["train_pt_br.csv", "train_fr_fr.csv"], "{split}_{language}.csv", "fr-FR pt-BR"),
    (["fr-CA/train.csv", "fr-FR/train.csv"], "{language}/{split}.csv", "fr-CA fr-FR"),
    (["fr/train-00000-of-00001.parquet", "all/train-00000-of-00001.parquet"],
     "{language}/{split}-00000-of-00001.parquet", "fr"),
    (["Train.csv", "Test.csv"], "{split}.csv", ""), (["whatever.csv"], "whatever.csv", "")])
def test_patterns(tmp_path: Path, names: list[str], pattern: str, languages: str) -> None:
    data_set = found(tmp_path, *names)
    assert (data_set.pattern, " ".join(data_set.names)) == (pattern, languages)


def test_names_of_languages_and_splits(tmp_path: Path) -> None:
    data_set = found(tmp_path, "pt_BR/Train.csv", "pt_BR/dev.csv", "pt_BR/logs.csv", "KO/Train.csv",
                     "KO/dev.csv")
    assert data_set.names == {"ko": "KO", "pt-BR": "pt_BR"}
    assert data_set.splits.model_dump() == {
        "train": "Train", "validation": "dev", "test": None, "unlabelled": "logs",
        "missing": "refuse"}
    assert not data_set.unused


def test_a_split_that_one_language_lacks(tmp_path: Path) -> None:
    data_set = found(tmp_path, "fr/train.csv", "fr/test.csv", "ko/train.csv")
    assert (data_set.splits.test, data_set.splits.missing) == ("test", "cut")


def test_other_files_are_left_aside(tmp_path: Path) -> None:
    data_set = found(tmp_path, "fr/train.csv", "fr/valid.csv", "ko/train.csv", "ko/valid.csv",
                     "en/valid.csv", "{x}.csv", "a.txt", "fr/train.csv.bak", ".git/fr/train.csv")
    assert [*data_set.names] == ["fr", "ko"]
    assert data_set.unused == ("a.txt", "en/valid.csv", "fr/train.csv.bak", "{x}.csv")


@pytest.mark.parametrize(("names", "says"), [
    ([], r"expected CSV, TSV, JSONL or Parquet files, found none; name another folder"),
    (["a.txt", "b.xlsx"], r"expected CSV, .* found a\.txt, b\.xlsx; name another folder"),
    (["one.csv", "two.csv"], r"expected names with a language or a split, .* found one\.csv, two"),
    (["fr/test.csv"], r"expected files of a split for training, such as train\.csv, found fr/test"),
    (["fr/train-00000-of-00002.parquet", "fr/train-00001-of-00002.parquet"],
     r"expected a file for each language and split, found several, such as fr/train-00000-of")])
def test_folders_without_a_data_set(tmp_path: Path, names: list[str], says: str) -> None:
    with pytest.raises(DataError, match=says):
        found(tmp_path, *names)


def test_shards_in_the_hubs_layout(tmp_path: Path) -> None:
    for number in range(2):
        path = tmp_path / f"fr/train-0000{number}-of-00002.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("text,label\na,x\n")
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: fr_FR\n  data_files:\n"
                                        "  - {split: train, path: fr/train-*}\n---\n")
    data_set = folder.find(tmp_path)
    assert (data_set.pattern, data_set.names) == ("", {"fr-FR": "fr_FR"})
    assert (data_set.splits.train, data_set.splits.test) == ("train", None)

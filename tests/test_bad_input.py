"""Mistakes of users: one line says how to fix it, and every artifact stays as it was."""

import io
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet
import pytest
from support.project import PARAMS, Project, examples, full_disk, run, unfolded
from support.training import fill

from amtss.config import yaml
from amtss.files import SEAL, seal

Spoil = Callable[[Project], Any]
SPLITS = ("train", "validation", "test")


MAY_WRITE = ("artifacts/validation", "artifacts/checkpoints", "artifacts/tokens", "artifacts/locks")
"""Files that a failing command may write: findings, checkpoints, caches, locks, no outs of DVC."""


def refuses(project: Project, capfd: pytest.CaptureFixture[str], command: str, *says: str) -> None:
    """`command` fails with one line that holds all of `says`, and leaves the project as it was.

    A full disk is MLflow's too, and a warning.
    """
    def kept() -> dict[str, bytes | None]:
        return {name: data for name, data in project.snapshot().items()
                if not name.startswith(MAY_WRITE) and name != "artifacts"}

    before = kept()
    capfd.readouterr()
    status = run(*shlex.split(command))
    out, err = capfd.readouterr()
    err = "".join(line for line in unfolded(err).splitlines(keepends=True)
                  if not line.startswith(("amtss: warning: ", "amtss: artifacts/student answers")))
    assert status != 0, out
    assert err.startswith("amtss: "), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in out
    for piece in says:
        assert piece in err
    assert kept() == before


def setting(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """An edit of params.yaml that sets the dotted `key`."""
    def edit(params: dict[str, Any]) -> None:
        *sections, last = key.split(".")
        for section in sections:
            params = params.setdefault(section, {})
        params[last] = value
    return edit


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda params: params.pop(key)


@pytest.mark.parametrize(("edit", "says"), [
    pytest.param(setting("epochs", 3), ("epochs: unknown key", "remove it"), id="unknown-key"),
    pytest.param(setting("distil.topk", 3), ("distil.topk: unknown key",), id="unknown-nested-key"),
    pytest.param(setting("teachers.en.lenguages", ["en"]), ("teachers.en.lenguages: unknown key",),
                 id="unknown-key-of-a-teacher"),
    pytest.param(setting("teachers.en.training", {"epoch": 3}),
                 ("teachers.en.training.epoch: unknown key",), id="unknown-key-of-its-training"),
    pytest.param(setting("distil.learning_rate", "1e-5"),
                 ("distil.learning_rate", "expected a valid number", "'1e-5' (str)",
                  "edit params.yaml"), id="1e-5-in-quotes"),
    pytest.param(setting("distil.max_epochs", "3"), ("distil.max_epochs", "'3' (str)"),
                 id="text-for-a-number"),
    pytest.param(setting("distil.max_epochs", 2.5), ("distil.max_epochs", "2.5"),
                 id="fraction-for-a-count"),
    pytest.param(setting("distil.max_epochs", True), ("distil.max_epochs", "True (bool)"),
                 id="bool-for-a-count"),
    pytest.param(setting("languages", "en"), ("languages: expected a valid list", "'en' (str)"),
                 id="text-for-a-list"),
    pytest.param(setting("report.title", ["A", "B"]), ("report.title", "(list)"),
                 id="list-for-text"),
    pytest.param(setting("report.title", True), ("report.title", "expected a valid string",
                                                       "True (bool)"), id="bool-for-text"),
    pytest.param(setting("distil", None), ("distil: expected keys and values", "None (null)"),
                 id="empty-section"),
    pytest.param(setting("teachers", ["en"]), ("teachers: expected keys and values",),
                 id="list-of-teachers"),
    pytest.param(setting("distil.learning_rate", float("nan")), ("finite number", "nan"), id="nan"),
    pytest.param(without("languages"), ("languages: expected a value, found none",),
                 id="no-languages-key"),
    pytest.param(setting("languages", []), ("languages: expected at least one",),
                 id="empty-languages"),
    pytest.param(setting("languages", ["en", "fr", False]),
                 ("languages.2", "False (bool)", "edit params.yaml"), id="language-false"),
    pytest.param(setting("languages", ["en", "french"]), ("languages.1", "'french'", "such as"),
                 id="bad-code"),
    pytest.param(setting("languages", ["en", "fr", "en"]), ("languages", "en more than once"),
                 id="language-twice"),
    pytest.param(setting("data.configs", {"de": "german"}), ("data.configs", "en, fr", "'de'"),
                 id="config-of-an-unknown-language"),
    pytest.param(setting("teachers", {}), ("teachers: expected at least one, found none",),
                 id="no-teachers"),
    pytest.param(setting("teachers.en.languages", ["de"]),
                 ("teachers.en.languages", "en, fr or all", "'de'"), id="teacher-of-an-unknown"),
    pytest.param(setting("teachers.en.languages", []), ("teachers.en", "at least one language"),
                 id="teacher-of-none"),
    pytest.param(setting("teachers.en.scores", ["de"]), ("teachers.en.scores", "'de'"),
                 id="scores-an-unknown"),
    pytest.param(lambda params: params["teachers"].update({"en.small": {"languages": ["en"]}}),
                 ("teachers.en.small", "letters"), id="dot-in-a-teacher-name"),
    pytest.param(setting("teachers.de-en", {"languages": ["en"]}), ("teachers.de-en", "letters"),
                 id="bad-teacher-name"),
    pytest.param(setting("teachers.en.fine_tune", False), ("teachers.en", "`checkpoint`"),
                 id="no-checkpoint-to-use"),
    pytest.param(setting("distil.teachers", ["en"]), ("a teacher's `scores`", "'fr'"),
                 id="nobody-scores"),
    pytest.param(setting("distil.teachers", ["de"]), ("distil.teachers", "'de'"),
                 id="unknown-member-of-the-pool"),
    pytest.param(setting("distil.teachers", []), ("distil.teachers", "or null"), id="empty-pool"),
    pytest.param(setting("distil.teachers", ["multilingual"] * 2), ("multilingual more than once",),
                 id="member-twice"),
    pytest.param(setting("baseline.teacher", "de"),
                 ("baseline.teacher", "en, multilingual", "'de'"), id="unknown-baseline"),
    pytest.param(setting("baseline.teacher", "en"), ("baseline.teacher", "without fr"),
                 id="baseline-lacks-a-language"),
    pytest.param(setting("distil.top_k", 3), ("distil.top_k", "at most 2", "found 3"),
                 id="top_k-too-large"),
    pytest.param(setting("distil.top_k", 0), ("distil.top_k", "equal to 1", "found 0"),
                 id="top_k-0"),
    pytest.param(setting("distil.kd_weight", -0.5), ("distil.kd_weight", "-0.5"),
                 id="negative-kd_weight"),
    pytest.param(setting("distil.temperature", 0), ("distil.temperature", "greater than 0"),
                 id="temperature-0"),
    pytest.param(setting("distil.seed", -1), ("distil.seed", "-1"), id="negative-seed"),
    pytest.param(setting("distil.weights", "best"), ("distil.weights", "'boosted'", "'best'"),
                 id="unknown-strategy"),
    pytest.param(setting("student.architecture.width", 17),
                 ("student.architecture", "2 heads", "17"), id="width-that-heads-do-not-divide"),
    pytest.param(setting("data.source", "csv"), ("data.source", "'files'", "'csv'"),
                 id="unknown-source"),
    pytest.param(setting("data.files", "{split}.csv"), ("data.files", "{language}"),
                 id="pattern-without-language"),
    pytest.param(setting("data.files", "{language}.csv"), ("data: files", "{split}"),
                 id="pattern-without-split"),
    pytest.param(setting("data.files", "{language}/{split}.{kind}"), ("data.files", "other braces"),
                 id="pattern-with-more"),
    pytest.param(setting("data.columns", {"text": []}), ("data.columns.text", "at least one"),
                 id="no-text-column-named"),
    pytest.param(setting("data.labels", ["pay"]), ("data.labels", "at least 2"), id="one-label"),
    pytest.param(setting("data.labels", ["pay", "\u200b"]), ("data.labels", "'\\u200b'"),
                 id="blank-label"),
    pytest.param(setting("data.labels", ["pay", "pay"]), ("data.labels", "more than once"),
                 id="label-listed-twice"),
    pytest.param(setting("data", {"source": "dataset"}), ("data", "`hub`"), id="no-data-set"),
    pytest.param(setting("project", "My project"), ("project", "'My project'"),
                 id="bad-project-name"),
])
def test_wrong_setting(project: Project, capfd: pytest.CaptureFixture[str],
                       edit: Callable[[dict[str, Any]], Any], says: tuple[str, ...]) -> None:
    project.params(edit)
    refuses(project, capfd, "data en", "params.yaml", *says)


@pytest.mark.parametrize(("content", "says"), [
    pytest.param(None, ("found none", "`amtss preset demo`"), id="missing"),
    pytest.param(b"", ("found null",), id="empty"),
    pytest.param(b"languages: [en\n", ("params.yaml:2", "expected YAML"), id="not-yaml"),
    pytest.param("titre: été".encode("latin-1"), ("expected UTF-8", "byte 7"), id="not-utf-8"),
    pytest.param(b"- en\n- fr\n", ("expected keys and values, found list",), id="a-list"),
    pytest.param(b"seed: 1\nseed: 2\n", ("params.yaml:2", 'duplicate key "seed"'), id="key-twice"),
    pytest.param(b"data: {seed: 1, seed: 2}\n", ('duplicate key "seed"',), id="nested-key-twice"),
    pytest.param(b"distil: &a [*a]\n", ("contains itself", "remove its alias"), id="endless"),
])
def test_wrong_params_file(project: Project, capfd: pytest.CaptureFixture[str],
                           content: bytes | None, says: tuple[str, ...]) -> None:
    path = project.write("params.yaml", content or b"")
    if content is None:
        path.unlink()
    refuses(project, capfd, "data en", "params.yaml", *says)


def test_params_is_a_folder(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").unlink()
    Path("params.yaml").mkdir()
    refuses(project, capfd, "data en", "params.yaml", "Is a directory")


def column_of(name: str, values: list[Any]) -> bytes:
    """A Parquet file with the column `name`, and with text and label if it is neither."""
    columns = {"text": ["a"] * len(values), "label": ["pay"] * len(values), name: values}
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


@pytest.mark.parametrize(("suffix", "content", "says"), [
    pytest.param("jsonl", None, ("data/en/train.jsonl", "no file", "data.splits.train"),
                 id="no-file"),
    pytest.param("txt", b"text\tlabel\n", (".csv, .tsv, .jsonl or .parquet", "'.txt'"),
                 id="unknown-suffix"),
    pytest.param("csv", "text,label\nété,pay\n".encode("latin-1"),
                 ("train.csv:2", "expected UTF-8", "byte 11"), id="latin-1-csv"),
    pytest.param("csv", "text,label\nwhere,pay\n".encode("utf-16"), ("expected UTF-8",),
                 id="utf-16-csv"),
    pytest.param("csv", b"text,label\na,pay\na,b,c,pay\n",
                 ("train.csv:3", "expected 2 columns, found 4"), id="csv-of-uneven-rows"),
    pytest.param("csv", b"", ("train.csv", "Empty CSV"), id="empty-csv"),
    pytest.param("csv", b"text,text,label\na,b,pay\n", ("one column 'text'", "data.columns.text"),
                 id="csv-column-twice"),
    pytest.param("jsonl", '{"text": "été", "label": "pay"}\n'.encode("latin-1"),
                 ("expected UTF-8", "byte 10"), id="latin-1-jsonl"),
    pytest.param("jsonl", b'{"text": "a", "label": "pay"}\n{"text": ',
                 ("train.jsonl:2", "expected JSON"), id="malformed-jsonl"),
    pytest.param("jsonl", b'[{"text": "a"}, 3]', ("train.jsonl: object 2", "a number"),
                 id="json-list-of-other-things"),
    pytest.param("jsonl", b"", ("train.jsonl", "Empty JSON"), id="empty-jsonl"),
    pytest.param("jsonl", b'{"utterance": "a", "label": "pay"}\n',
                 ("en/train", "'text'", "found utterance, label", "data.columns.text"),
                 id="no-text-column"),
    pytest.param("jsonl", b'{"text": "a", "intent": "pay"}\n',
                 ("en/train", "'label'", "found text, intent", "data.columns.label"),
                 id="no-label-column"),
    pytest.param("jsonl", b'{"text": ["a", "b"], "label": "pay"}\n',
                 ("train.jsonl:1", "strings in the column 'text'", "a list"), id="list-of-texts"),
    pytest.param("csv", b"text,label\n", ("en/train", "expected rows", "data.splits"),
                 id="train-without-rows"),
    pytest.param("parquet", b"PAR1 but not really PAR1", ("train.parquet", "expected parquet"),
                 id="malformed-parquet"),
    pytest.param("parquet", column_of("id", [{"a": 1}]), ("id column", "struct"),
                 id="nested-id"),
])
def test_wrong_file(project: Project, capfd: pytest.CaptureFixture[str], suffix: str,
                    content: bytes | None, says: tuple[str, ...]) -> None:
    project.params(setting("data.files", f"{{language}}/{{split}}.{suffix}"))
    path = project.write(f"data/en/train.{suffix}", content or b"")
    for split in ("validation", "test"):
        project.write(f"data/en/{split}.{suffix}", content or b"")
    if content is None:
        path.unlink()
    refuses(project, capfd, "data en", *says)


def test_file_is_a_folder(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    Path("data/en/test.jsonl").unlink()
    Path("data/en/test.jsonl").mkdir()
    refuses(project, capfd, "data en", "data/en/test.jsonl", "no file")


def test_no_second_text(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    project.params(setting("data.columns", {"pair": "hypothesis"}))
    refuses(project, capfd, "data en", "'hypothesis'", "data.columns.pair")


def test_skew_of_a_language_that_appendix_a_lacks(project: Project,
                                                  capfd: pytest.CaptureFixture[str]) -> None:
    def edit(params: dict[str, Any]) -> None:
        setting("data.sample", {"skew": "appendix-a"})(params)
        params["languages"].append("de")

    project.params(edit)
    Path("data/en").rename("data/de")
    refuses(project, capfd, "data de", "data.sample.skew", "'de'", "null")


@pytest.mark.parametrize(("settings", "says"), [
    pytest.param({"path": "nowhere"}, ("nowhere", "hub's layout", "data.path"), id="no-folder"),
    pytest.param({"path": "empty"}, ("empty", "'en'", "data.path"), id="empty-folder"),
    pytest.param({"hub": "nobody/nothing"}, ("nobody/nothing", "data.hub"), id="no-network"),
    pytest.param({"path": "set"}, ("set", "'en'", "data.configs"), id="no-such-config"),
    pytest.param({"path": "set", "configs": {"en": "english"}, "splits": {"test": "exam"}},
                 ("'exam'", "data.splits"), id="no-such-split"),
    pytest.param({"path": "set", "configs": {"en": "broken"}},
                 ("set/broken/train.jsonl:2", "expected JSON"), id="malformed"),
])
def test_wrong_data_set(project: Project, capfd: pytest.CaptureFixture[str],
                        settings: dict[str, Any], says: tuple[str, ...]) -> None:
    Path("empty").mkdir()
    configs = [{"config_name": name, "data_files": [
        {"split": split, "path": f"{name}/{split}.jsonl"} for split in SPLITS]}
        for name in ("english", "broken")]
    project.write("set/README.md", f"---\n{yaml.dump({'configs': configs})}---\n")
    for split in SPLITS:
        project.rows(f"set/english/{split}.jsonl", examples("en", split))
        project.write(f"set/broken/{split}.jsonl", b'{"text": \n{')
    project.params(setting("data", {"source": "dataset"} | settings))
    refuses(project, capfd, "data en", *says)


Edit = Callable[[list[dict[str, Any]]], Any]


def every(key: str, value: Any) -> Edit:
    """Give all rows the same `value`."""
    return lambda rows: [row.update({key: value}) for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize(("split", "edit", "says"), [
    pytest.param("train", lambda rows: rows[0].update(label="pya"),
                 ("en/train", "known labels", "data.labels"), id="unknown-label-in-train"),
    pytest.param("test", lambda rows: rows[0].update(label="pya"),
                 ("en/test", "known labels", "data.labels"), id="unknown-label-in-test"),
    pytest.param("train", lambda rows: rows[3].update(text=None),
                 ("en/train", "a text in every row", "'train-pay-1'"), id="null-text"),
    pytest.param("validation", lambda rows: rows[0].update(label=None),
                 ("en/validation", "a label in every row"), id="null-label"),
    pytest.param("train", every("text", " "), ("en/train", "white space"), id="empty-texts"),
    pytest.param("train", every("text", "a" * 3000), ("at most 2000 characters",), id="long-texts"),
    pytest.param("train", every("text", "the same"), ("en/train", "once"), id="one-text"),
])
def test_wrong_rows(project: Project, capfd: pytest.CaptureFixture[str], split: str, edit: Edit,
                    says: tuple[str, ...]) -> None:
    project.params(setting("data.labels", ["pay", "ship", "chat"]))
    rows = examples("en", split)
    edit(rows)
    project.rows(f"data/en/{split}.jsonl", rows)
    assert run("data", "en") == 0
    refuses(project, capfd, "validate en", *says, "dvc repro validate@en")


@pytest.mark.slow
def test_empty_test_split(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    project.params(setting("data.files", "{language}/{split}.csv"))
    for split in SPLITS:
        rows = examples("en", split) if split != "test" else []
        project.write(f"data/en/{split}.csv", "text,label\n" + "".join(
            f"{row['text']},{row['label']}\n" for row in rows))
    assert run("data", "en") == 0
    refuses(project, capfd, "validate en", "en/test", "at least one row", "data.splits")


def test_label_without_a_training_example(ready: Project,
                                          capfd: pytest.CaptureFixture[str]) -> None:
    rows = examples("en", "test")
    ready.rows("data/en/test.jsonl", [*rows, {"id": "9", "text": "who?", "label": "intro"}])
    assert run("data", "en") == 0
    assert run("validate", "en") == 0
    refuses(ready, capfd, "gate", "en/test", "'intro'", "'9'", "dvc repro validate@en")


@pytest.mark.slow
def test_one_label_only(ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
    for language in ("en", "fr"):
        for split in SPLITS:
            ready.rows(f"data/{language}/{split}.jsonl",
                       [row | {"label": "pay"} for row in examples(language, split)])
        assert run("data", language) == 0
        assert run("validate", language) == 0
    refuses(ready, capfd, "gate", "at least 2 labels", "data.columns.label")


@pytest.mark.parametrize(("command", "says"), [
    ("validate en", ("artifacts/data/en/corpus.json", "`dvc repro data@en`")),
    ("gate", ("artifacts/data/en/corpus.json", "`dvc repro data@en`")),
    ("floor", ("artifacts/gate.json", "`dvc repro gate`")),
    ("teach en", ("artifacts/gate.json", "`dvc repro gate`")),
    ("score en", ("artifacts/teachers/en", "`dvc repro teach@en`")),
    ("start", ("artifacts/data/en/corpus.json", "`dvc repro data@en`")),
    ("distil", ("artifacts/gate.json", "`dvc repro gate`")),
    ("baseline", ("artifacts/training/distil/cost.json", "`dvc repro distil`")),
    ("evaluate", ("artifacts/gate.json", "`dvc repro gate`")),
    ("report", ("artifacts", "dvc repro")),
    ("results", ("artifacts/metrics.json", "`dvc repro evaluate`")),
    ("predict --lang en hello", ("artifacts/student", "`dvc repro`")),
])
def test_before_its_inputs(project: Project, capfd: pytest.CaptureFixture[str], command: str,
                           says: tuple[str, ...]) -> None:
    refuses(project, capfd, command, *says)


@pytest.mark.parametrize(("missing", "command", "says"), [
    ("validation/en", "gate", ("validation/en/validation.json", "`dvc repro validate@en`")),
    ("data/en/train.arrow", "teach en", ("data/en/train.arrow", "`dvc repro data@en`")),
    ("teachers/en/model.safetensors", "score en", ("teachers/en", "`dvc repro teach@en`")),
    ("teachers/en/tokenizer.json", "score en", ("teachers/en", "dvc repro")),
    ("tokenizer", "distil", ("artifacts/tokenizer", "`dvc repro start`")),
    ("logits/en/en.safetensors", "distil", ("logits/en/en.safetensors", "score@en")),
    ("logits/multilingual/fr.safetensors", "baseline", ("fr.safetensors", "score@multilingual")),
    ("student", "evaluate", ("artifacts/student", "dvc repro")),
    ("floor", "evaluate", ("artifacts/floor", "`dvc repro floor`")),
    ("floor/model.safetensors", "evaluate", ("artifacts/floor", "`dvc repro floor`")),
    ("baseline", "evaluate", ("artifacts/baseline", "dvc repro")),
    ("training/distil/history.jsonl", "evaluate", ("history.jsonl", "`dvc repro distil`")),
    ("training/baseline/cost.json", "evaluate", ("cost.json", "`dvc repro baseline`")),
    ("metrics.json", "report", ("metrics.json", "dvc repro")),
    ("student/tokenizer.json", "predict --lang en hello", ("artifacts/student", "dvc repro")),
    ("student/config.json", "predict --lang en hello", ("artifacts/student", "dvc repro")),
])
def test_missing_artifact(ready: Project, capfd: pytest.CaptureFixture[str], missing: str,
                          command: str, says: tuple[str, ...]) -> None:
    path = Path("artifacts", missing)
    path.rename("gone")
    refuses(ready, capfd, command, *says)


def cut(name: str) -> Spoil:
    """Truncate a file to its first half."""
    def spoil(project: Project) -> None:
        path = project.root / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return spoil


def flip(name: str) -> Spoil:
    """Change one bit of a file's last byte."""
    def spoil(project: Project) -> None:
        path = project.root / name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    return spoil


CACHE = "artifacts/logits/en/en.safetensors"


@pytest.mark.parametrize(("spoil", "command", "says"), [
    pytest.param(cut(CACHE), "distil", (CACHE, "truncated", "score@en"), id="cut-cache"),
    pytest.param(flip(CACHE), "distil", (CACHE, "altered", "score@en"), id="altered-cache"),
    pytest.param(lambda project: project.write(CACHE, b""), "distil", (CACHE, "score@en"),
                 id="empty-cache"),
    pytest.param(lambda project: project.params(setting("teaching.max_length", 32)), "distil",
                 ("stale", "max_length", "score@en"), id="cache-of-other-settings"),
    pytest.param(cut("artifacts/data/en/train.arrow"), "validate en",
                 ("train.arrow", "altered", "`dvc repro data@en`"), id="cut-corpus"),
    pytest.param(lambda project: project.write("artifacts/data/en/train.arrow", b""), "start",
                 ("train.arrow", "`dvc repro data@en`"), id="empty-corpus"),
    pytest.param(cut("artifacts/data/en/corpus.json"), "start",
                 ("corpus.json", "expected JSON", "`dvc repro data@en`"), id="cut-json"),
    pytest.param(cut("artifacts/teachers/en/model.safetensors"), "score en",
                 ("teachers/en", "teach@en"), id="cut-teacher"),
    pytest.param(cut("artifacts/student/model.safetensors"), "predict --lang en hi",
                 ("artifacts/student", "remove it and run `dvc repro`"), id="cut-student"),
    pytest.param(cut("artifacts/student/config.json"), "predict --lang en hi",
                 ("artifacts/student", "remove it and run `dvc repro`"), id="cut-config"),
    pytest.param(cut("artifacts/student/tokenizer.json"), "predict --lang en hi",
                 ("artifacts/student", "tokenizer"), id="cut-tokenizer"),
    pytest.param(cut("artifacts/student/model.safetensors"), "evaluate",
                 ("artifacts/student", "remove it and run `dvc repro`"),
                 id="cut-student-in-evaluate"),
    pytest.param(cut("artifacts/floor/features.json"), "evaluate",
                 ("artifacts/floor/features.json", "`dvc repro floor`"), id="cut-floor"),
    pytest.param(cut("artifacts/metrics.json"), "report", ("metrics.json", "dvc repro"),
                 id="cut-metrics"),
])
def test_spoilt_artifact(ready: Project, capfd: pytest.CaptureFixture[str], spoil: Spoil,
                         command: str, says: tuple[str, ...]) -> None:
    spoil(ready)
    refuses(ready, capfd, command, *says)


@pytest.mark.parametrize(("name", "command", "fix"), [
    ("student/model.safetensors", "predict --lang en hi", "dvc repro"),
    ("student/model.safetensors", "export --format onnx", "dvc repro"),
    ("student/tokenizer.json", "evaluate", "dvc repro"),
    ("baseline/model.safetensors", "evaluate", "dvc repro"),
    ("teachers/en/model.safetensors", "score en", "dvc repro teach@en"),
    ("teachers/en/teacher.json", "score en", "dvc repro teach@en"),
    ("data/en/test.arrow", "evaluate", "dvc repro data@en"),
    ("data/en/train.arrow", "teach en", "dvc repro data@en"),
    ("gate.json", "distil", "dvc repro gate"),
    ("tokenizer/tokenizer.json", "distil", "dvc repro start"),
    ("floor/model.safetensors", "evaluate", "dvc repro floor"),
    ("training/distil/history.jsonl", "evaluate", "dvc repro distil"),
    ("training/distil/cost.json", "baseline", "dvc repro distil"),
    ("evaluation/predictions.csv", "report", "dvc repro evaluate"),
    ("gate/labels.csv", "report", "dvc repro gate"),
    ("metrics.json", "report", "dvc repro evaluate"),
    ("metrics.json", "register", "dvc repro evaluate"),
    ("validation/en/validation.json", "gate", "dvc repro validate@en"),
])
def test_one_flipped_bit(ready: Project, capfd: pytest.CaptureFixture[str], name: str,
                         command: str, fix: str) -> None:
    path = Path("artifacts", name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refuses(ready, capfd, command, name, f"remove it and run `{fix}")


@pytest.mark.parametrize(("name", "command", "fix"), [
    ("student", "predict --lang en hi", "`dvc repro`"),
    ("student", "export --format onnx", "`dvc repro`"),
    ("student", "evaluate", "`dvc repro`"),
    ("baseline", "evaluate", "`dvc repro`"),
    ("teachers/en", "score en", "`dvc repro -f teach@en`"),
    ("floor", "evaluate", "`dvc repro floor`"),
])
def test_weights_that_are_no_numbers(ready: Project, capfd: pytest.CaptureFixture[str], name: str,
                                     command: str, fix: str) -> None:
    fill(Path("artifacts", name), float("nan"), "bias")
    refuses(ready, capfd, command, f"artifacts/{name}: expected ", "found", "NaN or infinite",
            f"bias; run {fix}")


@pytest.mark.parametrize("content", ["{}", "[]"])
@pytest.mark.parametrize(("name", "command", "writer"), [
    ("gate.json", "teach en", "gate"), ("metrics.json", "results", "evaluate"),
    ("training/distil/cost.json", "baseline", "distil"),
    ("validation/en/validation.json", "gate", "validate@en"),
    ("data/en/corpus.json", "validate en", "data@en"),
    ("teachers/en/teacher.json", "score en", "teach@en"),
    ("gate/distribution.json", "report", "gate"), ("floor/floor.json", "evaluate", "floor"),
    ("floor/features.json", "evaluate", "floor"),
])
def test_json_of_another_shape(ready: Project, capfd: pytest.CaptureFixture[str], name: str,
                               command: str, writer: str, content: str) -> None:
    path = Path("artifacts", name)
    path.write_text(content)
    if (path.parent / SEAL).exists():
        seal(path.parent)
    refuses(ready, capfd, command, f"{name}: expected what `dvc repro {writer}` writes, found ")


@pytest.mark.parametrize(("content", "says"), [
    ("{}", "student: expected a student, found a model of type None; name"),
    ("[]", "student/config.json: expected what `dvc repro` writes, found the whole: ")])
def test_a_config_of_another_shape(ready: Project, capfd: pytest.CaptureFixture[str], content: str,
                                   says: str) -> None:
    Path("artifacts/student/config.json").write_text(content)
    seal(Path("artifacts/student"))
    refuses(ready, capfd, "predict --lang en hi", f"artifacts/{says}")


def test_stale_cache(ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
    rows = examples("en", "train")
    ready.rows("data/en/train.jsonl", rows[1:])
    assert run("data", "en") == 0
    refuses(ready, capfd, "distil", CACHE, "stale", "`dvc repro -f score@en`")


def checkpoint(project: Project, drop: str = "nothing") -> list[Path]:
    """The folder `given`: a copy of the finished teacher without the files that `drop` matches."""
    return [project.write(f"given/{path.name}", path.read_bytes())
            for path in (project.root / "artifacts/teachers/en").iterdir()
            if not path.match(drop)]


@pytest.mark.parametrize(("spoil", "teacher", "says"), [
    pytest.param(lambda project: None, {"checkpoint": "./given"}, ("./given", "params.yaml"),
                 id="no-folder"),
    pytest.param(lambda project: None, {"checkpoint": "nobody/nothing"},
                 ("nobody/nothing", "params.yaml"), id="no-network"),
    pytest.param(lambda project: checkpoint(project, drop="*.safetensors"),
                 {"checkpoint": "given"}, ("given", "safetensors"), id="no-weights"),
    pytest.param(lambda project: (checkpoint(project, drop="*.safetensors"),
                                  project.write("given/pytorch_model.bin", b"pickle")),
                 {"checkpoint": "given"}, ("given", "safetensors"), id="pickle-only"),
    pytest.param(lambda project: (checkpoint(project), cut("given/model.safetensors")(project)),
                 {"checkpoint": "given"}, ("given", "safetensors"), id="cut-weights"),
    pytest.param(lambda project: checkpoint(project, drop="tokenizer*"),
                 {"checkpoint": "given"}, ("given", "expected a tokenizer"), id="no-tokenizer"),
    pytest.param(lambda project: checkpoint(project, drop="config.json"),
                 {"checkpoint": "given"}, ("given",), id="no-config"),
    pytest.param(lambda project: (checkpoint(project), project.write(
        "given/config.json", Path("given/config.json").read_text().replace('"ship"', '"post"'))),
        {"checkpoint": "given", "fine_tune": False}, ("given", "without ship", "`labels`"),
        id="other-labels"),
])
def test_wrong_checkpoint(ready: Project, capfd: pytest.CaptureFixture[str], spoil: Spoil,
                          teacher: dict[str, Any], says: tuple[str, ...]) -> None:
    spoil(ready)
    ready.params(setting("teachers.en", PARAMS["teachers"]["en"] | teacher))
    refuses(ready, capfd, "teach en", *says)


@pytest.mark.parametrize(("arguments", "says"), [
    ("", ("command",)),
    ("nonsense", ("nonsense", "--help")),
    ("data", ("LANG", "--help")),
    ("data en --fast", ("--fast", "--help")),
    ("data de", ("language", "en, fr", "'de'", "params.yaml")),
    ("validate de", ("language", "en, fr", "'de'")),
    ("teach de", ("teacher", "en, multilingual", "'de'")),
    ("score de", ("teacher", "en, multilingual", "'de'")),
    ("preset nonsense", ("preset", "params/", "'nonsense'")),
    ("ablate --jobs 0", ("--jobs", "--help")),
])
def test_wrong_command_line(project: Project, capfd: pytest.CaptureFixture[str], arguments: str,
                            says: tuple[str, ...]) -> None:
    if arguments:
        refuses(project, capfd, arguments, *says)
    else:
        assert run() == 2
        assert "distil" in capfd.readouterr().out


@pytest.mark.parametrize(("options", "stdin", "says"), [
    ("--lang de hi", b"", ("--lang", "en, fr", "'de'")),
    ("--lang en --model nowhere hi", b"", ("nowhere", "model.safetensors")),
    ("--lang en --model artifacts/teachers/en hi", b"", ("teachers/en", "'xlm-roberta'")),
    ("--lang en", b'{"text": "hi"\n', ("stdin:1", "JSON")),
    ("--lang en", b'hi\n{"txt": "hi"}\n', ("stdin:2", "`text`", "txt")),
    ("--lang en", b'{"text": 3}\n', ("stdin:1", "`text`")),
    ("", b'{"text": "hi", "lang": "de"}\n', ("--lang", "'de'")),
    ("", b'{"text": "hi", "lang": 3}\n', ("stdin:1", "`lang`", "3")),
    ("--lang en", b'{"text": "hi", "pair": ["a"]}\n', ("stdin:1", "`pair`", "['a']")),
    ("--lang fr", "été\n".encode("latin-1"), ("stdin:1", "UTF-8")),
])
def test_wrong_question(ready: Project, capfd: pytest.CaptureFixture[str],
                        monkeypatch: pytest.MonkeyPatch, options: str, stdin: bytes,
                        says: tuple[str, ...]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    refuses(ready, capfd, f"predict {options}", *says)


def test_preset_would_overwrite(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    project.write("params/tiny.yaml", yaml.dump(PARAMS))
    refuses(project, capfd, "preset tiny", "params.yaml", "your own", "--force")


def test_wrong_preset(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    project.write("params/tiny.yaml", "languages: []\n")
    refuses(project, capfd, "preset tiny --force", "params/tiny.yaml")


@pytest.mark.slow
@pytest.mark.parametrize(("command", "size"), [
    ("data en", 1000), ("data en", 2000), ("validate en", 1000), ("gate", 1000), ("gate", 10_000),
    ("teach en", 2000), ("teach en", 20_000), ("score en", 1000), ("start", 4000),
    ("distil", 2000), ("distil", 60_000), ("baseline", 2000), ("evaluate", 2000),
    ("report", 10_000), ("preset tiny --force", 1000)])
def test_full_disk(ready: Project, capfd: pytest.CaptureFixture[str], command: str,
                   size: int) -> None:
    ready.write("params/tiny.yaml", yaml.dump(PARAMS) + "#" * 20_000)
    with full_disk(size):
        refuses(ready, capfd, command, "expected to be able to write", "free space")


class Process(NamedTuple):
    """A command to run in its own process."""

    arguments: str
    spoil: Spoil
    says: tuple[str, ...]
    stdin: bytes = b""


@pytest.mark.slow
@pytest.mark.parametrize("case", [
    pytest.param(Process("data en", lambda project: project.params(setting("distil.top_k", 9)),
                         ("distil.top_k",)), id="params"),
    pytest.param(Process("data en", lambda project: project.params(
        setting("data", {"source": "dataset", "hub": "nobody/nothing"})), ("nobody/nothing",)),
        id="hub"),
    pytest.param(Process("predict --lang fr", cut("artifacts/student/model.safetensors"),
                         ("artifacts/student",), b"bonjour\n"), id="student"),
    pytest.param(Process("predict --lang fr", lambda project: None, ("stdin:1", "UTF-8"),
                         b"\xff\n"), id="stdin"),
])
def test_as_a_process(ready: Project, case: Process) -> None:
    case.spoil(ready)
    before = ready.snapshot()
    outcome = ready.amtss(*case.arguments.split(), stdin=case.stdin)
    assert outcome.status == 1
    assert outcome.out == ""
    assert outcome.err.startswith("amtss: ")
    assert outcome.err.count("\n") == 1
    for piece in case.says:
        assert piece in outcome.err
    assert ready.snapshot() == before

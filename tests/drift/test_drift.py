"""Logs of a small project against its held-out rows, and against earlier logs."""

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file
from support.project import Project, examples

from amtss.config.params import load_params
from amtss.config.schema import Params
from amtss.drift import drift, tables
from amtss.drift.drift import Compared, Request
from amtss.errors import DataError
from amtss.files import seal
from amtss.paths import Layout

MODEL = Path("artifacts/student")
NOISE = [{"text": "漢字 " + "hello " * 60, "lang": "en"}] * 100


def params() -> Params:
    return load_params(Path("params.yaml"))


def compare(*names: str, against: tuple[str, ...] = ()) -> dict[str, Compared]:
    return drift.compare(params(), Layout(), MODEL, Request(
        tuple(map(Path, names)), tuple(map(Path, against))))


def held_out(project: Project, *codes: str, times: int = 1) -> None:
    """Write the languages' own held-out rows as logs."""
    project.rows("logs.jsonl", [row | {"lang": code} for code in codes
                                for split in ("validation", "test")
                                for row in examples(code, split)] * times)


def test_held_out_rows_have_not_drifted(ready: Project) -> None:
    held_out(ready, "fr", "en")
    found = compare("logs.jsonl")
    assert list(found) == ["en", "fr"]
    for language in found.values():
        assert language.passed == []
        assert len(language.now) == len(language.before) == language.of == 24
        assert [language.changes[figure].size for figure in ("labels", "confidence", "length")] == [
            0.0] * 3


def test_other_texts_have(ready: Project) -> None:
    held_out(ready, "fr")
    ready.rows("noise.jsonl", NOISE)
    found = compare("logs.jsonl", "noise.jsonl")
    assert found["fr"].passed == []
    assert {"unknown", "length"} <= set(found["en"].passed)
    about = drift.record(found, MODEL)
    assert list(about["passed"]) == ["en"]
    assert about["languages"]["en"]["figures"]["unknown"]["now"] == 1.0
    assert about["languages"]["fr"]["figures"]["unknown"]["now"] < 0.5
    assert sum(share["now"] for share in about["languages"]["en"]["labels"].values()) == (
        pytest.approx(1.0))
    assert json.dumps(about)


def test_earlier_logs_may_be_the_reference(ready: Project) -> None:
    ready.rows("noise.jsonl", NOISE)
    assert compare("noise.jsonl", against=("noise.jsonl",))["en"].passed == []
    assert not Layout().reference("en").exists()
    held_out(ready, "fr")
    with pytest.raises(DataError, match=r"noise.jsonl: expected texts of fr .* --against"):
        compare("logs.jsonl", against=("noise.jsonl",))


def test_the_reference_is_computed_once_for_a_student(ready: Project) -> None:
    held_out(ready, "en")
    path = Layout().reference("en")
    before = compare("logs.jsonl")["en"].before
    written = path.stat().st_mtime_ns
    assert compare("logs.jsonl")["en"].before.confidence.tolist() == before.confidence.tolist()
    assert path.stat().st_mtime_ns == written

    weights = load_file(MODEL / "model.safetensors")
    weights["heads.en.out_proj.bias"][0] += 9
    save_file(weights, MODEL / "model.safetensors", metadata={"format": "pt"})
    seal(MODEL)
    assert compare("logs.jsonl")["en"].before.confidence.tolist() != before.confidence.tolist()


def test_many_texts_are_drawn(ready: Project) -> None:
    ready.params(lambda values: values.update(drift={"rows": 10}))
    held_out(ready, "en", times=2)
    found = compare("logs.jsonl")["en"]
    assert (len(found.now), len(found.before), found.of) == (10, 10, 48)


def test_files_without_texts(ready: Project) -> None:
    ready.write("logs.csv", "text,lang\n")
    with pytest.raises(DataError, match=r"logs.csv: expected texts, found none"):
        compare("logs.csv")


def test_rows_without_a_language_are_recognised(ready: Project) -> None:
    held_out(ready, "en", "fr")
    ready.rows("unnamed.jsonl", [{"text": row["text"]} for split in ("validation", "test")
                                 for row in examples("fr", split)])
    told, found = compare("logs.jsonl"), compare("unnamed.jsonl")
    assert list(found) == ["fr"]
    assert found["fr"].of == found["fr"].recognised == 24
    assert found["fr"].now.confidence.tolist() == told["fr"].now.confidence.tolist()
    assert tables.sentences(found) == (
        "24 texts named no language, it is recognised: fr for 24.",)
    assert tables.sentences(told) == ()
    assert drift.record(found, MODEL)["languages"]["fr"]["recognised"] == 24
    both = compare("logs.jsonl", "unnamed.jsonl")
    assert [(both[code].of, both[code].recognised) for code in both] == [(24, 0), (48, 24)]

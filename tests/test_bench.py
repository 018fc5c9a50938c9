"""The parts of bench/ run on a tiny project. Measuring is left to `make bench`."""

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.project import ROOT
from support.training import LABELS, LANGUAGES, distilled, scored, table

from amtss import files
from amtss.data import corpus
from amtss.paths import Layout
from amtss.table import Best
from amtss.tokenization import tokenizer

BENCH = Path(__file__).parents[1] / "bench"
CHANGES = {"max_epochs": 6, "top_k": len(LANGUAGES), "weights": "own", "teachers": list(LANGUAGES)}
ROWS = 40


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What each side of a benchmark trains on: some rows of a project, with its teachers."""
    monkeypatch.syspath_prepend(str(BENCH))
    scored(tmp_path / "project")
    module = importlib.import_module("training_task")
    module.cut(tmp_path / "project", tmp_path / "cut", ROWS, CHANGES)
    return module.Task(tmp_path / "cut", importlib.import_module("measuring").Meter())


def test_a_cut_keeps_the_same_share_of_each_split(task: Any, tmp_path: Path) -> None:
    whole, part = corpus.load(Layout(tmp_path / "project"), LANGUAGES[0]), task.corpora[0]
    share = ROWS / len(whole["train"])
    assert {split: len(part[split]) for split in part.splits} == {
        split: round(share * len(whole[split])) for split in whole.splits}


@pytest.mark.slow
@pytest.mark.parametrize("side", ["amtss", "bare", "trainer"])
def test_a_peer_trains_the_student(task: Any, side: str) -> None:
    getattr(importlib.import_module("training_peers"), side)(task)
    assert_six_epochs(task)


def assert_six_epochs(task: Any) -> None:
    assert len(task.epochs) == 6
    (first, _), *_, (last, accuracy) = task.epochs
    assert 0 <= accuracy <= 100
    assert 0 < first < last <= task.meter.cpu.total() - task.meter.cpu["validation"]
    assert {"training", "validation"} <= set(task.meter.cpu)


@pytest.mark.skipif(not importlib.util.find_spec("textbrewer"),
                    reason="needs textbrewer, of the dependency group `bench`")
@pytest.mark.parametrize("options", [{}, {"to_max": True}, {"by_hand": True, "fused": True}])
def test_textbrewer_trains_the_student(task: Any, options: dict[str, bool]) -> None:
    importlib.import_module("training_textbrewer").multitask(task, **options)
    assert_six_epochs(task)


@pytest.mark.parametrize("side", ["project", "paper"])
def test_a_step_is_measured_in_parts(task: Any, side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = importlib.import_module("training_profile")
    monkeypatch.setattr(profile, "TOKENS", 500)
    parts = profile.profile(task, side, 2)
    assert {"forward", "backward", "clip", "optimiser", "GFLOP"} <= set(parts)
    assert side in profile.table({side: [parts]}, {"bf16": 1000.0})


@pytest.mark.slow
def test_students_of_many_languages_are_built_and_onboarded(task: Any, tmp_path: Path) -> None:
    bench = importlib.import_module("languages")
    bench.deal(tmp_path / "project", tmp_path / "dealt", 3, 12)
    for code in bench.codes(3):
        assert bench.taught(tmp_path / "dealt", code)["teach"] > 0
    costs = bench.built(tmp_path / "dealt", 2)
    assert costs["onboarded"]["distil"] > 0


def test_a_tokenizer_of_the_projects_texts_knows_all_splits(task: Any, tmp_path: Path) -> None:
    bench = importlib.import_module("vocabulary")
    bench.stand_in(tmp_path / "project", [], 400, tmp_path / "general")
    general = tokenizer.load_tokenizer(str(tmp_path / "general"))
    for texts in task.corpora:
        for split in texts.splits:
            ids = np.concatenate(general(texts.texts(split)[0])["input_ids"])
            assert general.unk_token_id not in ids


@pytest.mark.slow
def test_a_trained_student_is_trimmed(task: Any, tmp_path: Path) -> None:
    bench = importlib.import_module("vocabulary")
    (tmp_path / "texts").mkdir()
    words = [f"{code}{label}{number}"
             for code in LANGUAGES for label in LABELS for number in range(9)]
    (tmp_path / "texts" / "other.jsonl").write_text(
        "".join(f'{{"text": "{word} general words {word}"}}\n' for word in words), encoding="utf-8")
    bench.stand_in(tmp_path / "project", [tmp_path / "texts"], 400, tmp_path / "general")
    full, *trimmed = bench.run(tmp_path / "project", tmp_path / "general", bench.FULL, 0)
    assert trimmed[0]["tokens"] < full["tokens"]
    for side in trimmed:
        same = ~side["otherwise"]
        assert np.array_equal(side["right"][same], full["right"][same])
    assert trimmed[-1]["side"] in bench.table({"trained": bench.compared([full, *trimmed])})


@pytest.mark.slow
def test_a_student_is_measured_where_it_is_unsure_and_where_texts_drift(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    distilled(tmp_path)
    unsure, drift = (importlib.import_module(name) for name in ("unsure", "drift"))
    unsure.main([str(tmp_path), "--out", str(tmp_path / "unsure.json")])
    found = json.loads((tmp_path / "unsure.json").read_text(encoding="utf-8"))["found"]
    assert set(found["languages"]["told"]) == {*LANGUAGES, "average"}
    assert all(0 <= share <= 100 for left in found["left"].values() for share in left.values())
    drift.main([str(tmp_path), "--sizes", "20", "--runs", "2", "--out",
                str(tmp_path / "drift.json")])
    found = json.loads((tmp_path / "drift.json").read_text(encoding="utf-8"))["found"]
    kinds = {row["drift"]: row for row in found["drifts"]}
    assert kinds["none: test"]["all"] == 0
    assert kinds["keyboard noise"]["all"] == 100


def test_a_random_student_is_served_like_the_projects(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    project = distilled(tmp_path / "project")
    serving = importlib.import_module("serving")
    folder = serving.random_student(project.layout, 300, tmp_path / "random")
    sides = serving.students("student", folder, tmp_path, ["int8"])
    texts = [f"{LANGUAGES[0]}pay1", f"{LANGUAGES[0]}chat2"]
    answers = {side.kind: getattr(importlib.import_module("serving_sides"), f"_{side.kind}")(
        side).answer((LANGUAGES[0], texts)) for side in sides}
    np.testing.assert_allclose(answers["onnx"], answers["pytorch"], atol=0.02)


def test_most_of_the_first_suspects_are_swapped_labels(tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    (tmp_path / "en").mkdir()
    for split, rows in (("train", 300), ("validation", 60), ("test", 60)):
        found = table("en", split, rows)
        (tmp_path / "en" / f"{split}.jsonl").write_text(
            "".join(f"{json.dumps(row)}\n" for row in found.to_pylist()), encoding="utf-8")
    labels = importlib.import_module("labels")
    found = labels.swapped(tmp_path, "label", "en", 0, 0)
    assert found["of the first 2%"] > 5 * 100 * labels.SWAPPED
    curve = labels.next_rows(tmp_path, "label", "en", 0, 0, None)
    assert all(0 <= curve[name] <= 100 for name in ("begin", "random 200", "chosen 200"))


def test_rows_are_drawn_of_train_and_the_rest_of_validation_is_the_test(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    rows = importlib.import_module("rows")
    splits = {split: [json.dumps({"id": f"{split}{number}", "topic": "fees"})
                      for number in range(size)]
              for split, size in (("train", 400), ("validation", 90))}
    unknown = json.dumps({"id": "unknown", "topic": "that no row of train has"})
    (tmp_path / "from" / "fr").mkdir(parents=True)
    for split, lines in splits.items():
        held = [unknown] if split == "validation" else []
        (tmp_path / "from" / "fr" / f"{split}.jsonl").write_text(
            "\n".join(lines + held) + "\n", encoding="utf-8")
    for name in ("one", "same"):
        rows.draw(tmp_path / "from", tmp_path / name, ["fr"], 300, "topic")
    drawn = {path.stem: path.read_text(encoding="utf-8").splitlines()
             for path in (tmp_path / "one" / "fr").iterdir()}
    assert {split: len(lines) for split, lines in drawn.items()} == {
        "train": 300, "validation": 60, "test": 30}
    assert set(drawn["train"]) < set(splits["train"])
    assert sorted(drawn["validation"] + drawn["test"]) == sorted(splits["validation"])
    assert (tmp_path / "same" / "fr" / "test.jsonl").read_text(encoding="utf-8").splitlines() == (
        drawn["test"])


@pytest.mark.slow
def test_a_stand_in_for_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC finds all keys and files of dvc.yaml; docs/scaling.md has the number of stages."""
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.chdir(ROOT)
    found = importlib.import_module("scaling").measure(1, stand_in=True)
    assert (found["languages"], found["stages"]) == (1, 4 * 1 + 12)
    assert "languages have 4 N + 12 stages" in Path("docs/scaling.md").read_text(encoding="utf-8")


POINTS = st.lists(st.tuples(st.floats(1, 1e4), st.floats(0, 100)), min_size=1, max_size=12)


@given(POINTS)
def test_a_side_is_on_the_front_if_no_other_beats_it(points: list[tuple[float, float]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        best = importlib.import_module("front").best(points)
    for (cost, accuracy), on in zip(points, best, strict=True):
        beaten = [(other, right) for (other, right), good in zip(points, best, strict=True)
                  if good and other <= cost and right >= accuracy]
        assert beaten, "each side is on the front, or a side of the front beats it"
        assert on == all(point == (cost, accuracy) for point in beaten)


def test_a_table_names_the_front_and_what_a_budget_pays_for(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    front = importlib.import_module("front")
    names = {"TF-IDF, linear SVM": (80.0, 400), "fastText": (85.0, 18),
             front.REFERENCE: (90.0, 600)}
    sides = {name: {"accuracy": accuracy, "bytes": 2_000_000,
                    **{str(size): {"us": [cost], "reference": [600]} for size in (1, 32)}}
             for name, (accuracy, cost) in names.items()}
    shown = front.table(sides)
    assert [row[0] for row in shown.rows] == [
        f"1  {front.REFERENCE}", "2  fastText", "3  TF-IDF, linear SVM"]
    assert [isinstance(row[3], Best) for row in shown.rows] == [True, True, False]
    assert [row[1] for row in front.budgets(sides).rows] == [
        "fastText, 85.00"] * 5 + [f"{front.REFERENCE}, 90.00"]
    front.picture(sides, tmp_path / "front.svg")
    assert all(row[0] in (tmp_path / "front.svg").read_text("utf-8") for row in shown.rows)


def test_a_finished_side_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    """Measuring would fail, as there are no models."""
    monkeypatch.syspath_prepend(str(BENCH))
    front = importlib.import_module("front")
    (tmp_path / "checksums.json").write_text("{}")
    side = {"accuracy": 90.0, "bytes": 1, "1": {"us": [1], "reference": [1]},
            "32": {"us": [1], "reference": [1]}}
    folder = tmp_path / "work" / files.fingerprint(b"{}", b"{}", 5)
    folder.mkdir(parents=True)
    (folder / "figures.json").write_text(json.dumps({front.REFERENCE: side}))
    front.main([str(tmp_path), "--static", str(tmp_path), "--data", "none", "--work",
                str(tmp_path / "work"), "--sides", front.REFERENCE,
                "Model2Vec, logistic regression"])
    said = capsys.readouterr()
    assert "left out: Model2Vec, logistic regression: expected" in said.err
    assert "our transformer, ONNX int8, 90.00" in said.out

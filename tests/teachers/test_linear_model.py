from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.training import LABELS, fill, table

from amtss.errors import AmtssError
from amtss.teachers.linear_model import LinearModel, fit, load, save

CANDIDATES = (0.1, 1.0)


def examples(split: str, rows: int, labels: tuple[str, ...] = LABELS) -> tuple[
        list[str], NDArray[np.int64]]:
    """Texts in English and the index of their labels, without the labels that are not named."""
    rows_of = [row for row in table("en", split, rows).to_pylist() if row["label"] in labels]
    return ([row["text"] for row in rows_of],
            np.array([LABELS.index(row["label"]) for row in rows_of], dtype=np.int64))


def model(labels: tuple[str, ...] = LABELS) -> LinearModel:
    return fit(*examples("train", 120, labels), *examples("validation", 60, labels), len(LABELS),
               CANDIDATES)


def accuracy(fitted: LinearModel) -> float:
    texts, labels = examples("test", 120)
    return float((fitted.log_probabilities(texts).argmax(axis=1) == labels).mean())


def test_it_learns_what_words_tell() -> None:
    assert accuracy(model()) > 0.9


def test_probabilities_sum_to_one_and_are_calibrated() -> None:
    texts, labels = examples("validation", 60)
    log_probabilities = model().log_probabilities(texts).astype(np.float64)
    np.testing.assert_allclose(np.exp(log_probabilities).sum(axis=1), 1.0, rtol=1e-5)
    rows = np.arange(len(labels))

    def loss(scale: float) -> float:
        scaled = scale * log_probabilities
        scaled -= np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        return -float(scaled[rows, labels].mean())

    assert loss(1.0) <= min(loss(0.7), loss(1.4))


def test_a_class_without_training_rows_keeps_a_small_probability() -> None:
    texts, labels = examples("test", 120)
    log_probabilities = model(LABELS[:2]).log_probabilities(texts)
    assert (log_probabilities[:, 2] < np.log(0.02)).all()
    assert (log_probabilities[:, 2] > np.log(1e-3)).all()
    known = labels < 2
    assert (log_probabilities.argmax(axis=1) == labels)[known].mean() > 0.9


def test_a_single_class_is_certain() -> None:
    fitted = model(LABELS[:1])
    log_probabilities = fitted.log_probabilities(["anything", ""])
    assert (log_probabilities.argmax(axis=1) == 0).all()
    np.testing.assert_allclose(np.exp(log_probabilities).sum(axis=1), 1.0, rtol=1e-5)


def test_equal_texts_give_equal_models(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save({"en": model()}, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_what_is_saved_answers_the_same(tmp_path: Path) -> None:
    fitted = model()
    save({"en": fitted, "two": model(LABELS[:2])}, tmp_path)
    texts = [*examples("test", 60)[0], "", "never seen", "\u3042 <pad>"]
    np.testing.assert_array_equal(load(tmp_path, "x")["en"].log_probabilities(texts),
                                  fitted.log_probabilities(texts))
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "features.json"}


@pytest.mark.parametrize("name", ["model.safetensors", "features.json"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    save({"en": model()}, tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(AmtssError, match=r"expected .*run `dvc repro -f teach@en`"):
        load(tmp_path, "dvc repro -f teach@en")


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    fitted = model()
    for ending in ("weights", "idf.words"):
        save({"en": fitted}, tmp_path)
        fill(tmp_path, float("inf"), ending)
        with pytest.raises(AmtssError, match="a whole linear model, found: NaN or infinite "
                           rf"numbers in en\.{ending}; run `dvc repro -f teach@en`$"):
            load(tmp_path, "dvc repro -f teach@en")

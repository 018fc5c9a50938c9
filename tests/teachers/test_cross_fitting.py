from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support.training import LABELS, write_corpus

from amtss.data import corpus
from amtss.data.corpus import Corpus
from amtss.paths import Layout
from amtss.teachers.cross_fitting import Rows, parts_of


def written(root: Path, code: str, ids: Sequence[str | None], texts: Sequence[str]) -> Corpus:
    """A corpus of training rows with these ids and texts."""
    labels = [LABELS[row % 3] for row in range(len(texts))]
    write_corpus(Layout(root), code, {}, train=pa.table(
        {"id": pa.array(ids, pa.string()), "text": texts, "label": labels}))
    return corpus.load(Layout(root), code)


def by_id(parts: Rows, ids: Sequence[str]) -> dict[str, int]:
    return dict(zip(ids, parts.tolist(), strict=True))


def test_translations_share_a_part(tmp_path: Path) -> None:
    """French has all rows in their order, Russian some of them in another order."""
    ids = [str(number) for number in range(60)]
    some = np.random.default_rng(0).permutation(ids)[:40].tolist()
    french = written(tmp_path, "fr", ids, [f"texte {name}" for name in ids])
    russian = written(tmp_path, "ru", some, [f"текст {name}" for name in some])
    one, other = np.split(parts_of([french, russian], 4), [60])
    assert by_id(other, some).items() <= by_id(one, ids).items()
    assert np.bincount(one, minlength=4).min() > 5
    np.testing.assert_array_equal(parts_of([russian], 4), other)


@pytest.mark.parametrize("name", [None, "", "log"])
def test_rows_without_ids_of_their_own_are_parted_by_their_order(tmp_path: Path,
                                                                 name: str | None) -> None:
    corpora = [written(tmp_path, code, [name] * 60, [f"{code} {row}" for row in range(60)])
               for code in ("en", "fr")]
    one, other = np.split(parts_of(corpora, 4), 2)
    np.testing.assert_array_equal(one, other)
    assert np.bincount(one, minlength=4).min() > 5


def test_equal_texts_share_a_part_in_and_across_languages(tmp_path: Path) -> None:
    texts = [f"text {row % 7}" for row in range(40)]
    corpora = [written(tmp_path, code, [f"{code}-{row}" for row in range(40)], texts)
               for code in ("en", "fr")]
    parts = parts_of(corpora, 4)
    assert len(set(zip(texts * 2, parts.tolist(), strict=True))) == 7
    assert set(parts.tolist()) <= {0, 1, 2, 3}

"""Stage `floor`: the linear floor, what a user would try first and every student is held against.

A linear model of words and pieces of words is taught for each language, on its labelled rows alone.
A language without labels has none.
"""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from amtss import records
from amtss.config.schema import Params
from amtss.data.corpus import Corpus, load
from amtss.errors import CheckpointError
from amtss.files import replacing, seal, verify, write_json
from amtss.logits.softmax import Array, softmax
from amtss.paths import Layout
from amtss.teachers import linear, linear_model

CANDIDATES = (0.1, 0.3, 1.0)
"""Values of the SVM's C to choose from, by validation accuracy."""
MAX_ROWS = 50_000
"""Training rows of a language that it learns at most: beyond that they cost memory and minutes."""


def teach(params: Params, layout: Layout) -> None:
    """Write the floor's folder: its models, and `floor.json` with their cost.

    Raises:
        AmtssError: a language's corpus is missing, altered or too small.
    """
    labels = records.labels(layout)
    corpora = _labelled([load(layout, language) for language in params.languages])
    started = time.process_time()
    rows = {corpus.language: _rows(corpus) for corpus in corpora}
    models = {corpus.language: linear.fit(corpus, labels, CANDIDATES, rows[corpus.language])
              for corpus in corpora}
    seconds = time.process_time() - started
    with replacing(layout.floor) as folder:
        folder.mkdir()
        linear_model.save(models, folder)
        seal(folder)  # without the seconds of floor.json, so that equal models have equal bytes
        write_json(folder / "floor.json", {
            "architecture": linear_model.ARCHITECTURE, "seconds": round(seconds, 3),
            "rows": {code: len(chosen) for code, chosen in rows.items()},
            "regularisation": {code: model.regularisation for code, model in models.items()},
            "accuracy": {corpus.language: linear.accuracy(models[corpus.language], corpus, labels)
                         for corpus in corpora}})


def _rows(corpus: Corpus) -> NDArray[np.int64]:
    """The training rows to learn, in order; of too many, those with the smallest keys, which are
    hashes."""
    return np.sort(np.argsort(corpus["train"]["key"].to_numpy())[:MAX_ROWS])


def _labelled(corpora: Sequence[Corpus]) -> list[Corpus]:
    return [corpus for corpus in corpora if not corpus.without_labels]


def predict_test(layout: Layout, corpora: Sequence[Corpus]) -> dict[str, Array]:
    """The floor's probabilities of the test rows of every language with labels. *Shape:* (N, C)
    each

    Raises:
        AmtssError: the floor is missing, damaged, or of other languages.
    """
    verify(layout.floor, "dvc repro floor")
    models = linear_model.load(layout.floor, "dvc repro floor")
    corpora = _labelled(corpora)
    missing = [corpus.language for corpus in corpora if corpus.language not in models]
    if missing:
        raise CheckpointError(f"{layout.floor}: expected a model of {', '.join(missing)}, found "
                              f"those of {', '.join(models)}; run `dvc repro floor`")
    return {corpus.language: softmax(models[corpus.language].log_probabilities(
        linear.joined(corpus, "test"))) for corpus in corpora}

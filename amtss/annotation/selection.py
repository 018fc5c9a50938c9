"""Which logs to label next: those that teachers are unsure of, and that differ from each other.

The texts that teachers are less sure of fall into as many clusters as texts are wanted, and the
text in the middle of each is taken (after Zhdanov 2019, "Diverse mini-batch active learning").

Shapes: N texts, D dimensions.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from amtss import records
from amtss.annotation import evidence, sheet, twins
from amtss.annotation.sheet import Line
from amtss.annotation.twins import Form
from amtss.config.schema import CODE, Params
from amtss.data import corrections, sources
from amtss.data.corpus import load
from amtss.errors import AmtssError
from amtss.logits.softmax import Array
from amtss.paths import Layout

COLUMNS = ("id", "lang", "split", "text", "pair", "label", "suggested", "score", "key")
UNSURE = 0.5
"""Share of the texts, the most uncertain ones, that are chosen from. The most uncertain ones
alone were hardly better than random ones; see docs/decisions/0023-corrections.md."""
MOST = 20_000
"""Texts that are compared with each other at most; of more, a random part."""
DIMENSIONS = 64
"""Of the vectors by which texts are compared."""


def label_next(params: Params, layout: Layout, language: str, budget: int) -> tuple[str, int]:
    """A sheet of the logs to label next, the most uncertain first, and how many there are.

    Texts whose near-duplicates have a label are left out. Where no teacher has scored the language,
    its logs are read from the source and chosen for their differences alone.

    Raises:
        AmtssError: the language has no logs, or an artifact is missing, altered or stale.
    """
    if not CODE.fullmatch(language):
        raise AmtssError("--lang: expected a language code such as 'ko' or 'zh-CN', found "
                         f"{language!r}; name a language")
    if language in params.languages and any(layout.logits(name, language).is_file()
                                            for name in params.pool):
        logs, answers, known = _scored(params, layout, language)
        labels = records.labels(layout)
    else:
        logs, answers, known, labels = sources.logs(params.data, language), None, [], []
    own = twins.forms(logs)
    done = {row.key for row in corrections.read(layout.corrections(language))}
    if done:
        known += [form for form, key in zip(own, corrections.keys(logs), strict=True)
                  if key in done]
    candidates = np.array(twins.first_of_each(own, known), dtype=np.int64)
    if not len(candidates):
        raise AmtssError(f"{language}: expected logs that differ from the labelled texts, found "
                         f"none among {len(logs)}; add some to the source and name their split in "
                         "data.splits.unlabelled")
    texts = [" ".join(" ".join(words) for words in own[row]) for row in candidates.tolist()]
    doubt = None if answers is None else uncertainty(answers[candidates])
    chosen = candidates[choose(texts, budget, doubt)]
    lines = [Line(row) if answers is None else
             Line(row, labels[answers[row].argmax()], float(1 - uncertainty(answers[[row]])[0]))
             for row in chosen.tolist()]
    return sheet.text(logs, language, "unlabelled", lines, COLUMNS), len(lines)


def _scored(params: Params, layout: Layout,
            language: str) -> tuple[pa.Table, Array, list[Form]]:
    """The logs of a language, what its teachers say of them, and the words of labelled rows."""
    corpus = load(layout, language).own()
    if "unlabelled" not in corpus.splits:
        return corpus["train"].slice(0, 0), np.zeros((0, 1)), []
    answers = evidence.probabilities(params, layout, corpus, records.labels(layout), "unlabelled")
    known = [form for split in ("train", "validation", "test")
             for form in twins.forms(corpus[split])]
    return corpus["unlabelled"], answers, known


def uncertainty(answers: Array) -> Array:
    """How little the likeliest label exceeds the second, from 0 for certain to 1. *Shape:* (N,)"""
    second, first = np.partition(answers, -2, axis=1)[:, -2:].T
    return np.asarray(1.0 - (first - second))


def choose(texts: Sequence[str], budget: int, doubt: Array | None) -> NDArray[np.int64]:
    """Rows of the texts to label, at most `budget`: the most uncertain first, or those that stand
    for the most others.

    Args:
        doubt: the uncertainty of each; None if nothing is known. *Shape:* (N,)
    """
    from sklearn.cluster import MiniBatchKMeans

    order = np.random.default_rng(0).permutation(len(texts))
    short = order
    if doubt is not None:
        order = order[np.argsort(-doubt[order], kind="stable")]
        short = short[np.isin(short, order[:max(budget, round(UNSURE * len(order)))])]
    short = short[:max(budget, MOST)]
    if len(short) <= budget:
        return order[:budget]
    points = vectors([texts[row] for row in short.tolist()])
    clusters = MiniBatchKMeans(budget, n_init=1, random_state=0, batch_size=2048).fit(points)
    distance = clusters.transform(points)
    middle = [int(members[distance[members, cluster].argmin()]) for cluster in range(budget)
              if len(members := np.flatnonzero(clusters.labels_ == cluster))]
    size = np.bincount(clusters.labels_, minlength=budget)[clusters.labels_[middle]]
    chosen = short[middle][np.argsort(-size, kind="stable")]
    others = order[~np.isin(order, chosen)]  # equal points leave clusters empty
    chosen = np.concatenate([chosen, others[:budget - len(chosen)]])
    return chosen if doubt is None else chosen[np.argsort(-doubt[chosen], kind="stable")]


def vectors(texts: Sequence[str]) -> NDArray[np.float64]:
    """Each text by its pieces of words: TF-IDF, reduced. *Shape:* (N, D)"""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    counted = pieces.fit_transform(texts)
    if counted.shape[1] > DIMENSIONS:
        counted = TruncatedSVD(DIMENSIONS, random_state=0).fit_transform(counted)
        return np.asarray(normalize(counted))
    return np.asarray(counted.toarray())

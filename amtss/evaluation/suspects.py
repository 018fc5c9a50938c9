"""How many training labels the teachers contradict, per language and label, for the report."""

import csv
import io
from collections.abc import Sequence

from amtss.annotation import evidence
from amtss.annotation.confident import contradicted
from amtss.config.schema import Params
from amtss.data.corpus import Corpus
from amtss.files import write_text
from amtss.logits.pool import LanguagePool, Pool
from amtss.logits.softmax import Array
from amtss.paths import Layout


def write(params: Params, layout: Layout, corpora: Sequence[Corpus], labels: Sequence[str],
          teachers: Pool) -> None:
    """`suspects.csv`: language, label, training rows, and the `count` of suspicious ones.

    A language is missing where `_answers` has none.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["language", "label", "rows", "count"])
    for corpus in corpora:
        answers = _answers(params, layout, corpus, teachers[corpus.language])
        if answers is None:
            continue
        gold = corpus.label_ids("train", labels)
        suspicious = gold[contradicted(gold, answers)]
        writer.writerows([corpus.language, label, (gold == index).sum(),
                          (suspicious == index).sum()] for index, label in enumerate(labels))
    write_text(layout.evaluation / "suspects.csv", text.getvalue())


def _answers(params: Params, layout: Layout, corpus: Corpus,
             members: LanguagePool) -> Array | None:
    """What teachers say of training rows that they have not learnt; None where all have learnt
    them. *Shape:* (N, C)"""
    scoring = [name for name in members.teachers if name in params.pool]
    if names := evidence.unseen(params, corpus.language, "train", scoring):
        return evidence.mixture(members, corpus.language, names, "train")
    return evidence.set_aside(params, layout, corpus, scoring)

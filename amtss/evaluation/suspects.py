"""How many training labels the teachers contradict, per language and label, for the report."""

import csv
import io
from collections.abc import Sequence

from amtss.annotation import evidence
from amtss.annotation.confident import contradicted
from amtss.config.schema import Params
from amtss.data.corpus import Corpus
from amtss.files import write_text
from amtss.logits.pool import Pool
from amtss.paths import Layout


def write(params: Params, layout: Layout, corpora: Sequence[Corpus], labels: Sequence[str],
          teachers: Pool) -> None:
    """`suspects.csv`: language, label, training rows, and the `count` of suspicious ones.

    A language is missing where no teacher of the pool has scored training rows that it has not
    learnt: another model would have to be taught for it, which takes too long here.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["language", "label", "rows", "count"])
    for corpus in corpora:
        language = corpus.language
        members = teachers[language]
        names = evidence.unseen(params, language, "train",
                                [name for name in members.teachers if name in params.pool])
        if not names:
            continue
        gold = corpus.label_ids("train", labels)
        answers = evidence.mixture(members, language, names, "train")
        suspicious = gold[contradicted(gold, answers)]
        writer.writerows([language, label, (gold == index).sum(), (suspicious == index).sum()]
                         for index, label in enumerate(labels))
    write_text(layout.evaluation / "suspects.csv", text.getvalue())

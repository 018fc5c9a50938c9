"""How many swapped labels `amtss suspects` finds, and what `amtss label-next` is worth.

`python bench/labels.py FOLDER [--label scenario] [--languages ar en es fr ru] [--seeds 0 1 2]
[--parts swapped next] [--encoder CHECKPOINT] [--rows 0] [--jobs 4] [--out FILE.json]`, on a folder
in MASSIVE's layout: {language}/{train,validation,test}.jsonl with id, text and the label. Labels of
5% of the training rows are swapped, and a linear teacher is cross-fitted. For what to label next, a
teacher begins with 100 random training rows, and 200, 500 and 1,000 more are added: random ones,
those that it would choose, and those that are chosen without a teacher. It is linear, or a probe of
`--encoder`, which chooses among 4,000 rows and is tested on 1,500.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measuring

PARTS = ("swapped", "next")
SWAPPED, LISTED = 0.05, 0.02
"""Share of the training labels that are swapped; share of the rows, the first ones, to look at."""
BEGIN, ADDED = 100, (200, 500, 1000)
VALIDATION = 500
"""Rows by which a teacher of few rows is chosen."""
CHOICE, TESTED = 4000, 1500
"""Training and test rows whose states an encoder computes."""
Scores = Callable[[str], Any]
"""The log-probabilities of a split. *Shape:* (N, C)"""


def read(folder: Path, language: str, label: str, rows: int) -> Any:
    """A language's corpus, of the labels that train has."""
    import pyarrow as pa
    from pyarrow import json

    from amtss.data.corpus import Corpus

    splits = {}
    for split in ("train", "validation", "test"):
        table = json.read_json(folder / language / f"{split}.jsonl").slice(0, rows or None)
        splits[split] = pa.table({"id": table["id"].cast(pa.string()), "text": table["text"],
                                  "label": table[label]})
    labels = tuple(sorted(set(splits["train"]["label"].to_pylist())))
    known = {split: table.filter(pa.compute.is_in(table["label"], pa.array(labels)))
             for split, table in splits.items()}
    return Corpus(language, known, f"{folder} {language} {label} {rows}", labels)


def swapped(folder: Path, label: str, language: str, rows: int, seed: int) -> dict[str, Any]:
    """Swap labels, list the suspicious ones, and count the swapped ones among them."""
    import numpy as np
    import pyarrow as pa

    from amtss.annotation import suspects
    from amtss.config.schema import LinearTeacher
    from amtss.logits.softmax import softmax
    from amtss.teachers import linear

    corpus = read(folder, language, label, rows)
    labels, train = corpus.labels, corpus["train"]
    rng = np.random.default_rng([seed, sum(map(ord, language))])
    gold = corpus.label_ids("train", labels)
    chosen = rng.choice(len(gold), round(SWAPPED * len(gold)), replace=False)
    gold[chosen] = (gold[chosen] + rng.integers(1, len(labels), len(chosen))) % len(labels)
    corpus.splits["train"] = train.set_column(
        train.column_names.index("label"), "label", pa.array([labels[index] for index in gold]))
    teacher = LinearTeacher(kind="linear", languages=(language,))
    answers = softmax(linear.cross_fit(corpus, labels, teacher))
    bad = np.isin([line.row for line in suspects.find(corpus, "train", labels, answers)], chosen)
    return {"language": language, "seed": seed,
            "of the first 2%": 100 * float(bad[:round(LISTED * len(gold))].mean()),
            "of all listed": 100 * float(bad.mean()),
            "listed of all swapped": 100 * float(bad.sum()) / len(chosen)}


def next_rows(folder: Path, label: str, language: str, rows: int, seed: int,
              encoder: str | None) -> dict[str, Any]:
    """Test accuracies after each number of rows, by how they were chosen."""
    import numpy as np

    from amtss.annotation import selection, twins
    from amtss.evaluation.metrics import accuracy

    corpus = read(folder, language, label, rows)
    shuffled(corpus, {"validation": VALIDATION} | (
        {"train": CHOICE, "test": TESTED} if encoder else {}))
    gold = corpus.label_ids("test", corpus.labels)
    with tempfile.TemporaryDirectory() as scratch:
        learn = probe_of(corpus, encoder, Path(scratch)) if encoder else linear_of(corpus)

    def measure(chosen: Any) -> float:
        return accuracy(learn(chosen)("test").argmax(axis=1), gold)

    order = np.random.default_rng(seed).permutation(len(corpus["train"]))
    begin, pool = order[:BEGIN], np.sort(order[BEGIN:])
    forms = twins.forms(corpus["train"])
    new = pool[twins.first_of_each([forms[row] for row in pool], [forms[row] for row in begin])]
    texts = [" ".join(" ".join(words) for words in forms[row]) for row in new]
    doubt = selection.uncertainty(np.exp(learn(begin)("train")[new].astype(float)))
    found: dict[str, Any] = {"language": language, "seed": seed, "begin": measure(begin)}
    for budget in ADDED:
        random = np.random.default_rng(seed + 77).permutation(len(pool))[:budget]
        for name, more in (("random", pool[random]),
                           ("chosen", new[selection.choose(texts, budget, doubt)]),
                           ("clusters alone", new[selection.choose(texts, budget, None)])):
            found[f"{name} {budget}"] = measure(np.concatenate([begin, more]))
    return found


def shuffled(corpus: Any, most: dict[str, int]) -> None:
    """Leave so many random rows of some splits."""
    import numpy as np

    for split, count in most.items():
        rows = np.random.default_rng(9).permutation(len(corpus[split]))[:count]
        corpus.splits[split] = corpus[split].take(rows)


def linear_of(corpus: Any) -> Callable[[Any], Scores]:
    """Teaches a linear model on some training rows."""
    from amtss.config.schema import LinearTeacher
    from amtss.teachers import linear

    teacher = LinearTeacher(kind="linear", languages=(corpus.language,))

    def learn(rows: Any) -> Scores:
        model = linear.fit(corpus, corpus.labels, teacher.regularisation, rows)
        return lambda split: model.log_probabilities(linear.joined(corpus, split))

    return learn


def probe_of(corpus: Any, encoder: str, folder: Path) -> Callable[[Any], Scores]:
    """Teaches a probe of an encoder of E5's kind on some training rows."""
    from amtss.config.schema import ProbeTeacher, Scoring
    from amtss.teachers import probe
    from amtss.teachers.embeddings import Embeddings

    teacher = ProbeTeacher(kind="probe", languages=(corpus.language,), checkpoint=encoder,
                           prefix="query: ", max_length=64)
    embeddings = Embeddings(folder, teacher, Scoring())
    examples = {split: probe._Examples(embeddings.of(corpus, split),
                                       corpus.label_ids(split, corpus.labels))
                for split in corpus.splits}

    def learn(rows: Any) -> Scores:
        head, _ = probe.fit(examples["train"][rows], examples["validation"], len(corpus.labels),
                            teacher.regularisation)
        return lambda split: head.log_probabilities(examples[split].states)

    return learn


def swapped_table(found: Sequence[dict[str, Any]]) -> str:
    rows = [{"language": code} | {name: measuring.spread(values, 1)
                                  for name, values in gathered(found, code).items()}
            for code in dict.fromkeys(row["language"] for row in found)]
    return measuring.table("Swapped labels among the suspicious ones, %", rows)


def next_table(found: Sequence[dict[str, Any]]) -> str:
    rows = []
    for code in dict.fromkeys(row["language"] for row in found):
        mean = {name: f"{statistics.fmean(values):.1f}"
                for name, values in gathered(found, code).items()}
        rows += [{"language": code, "rows": name, f"{BEGIN}": mean["begin"],
                  **{f"+{budget:,}": mean[f"{name} {budget}"] for budget in ADDED}}
                 for name in ("random", "chosen", "clusters alone")]
    return measuring.table("Test accuracy after more rows, mean of seeds", rows)


def gathered(found: Sequence[dict[str, Any]], language: str) -> dict[str, list[float]]:
    """A language's figures of all seeds, by name."""
    own = [row for row in found if row["language"] == language]
    return {name: [row[name] for row in own] for name in own[0]
            if name not in ("language", "seed")}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = measuring.parser(__doc__, "a folder in MASSIVE's layout")
    parser.add_argument("--label", default="scenario", help="the column of labels, or `intent`")
    parser.add_argument("--languages", nargs="+", default=["ar", "en", "es", "fr", "ru"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--encoder", help="a checkpoint of E5's kind; without, a linear teacher")
    parser.add_argument("--rows", type=int, default=0, help="of each split; 0 for all")
    options = parser.parse_args(arguments)
    found = measure(options)
    tables = {"swapped": swapped_table, "next": next_table}
    measuring.report(options, "\n".join(tables[part](rows) for part, rows in found.items()), found)


def measure(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Each language and seed in a process of its own, by part."""
    one = [(options.project, options.label, code, options.rows, seed)
           for code in options.languages for seed in options.seeds]
    with measuring.processes(options.jobs) as pool:
        started = {"swapped": [pool.submit(swapped, *each) for each in one]
                   if "swapped" in options.parts else [],
                   "next": [pool.submit(next_rows, *each, options.encoder) for each in one]
                   if "next" in options.parts else []}
        return {part: [task.result() for task in tasks] for part, tasks in started.items() if tasks}


if __name__ == "__main__":
    main()

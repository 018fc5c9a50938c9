"""Validation and test rows cut off train, where the source has no such split."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator

import pyarrow as pa

from amtss.data.presence import CUT
from amtss.data.sources import Tables
from amtss.errors import DataError
from amtss.lookalikes import plain
from amtss.paths import SPLITS

SHARE, MOST_SHARE = 0.1, 0.2
"""Of the training rows: for a split as a rule, and at most where that is less than `FEW` rows."""
FEW, MOST = 100, 5_000
"""Rows of a split: a tenth of few rows measures nothing, a tenth of many is a waste."""
Labels = Counter[str | None]


def complete(tables: Tables, language: str, seed: int) -> Tables:
    """`tables` with the validation and test splits that they lack, cut off train.

    A split gets `size` rows, as many of each label as its share. Every label keeps a training row.
    Rows whose texts are alike (of pairs, whose first texts are) stay on one side, so that no text
    of train is asked later. Which rows are taken depends on `seed` and their ids alone: rows with
    the same id in several languages, as translations have, mostly land on the same side. A language
    without labels has no train, and stays as it is.

    Raises:
        DataError: there are too few rows to cut any off.
    """
    if "train" not in tables:
        return tables
    train = tables["train"]
    labels = train["label"].to_pylist()
    groups, left = _groups(train, seed), Counter(labels)
    made = {}
    for split in [split for split in CUT if split not in tables]:
        taken = _taken(groups, labels, left, _shares(Counter(labels), size(len(train))))
        if not taken:
            raise DataError(f"{language}/train: expected enough rows to cut a {split} split off, "
                            f"while each label keeps one, found {len(train)} rows of "
                            f"{len({*labels})} labels; add rows, or name the source's {split} "
                            "split in data.splits")
        rows = sorted(row for group in taken for row in group)
        groups = [group for group in groups if group not in taken]
        made[split] = train.take(pa.array(rows, pa.int64()))
    if not made:
        return tables
    rest = sorted(row for group in groups for row in group)
    whole = tables | made | {"train": train.take(pa.array(rest, pa.int64()))}
    return {split: whole[split] for split in SPLITS if split in whole}


def remarks(source: Tables, tables: Tables, language: str) -> Iterator[str]:
    """What `complete` has made of a source, in sentences."""
    for split in sorted(tables.keys() - source.keys()):
        yield (f"{language}: no {split} split in the source; {len(tables[split]):,} of "
               f"{len(source['train']):,} training rows are cut off for it, by label")


def size(rows: int) -> int:
    """How many of `rows` training rows a split gets that is cut off them."""
    return min(max(round(SHARE * rows), FEW), round(MOST_SHARE * rows), MOST)


def _groups(train: pa.Table, seed: int) -> list[tuple[int, ...]]:
    """Rows whose texts are alike, in an order drawn with `seed` from their ids."""
    groups = defaultdict(list)
    for row, text in enumerate(train["text"].to_pylist()):
        groups[plain(text or "")].append(row)
    ranks = [hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest()
             for name in train["id"].to_pylist()]
    return sorted(map(tuple, groups.values()), key=lambda rows: min((ranks[row], row)
                                                                    for row in rows))


def _shares(counts: Labels, rows: int) -> Labels:
    """How many of `rows` each label gets: its share, rounded so that the sum is right."""
    total = counts.total()
    shares = Counter({label: rows * count // total for label, count in counts.items()})
    by_rest = sorted(counts, key=lambda label: (-(rows * counts[label] % total), str(label)))
    return shares + Counter(by_rest[:rows - shares.total()])


def _taken(groups: list[tuple[int, ...]], labels: list[str | None], left: Labels,
           wanted: Labels) -> set[tuple[int, ...]]:
    """The first groups that hold as many rows of each label as `wanted`, or fewer. `left`, the
    training rows of each label, is brought up to date."""
    taken = set()
    for group in groups:
        counts = Counter(labels[row] for row in group)
        if all(count <= wanted[label] and count < left[label] for label, count in counts.items()):
            taken.add(group)
            wanted -= counts
            left -= counts
    return taken

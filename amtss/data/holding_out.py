"""A language without labels: its source has texts alone, and some of them are kept for measuring.

Accuracy needs labels; where there are none, a student's agreement with its teachers on texts that
it has not seen takes its place.
"""

import random
from collections import defaultdict

import pyarrow as pa

from amtss.data.sources import Tables
from amtss.errors import DataError
from amtss.lookalikes import plain

SHARE, MOST = 0.1, 2_000
"""Of the different texts without labels, how many a split gets that the source lacks."""
FEWEST = 20
"""Different texts without labels that there must be."""


def hold_out(tables: Tables, language: str, seed: int) -> Tables:
    """`tables` with an empty train split, and with texts of the unlabelled split as validation, and
    as test where the source has none.

    A text goes with all its copies, so that no text that is kept for measuring is also learnt from.
    Language and seed choose them.

    Raises:
        DataError: there are too few different texts.
    """
    logs, rows = tables["unlabelled"], defaultdict(list)
    columns = [name for name in ("text", "pair") if name in logs.column_names]
    for row, texts in enumerate(zip(*(logs[name].to_pylist() for name in columns), strict=True)):
        rows[tuple(plain(text or "") for text in texts)].append(row)
    if len(rows) < FEWEST:
        raise DataError(f"{language}/unlabelled: expected at least {FEWEST} different texts, of "
                        f"which some are kept for measuring, as there are no labels, found "
                        f"{len(rows)}; add texts to the source")
    missing = [split for split in ("validation", "test") if split not in tables]
    size = min(MOST, round(SHARE * len(rows)))
    drawn = random.Random(f"{seed}-{language}-held-out").sample(sorted(rows), size * len(missing))
    kept = {split: sorted(row for text in drawn[size * place:size * (place + 1)]
                          for row in rows[text]) for place, split in enumerate(missing)}
    held_out = {row for chosen in kept.values() for row in chosen}
    left = [row for row in range(len(logs)) if row not in held_out]
    return {"train": logs.slice(0, 0), **tables,
            **{split: logs.take(pa.array(chosen, pa.int64())) for split, chosen in kept.items()},
            "unlabelled": logs.take(pa.array(left, pa.int64()))}

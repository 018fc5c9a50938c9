"""Fewer rows of a language: skewed by label, at most a number of them, or fewer with labels."""

import random
from collections import Counter, defaultdict

import pyarrow as pa

from amtss.config.schema import Sample
from amtss.data.sources import Tables
from amtss.errors import DataError


def sample(tables: Tables, settings: Sample, language: str, seed: int) -> Tables:
    """The rows of `tables` that `settings` keep, in their order. Language and split enter the seed.

    Raises:
        DataError: no training rows, or `skew` is set and Appendix A has no such language.
    """
    if not len(tables["train"]):
        raise DataError(f"{language}/train: expected rows, found none; add some to the source or "
                        "correct data.splits in params.yaml")
    shares = _shares(tables["train"], settings, language)
    limit = settings.rows or len(tables["train"])
    kept = {}
    for split, table in tables.items():
        if split == "unlabelled":
            kept[split] = table
            continue
        rows = round(limit * len(table) / len(tables["train"]))
        draw = random.Random(f"{seed}-{language}-{split}")
        kept[split] = table.take(pa.array(_rows(table, shares, rows, draw), pa.int64()))
    if settings.labelled is not None:
        draw = random.Random(f"{seed}-{language}-labelled")
        kept |= _unlabel(kept, settings.labelled, draw)
    return kept


def _shares(train: pa.Table, settings: Sample, language: str) -> dict[str, float] | None:
    """Label -> share of rows: the label of rank r gets row r of the language's Appendix A column.

    The appendix's rows are in the order of Arabic's counts, so the columns of other languages are
    not sorted, and each language is skewed in its own way. None without a skew.
    """
    if settings.skew is None:
        return None
    from amtss.data.appendix_a import COUNTS

    if language not in COUNTS:
        raise DataError(f"data.sample.skew: expected a language of Appendix A "
                        f"({', '.join(COUNTS)}), found {language!r}; set it to null")
    counted = Counter(train["label"].to_pylist())
    ranked = sorted(counted, key=lambda label: (-counted[label], label))
    column = COUNTS[language][: len(ranked)]
    return {label: count / sum(column) for label, count in zip(ranked, column, strict=False)}


def _rows(table: pa.Table, shares: dict[str, float] | None, rows: int,
          draw: random.Random) -> list[int]:
    """Indices of at most `rows` rows; per label, its share of them or as many as it has."""
    if shares is None:
        return sorted(draw.sample(range(len(table)), min(rows, len(table))))
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(table["label"].to_pylist()):
        by_label[label].append(index)
    kept: list[int] = []
    for label in sorted(by_label):
        wanted = round(rows * shares.get(label, 0.0))
        kept += draw.sample(by_label[label], min(wanted, len(by_label[label])))
    return sorted(kept)


def _unlabel(tables: Tables, labelled: int, draw: random.Random) -> Tables:
    """The new train split with `labelled` rows, and the unlabelled one with the others added."""
    train = tables["train"]
    chosen = set(draw.sample(range(len(train)), min(labelled, len(train))))
    rest = train.take(pa.array(sorted(set(range(len(train))) - chosen), pa.int64()))
    at = rest.column_names.index("label")
    rest = rest.set_column(at, "label", pa.nulls(len(rest), pa.string()))
    logs = [tables["unlabelled"], rest] if "unlabelled" in tables else [rest]
    return {"train": train.take(sorted(chosen)),
            "unlabelled": pa.concat_tables(logs)}

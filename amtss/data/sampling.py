"""Cut a language down: to a label distribution of its own, to fewer rows, to fewer labels."""

import random
from collections import Counter, defaultdict

import pyarrow as pa

from amtss.config.schema import Sample
from amtss.data.sources import Tables
from amtss.errors import DataError


def sample(tables: Tables, settings: Sample, language: str, seed: int) -> Tables:
    """The rows of `tables` that `settings` keep, in their order. Seeded by language and split.

    Raises:
        DataError: a skew is asked for and Appendix A has no column for the language.
    """
    if not len(tables["train"]):
        raise DataError(f"{language}/train: expected rows, found none; add some to the source or "
                        "mend data.splits in params.yaml")
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
    """Label -> share of rows: the label of rank r takes Appendix A's row r for the language.

    The table's rows stand in the order of Arabic's counts, so a language whose own order differs
    comes out skewed its own way.
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
    """Indices kept: `rows` at most, `shares` of them per label as far as the label has rows."""
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
    """Train with `labelled` rows; the others, without their label, join `unlabelled`."""
    train = tables["train"]
    chosen = set(draw.sample(range(len(train)), min(labelled, len(train))))
    rest = train.take(pa.array(sorted(set(range(len(train))) - chosen), pa.int64()))
    at = rest.column_names.index("label")
    rest = rest.set_column(at, "label", pa.nulls(len(rest), pa.string()))
    logs = [tables["unlabelled"], rest] if "unlabelled" in tables else [rest]
    return {"train": train.take(sorted(chosen)),
            "unlabelled": pa.concat_tables(logs)}

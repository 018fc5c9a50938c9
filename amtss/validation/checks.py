"""The checks as data: expectation, thresholds, and how to fix a failure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from amtss.config.schema import Validation
from amtss.lookalikes import VISIBLE, alike, printed
from amtss.validation.labels import Counts, smoothed, vector

LABELLED = ("train", "validation", "test")
NEVER = math.inf
"""The error threshold of a check that only warns."""
ROWS = "fix these rows in the source"
COLUMNS = "fix data.columns in params.yaml or the source's columns"


@dataclass(frozen=True)
class Check:
    """An expectation of Great Expectations and how its result is judged.

    A result above `error` is an error, else one above `warn` a warning. Both thresholds are shares
    for `rows` and `labels`; a `fact` either holds or is an error. An expectation of Great
    Expectations has one threshold and one severity, so the two thresholds are ours.
    """

    name: str
    expected: str
    kind: str
    """The name of the expectation's class; only `expectations` imports Great Expectations."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    unit: Literal["rows", "labels", "nats", "times", "fact"] = "rows"
    warn: float = 0.0
    error: float = 0.0
    fix: str = ROWS

    @property
    def column(self) -> str:
        """The column of the source that is checked, empty for whole rows."""
        column = self.arguments.get("column", "")
        return column if column in ("text", "pair", "label") else ""

    @property
    def first(self) -> float:
        """The lower of the two thresholds."""
        return min(self.warn, self.error)


def of_schema(columns: Sequence[str], labelled: bool) -> Iterator[Check]:
    """The split has `columns` of strings; a labelled split has rows."""
    yield Check("schema", f"the columns id, {', '.join(columns)}", "ExpectTableColumnsToMatchSet",
                {"column_set": ["id", *columns], "exact_match": False}, "fact", fix=COLUMNS)
    for name in columns:
        yield Check("schema", f"strings in {name}", "ExpectColumnValuesToBeOfType",
                    {"column": name, "type_": "str"}, "fact", fix=COLUMNS)
    if labelled:
        yield Check("rows", "at least one row", "ExpectTableRowCountToBeBetween", {"min_value": 1},
                    "fact", fix="add rows to the source or fix data.splits in params.yaml")


def of_text(name: str, settings: Validation) -> Iterator[Check]:
    """The column `name` (`text` or `pair`), row by row."""
    longest = settings.max_characters
    yield Check("nulls", f"a {name} in every row", "ExpectColumnValuesToNotBeNull",
                {"column": name})
    yield Check("empty", f"more than white space in every {name}",
                "ExpectColumnValuesToMatchRegex", {"column": name, "regex": VISIBLE},
                error=settings.max_empty, fix=_or_raise("max_empty"))
    yield Check("too long", f"at most {longest} characters in every {name}",
                "ExpectColumnValueLengthsToBeBetween", {"column": name, "max_value": longest},
                error=settings.max_absurd, fix=_or_raise("max_absurd"))


def of_duplicates(names: Sequence[str], marks: Sequence[str],
                  settings: Validation) -> Iterator[Check]:
    """Texts (the columns `names`) that occur more than once, from the columns `marks`.

    Texts that differ in case, width, blanks or normal form alone count as one.
    """
    leaked, conflicting = settings.max_leaked, settings.max_conflicting
    for mark, name, expected, warn, error, key in (
        ("repeated", "duplicates", f"each {' and '.join(names)} once",
         settings.warn_duplicates, settings.max_duplicates, "max_duplicates"),
        ("several_labels", "conflicting", "one label for each text",
         settings.warn_conflicting, conflicting, "max_conflicting"),
        ("also_in_train", "leaked", "no text that also occurs in train",
         settings.warn_leaked, leaked, "max_leaked"),
        ("other_label_in_train", "conflicting with train", "the label that a text has in train",
         settings.warn_conflicting, conflicting, "max_conflicting"),
        ("also_in_test", "leaked", "no text that also occurs in test",
         settings.warn_leaked, NEVER, "warn_leaked"),
    ):
        if mark in marks:
            yield Check(name, expected, "ExpectColumnValuesToBeNull", {"column": mark},
                        warn=warn, error=error, fix=_or_raise(key))


def of_label(split: str, counts: Mapping[str, Counts],
             known: Sequence[str] | None, settings: Validation) -> Iterator[Check]:
    """A split's labels: present, among `known` where the list is fixed, distributed as in train."""
    yield Check("nulls", "a label in every row", "ExpectColumnValuesToNotBeNull",
                {"column": "label"})
    yield Check("empty", "a label in every row", "ExpectColumnValuesToMatchRegex",
                {"column": "label", "regex": VISIBLE})
    if known is not None:
        yield Check("unknown labels", f"one of the {len(known)} known labels in every row",
                    "ExpectColumnValuesToBeInSet", {"column": "label", "value_set": [*known]},
                    fix=f"{ROWS} or fix data.labels in params.yaml")
    train, own = counts.get("train"), counts[split]
    if split != "train" and train and own:
        values, most = sorted({*train, *own}), settings.warn_split_divergence
        weights = smoothed(vector(train, values)).tolist()
        yield Check("label distribution", f"KL({split} || train) of at most {most:g} nats",
                    "ExpectColumnKLDivergenceToBeLessThan",
                    {"column": "label", "threshold": most,
                     "partition_object": {"values": values, "weights": weights}},
                    "nats", most, NEVER)


def label_table(counts: Mapping[str, Counts], labels: Sequence[str]) -> pa.Table:
    """A row per label: its number of rows in each split, and how many times more training rows the
    most frequent label has."""
    rows = {split: vector(counts.get(split, {}), labels) for split in LABELLED}
    largest = int(rows["train"].max())
    ratios = [largest / int(count) if count else None for count in rows["train"]]
    others = {label: [other for other in group if other != label]
              for group in alike(labels) for label in group}
    twins = {label: [other for other in others[label] if printed(other) == printed(label)]
             for label in others}
    return pa.table({"label": pa.array(labels, pa.string()), **rows,
                     "largest_over_this": pa.array(ratios, pa.float64()),
                     "printed_alike": _listed(labels, twins), "alike": _listed(labels, others)})


def _listed(labels: Sequence[str], others: Mapping[str, Sequence[str]]) -> pa.Array:
    """For each label the first of its `others`, null where it has none."""
    return pa.array([next(iter(others.get(label, ())), None) for label in labels], pa.string())


def of_label_table(settings: Validation) -> Iterator[Check]:
    """Every label has enough training examples, also compared with the most frequent label."""
    least, most = settings.min_examples, settings.warn_imbalance
    yield Check("few examples", f"at least {least} training rows of every label",
                "ExpectColumnValuesToBeBetween", {"column": "train", "min_value": least},
                "labels", error=NEVER)
    yield Check("labels printed alike", "labels that do not print alike",
                "ExpectColumnValuesToBeNull", {"column": "printed_alike"}, "labels",
                fix="spell them alike in the source")
    yield Check("labels alike", "labels that differ in more than case, width and blanks",
                "ExpectColumnValuesToBeNull", {"column": "alike"}, "labels", error=NEVER,
                fix="spell them alike in the source")
    yield Check("imbalance", f"at most {most:g} times as many rows of one label as of another",
                "ExpectColumnMaxToBeBetween", {"column": "largest_over_this", "max_value": most},
                "times", most, NEVER)


def _or_raise(key: str) -> str:
    return f"{ROWS} or raise validation.{key} in params.yaml"

"""What is checked, as data: expectations by name, their thresholds and what mends a failure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from amtss.config.schema import Validation
from amtss.validation.labels import Counts, smoothed, vector

LABELLED = ("train", "validation", "test")
NEVER = math.inf
"""The error threshold of a check that only warns."""
ROWS = "mend these rows in the source"
COLUMNS = "mend data.columns in params.yaml or the source's columns"


@dataclass(frozen=True)
class Check:
    """An expectation of Great Expectations and what its result means.

    Above `error` it is an error, above `warn` a warning. Both are shares for `rows` and `labels`;
    a `fact` holds or is an error.
    """

    name: str
    expected: str
    kind: str
    """The expectation's class."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    unit: Literal["rows", "labels", "nats", "times", "fact"] = "rows"
    warn: float = 0.0
    error: float = 0.0
    mend: str = ROWS

    @property
    def column(self) -> str:
        """The column of the source that it is about, empty for whole rows."""
        column = self.arguments.get("column", "")
        return column if column in ("text", "pair", "label") else ""

    @property
    def first(self) -> float:
        """The threshold that is crossed first."""
        return min(self.warn, self.error)


def of_schema(split: str, columns: Sequence[str]) -> Iterator[Check]:
    """`columns` are there and hold strings; a labelled split has rows."""
    yield Check("schema", f"the columns id, {', '.join(columns)}", "ExpectTableColumnsToMatchSet",
                {"column_set": ["id", *columns], "exact_match": False}, "fact", mend=COLUMNS)
    for name in columns:
        yield Check("schema", f"strings in {name}", "ExpectColumnValuesToBeOfType",
                    {"column": name, "type_": "str"}, "fact", mend=COLUMNS)
    if split in LABELLED:
        yield Check("rows", "at least one row", "ExpectTableRowCountToBeBetween", {"min_value": 1},
                    "fact", mend="add rows to the source or mend data.splits in params.yaml")


def of_text(name: str, settings: Validation) -> Iterator[Check]:
    """The column `name`, of texts or pairs, one row at a time."""
    longest = settings.max_characters
    yield Check("nulls", f"a {name} in every row", "ExpectColumnValuesToNotBeNull",
                {"column": name})
    yield Check("empty", f"more than white space in every {name}",
                "ExpectColumnValuesToMatchRegex", {"column": name, "regex": r"\S"},
                error=settings.max_empty, mend=_or_raise("max_empty"))
    yield Check("too long", f"at most {longest} characters in every {name}",
                "ExpectColumnValueLengthsToBeBetween", {"column": name, "max_value": longest},
                error=settings.max_absurd, mend=_or_raise("max_absurd"))


def of_repeats(names: Sequence[str], marks: Sequence[str], settings: Validation) -> Iterator[Check]:
    """Texts (the columns `names`) that stand more than once, by `repeats.MARKS`."""
    kind = "ExpectColumnValuesToBeUnique"
    arguments: dict[str, Any] = {"column": "text"}
    if len(names) > 1:
        kind = "ExpectCompoundColumnsToBeUnique"
        arguments = {"column_list": [*names], "ignore_row_if": "any_value_is_missing"}
    yield Check("duplicates", f"each {' and '.join(names)} once", kind, arguments,
                warn=settings.warn_duplicates, error=settings.max_duplicates,
                mend=_or_raise("max_duplicates"))
    leaked, conflicting = settings.max_leaked, settings.max_conflicting
    for mark, name, expected, warn, error, key in (
        ("several_labels", "conflicting", "one label for each text",
         settings.warn_conflicting, conflicting, "max_conflicting"),
        ("also_in_train", "leaked", "no text that also stands in train",
         settings.warn_leaked, leaked, "max_leaked"),
        ("other_label_in_train", "conflicting with train", "the label that a text has in train",
         settings.warn_conflicting, conflicting, "max_conflicting"),
        ("also_in_test", "leaked", "no text that also stands in test",
         settings.warn_leaked, NEVER, "warn_leaked"),
    ):
        if mark in marks:
            yield Check(name, expected, "ExpectColumnValuesToBeNull", {"column": mark},
                        warn=warn, error=error, mend=_or_raise(key))


def of_label(split: str, counts: Mapping[str, Counts],
             known: Sequence[str] | None, settings: Validation) -> Iterator[Check]:
    """Labels of a split: there, `known` where that is fixed, distributed as in train."""
    yield Check("nulls", "a label in every row", "ExpectColumnValuesToNotBeNull",
                {"column": "label"})
    if known is not None:
        yield Check("unknown labels", f"one of the {len(known)} known labels in every row",
                    "ExpectColumnValuesToBeInSet", {"column": "label", "value_set": [*known]},
                    mend=f"{ROWS} or mend data.labels in params.yaml")
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
    """A row per label: its rows in each split, and the largest label's over its own in train."""
    found = {split: vector(counts.get(split, {}), labels) for split in LABELLED}
    largest = int(found["train"].max())
    times = [largest / int(rows) if rows else None for rows in found["train"]]
    return pa.table({"label": pa.array(labels, pa.string()), **found,
                     "largest_over_this": pa.array(times, pa.float64())})


def of_label_table(settings: Validation) -> Iterator[Check]:
    """Every label has examples to learn from, and none too few beside the largest."""
    least, most = settings.min_examples, settings.warn_imbalance
    yield Check("few examples", f"at least {least} training rows of every label",
                "ExpectColumnValuesToBeBetween", {"column": "train", "min_value": least},
                "labels", error=NEVER)
    yield Check("imbalance", f"a largest label of at most {most:g} times the smallest",
                "ExpectColumnMaxToBeBetween", {"column": "largest_over_this", "max_value": most},
                "times", most, NEVER)


def _or_raise(key: str) -> str:
    return f"{ROWS} or raise validation.{key} in params.yaml"

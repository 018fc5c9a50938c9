"""A language's rows as the other stages read them, made of what its source has."""

from pathlib import Path
from typing import NamedTuple

from amtss.config.schema import Data
from amtss.data import corrections, cutting, holding_out, mixing, sampling
from amtss.data.sources import Source, Tables


class Prepared(NamedTuple):
    """What is made of a source."""

    tables: Tables
    cut: list[str]
    """Splits that the source has not, cut off train."""
    remarks: list[str]
    """A sentence about each of these."""


def prepare(source: Source, settings: Data, language: str, corrected: Path) -> Prepared:
    """Correct labels, cut the missing splits off train, sample, and mix texts.

    Corrections name rows of the split that the row is in, so they come after the cut. Those of a
    source without labels come before: they may be all the labels that there are.

    Args:
        corrected: the language's file of corrections.

    Raises:
        DataError: too few rows, or a correction that does not fit the source any more.
    """
    seed, labelled = settings.seed, "train" in source.tables
    tables = source.tables if labelled else corrections.correct(source.tables, corrected)
    whole = cutting.complete(tables, language, seed)
    cut, remarks = ([split for split in whole if split not in tables],
                    list(cutting.remarks(tables, whole, language)))
    if labelled:
        whole = corrections.correct(whole, corrected)
    if "train" in whole:
        whole = sampling.sample(whole, settings.sample, language, seed)
    else:
        whole = holding_out.hold_out(whole, language, seed)
    return Prepared(mixing.mix(whole, settings.mixed, language, seed), cut, remarks)

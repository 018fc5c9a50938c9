"""Read a sheet that annotators have filled in, and keep what it says as corrections."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from amtss import records
from amtss.config.schema import CODE, Params
from amtss.data import corrections, cutting, sheets, sources
from amtss.data.corrections import Correction
from amtss.data.sources import Tables
from amtss.errors import DataError
from amtss.lookalikes import plain, shown
from amtss.paths import SPLITS, Layout

FIX = "write the sheet anew with `amtss suspects` or `amtss label-next`, and fill it in"


class Applied(NamedTuple):
    """What a sheet has said of one language."""

    language: str
    corrected: int
    """Labels that differ from the source's."""
    confirmed: int
    """Labels that are right as they are."""
    labelled: int
    """Rows that had no label."""


def apply(params: Params, layout: Layout, path: Path) -> list[Applied]:
    """Add a sheet's answers to its languages' corrections. The same sheet twice changes nothing.

    The answer is what stands in the column `corrected`, and for rows without a label in `label`.
    Rows without an answer are left alone. A new answer to a row replaces an earlier one.

    Raises:
        DataError: the sheet is none, has no answers, a label that the project has not, or a row
            that the source has not.
    """
    answers = _answers(path, params.data.labels or tuple(records.labels(layout)))
    merged = {}
    for language, rows in answers.items():
        target, tables = layout.corrections(language), _source(params, language)
        known = {(row.split, row.key): row for row in corrections.read(target)}
        new = {(row.split, row.key): row for row in (_placed(row, known) for row in rows)}
        corrections.corrected(tables, [*new.values()], path)
        merged[target] = [*(known | new).values()]
        corrections.corrected(tables, merged[target], target)
    for target, kept in merged.items():  # all of them fit
        corrections.write(target, kept)
    return [_counted(language, rows) for language, rows in answers.items()]


def _answers(path: Path, labels: Sequence[str]) -> dict[str, list[Correction]]:
    """The rows that have an answer, by language."""
    answers: dict[str, list[Correction]] = defaultdict(list)
    for number, row in enumerate(sheets.read(path, ("lang", "split", "id", "label", "key"), FIX),
                                 start=1):
        where = f"{path}: row {number}"
        language, split, old = row["lang"], row["split"], row["label"]
        answer = row.get("corrected", "").strip()
        if split == "unlabelled":
            answer, old = answer or old.strip(), ""
        if not answer:
            continue
        if not CODE.fullmatch(language) or split not in SPLITS:
            raise DataError(f"{where}: expected a language and a split, found {language!r} and "
                            f"{split!r}; {FIX}")
        if answer not in labels:
            raise _unknown(where, answer, labels)
        answers[language].append(Correction(split, row["id"], row["key"], old, answer))
    if not answers:
        raise DataError(f"{path}: expected labels in the column 'corrected', or 'label' of rows "
                        "without one, found none; fill it in")
    return answers


def _unknown(where: str, answer: str, labels: Sequence[str]) -> DataError:
    near = [label for label in labels if plain(label) == plain(answer)]
    some = ", ".join(map(shown, near or labels[:4])) + ("" if near or len(labels) <= 4 else ", …")
    return DataError(f"{where}: expected one of the project's {len(labels)} labels ({some}), found "
                     f"{shown(answer)}; correct it")


def _source(params: Params, language: str) -> Tables:
    """All rows of a language in their splits, or its logs where the project does not have it yet.
    """
    if language in params.languages:
        return cutting.complete(sources.read(params.data, language).tables, language,
                                params.data.seed)
    return {"unlabelled": sources.logs(params.data, language)}


def _placed(row: Correction, known: Mapping[tuple[str, str], Correction]) -> Correction:
    """The correction as one of the source: it may replace an earlier one. A row that has been
    labelled stands in train since, and may be listed there."""
    logged = "unlabelled", row.key
    earlier = known.get((row.split, row.key), known.get(logged) if row.split == "train" else None)
    return earlier._replace(new=row.new) if earlier else row


def _counted(language: str, rows: Sequence[Correction]) -> Applied:
    labelled = sum(not row.old for row in rows)
    confirmed = sum(row.old == row.new for row in rows)
    return Applied(language, len(rows) - labelled - confirmed, confirmed, labelled)

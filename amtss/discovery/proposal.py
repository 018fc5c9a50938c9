"""What `amtss init` finds out about a folder of data."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from amtss.config.schema import Columns, Data, Splits
from amtss.data import cutting, hub_folder, sources
from amtss.data.formats import Split
from amtss.data.presence import CUT
from amtss.discovery import columns, folder
from amtss.discovery.columns import Roles
from amtss.discovery.folder import Found
from amtss.errors import DataError
from amtss.table import NONE, Table

SPECIAL = 4
"""Tokens that a pair has besides its words'."""
CHARACTERS, DENSE = 3, re.compile("[\u0e00-\u0fff\u1100-\u11ff\u3000-\ud7ff\uf900-\ufaff]")
"""Characters of a token, roughly and rather too few; and those of scripts where it has but one."""


@dataclass(frozen=True)
class Request:
    """What `amtss init` was called with; empty where it is to find out."""

    folder: Path
    text: str = ""
    label: str = ""
    pair: str = ""
    language: str = ""
    """The language of all texts, if no file's name and no column says it."""


@dataclass(frozen=True)
class Proposal:
    """A data set in a folder: how to read it, and what is in it."""

    folder: str
    """Where it was looked for, as seen from the project's folder if it lies there."""
    data: Data
    rows: dict[str, dict[str, int]]
    """Language -> split -> rows of the source; a split that is cut off train is missing."""
    labels: tuple[str, ...]
    """Those of the training rows."""
    named: bool
    """Whether the labels are names; else they are integers whose names nobody has told."""
    tokens: int
    """What all but 0.5% of the texts, or pairs, have at most, estimated."""
    characters: int
    """The longest text has as many."""
    unseen: tuple[str, ...]
    """Labels of validation or test rows that no training row has."""
    others: tuple[str, ...]
    """Further columns that could be labels."""
    unused: tuple[str, ...]
    """Files of the folder that are none of the data set."""

    @property
    def sizes(self) -> dict[str, dict[str, int]]:
        """Language -> split -> rows, those included that are cut off train, about."""
        made = {}
        for code, rows in self.rows.items():
            cut = {split: cutting.size(rows["train"]) for split in CUT if split not in rows}
            made[code] = rows | cut | {"train": rows["train"] - sum(cut.values())}
        return made

    @property
    def training_rows(self) -> int:
        """Of all languages."""
        return sum(size["train"] for size in self.sizes.values())


def propose(request: Request) -> Proposal:
    """Look at a folder, and read all of its data set as the pipeline will.

    Raises:
        DataError: the folder is missing or holds the project; there is no data set in it, or one
            whose languages or columns cannot be told.
    """
    place = request.folder
    if not place.is_dir():
        raise DataError(f"{place}: expected a folder of CSV, TSV, JSONL or Parquet files, found "
                        f"{'a file' if place.exists() else 'none'}; name another")
    if Path.cwd().is_relative_to(place.resolve()):
        raise DataError(f"{place}: expected a folder of data alone, found the project in it; move "
                        "the data into a folder of their own, such as data/mine")
    found = folder.find(place)
    asked = _path(place, found)
    peek = partial(_peek, place, found, min(found.names, default=""))
    first = peek("train")
    if first is None:
        raise DataError(f"{place}: expected a split for training in its README.md, found none; add "
                        "one")
    values = _values(first)
    roles = columns.roles(values, request.text, request.label, request.pair)
    names = found.names or _languages(place, request, roles, values)
    splits = _labelled(found.splits, roles, peek)
    by_column = bool(roles.language and not found.names and not request.language)
    if by_column and (splits.validation or splits.test):
        splits = splits.model_copy(update={"missing": "cut"})
    if not found.names and not by_column:
        place, found = _from_above(place, found, *names)
        names = found.names or names
    return _read(Data(
        source="files" if found.pattern else "dataset", path=_path(place, found),
        files=found.pattern or Data().files,
        configs={code: name for code, name in names.items() if name not in ("", code)},
        columns=Columns(text=(roles.text,), label=(roles.label,),
                        pair=(roles.pair,) if roles.pair else (),
                        id=(roles.id,) if roles.id else ("id",),
                        language=(roles.language,) if by_column else ()),
        splits=splits), asked, [*names], roles, found)


def _from_above(place: Path, found: Found, code: str) -> tuple[Path, Found]:
    """What was found as seen from the folder above, if `place` has the language's name: another
    language's folder may come to lie beside it."""
    place = place.resolve()
    if folder.code_of(place.name) != code or Path.cwd().is_relative_to(place.parent):
        return place, found
    return place.parent, replace(found, pattern=f"{{language}}/{found.pattern}",
                                 names={code: place.name})


def _path(place: Path, found: Found) -> str:
    """`data.path`: from the project's folder, if the data lie in it."""
    whole = place.resolve()
    path = whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole
    # `data` would mean a data set of the hub
    return f"./{path}" if not found.pattern and str(path) == "data" else path.as_posix()


def _peek(place: Path, found: Found, code: str, split: str) -> Split | None:
    """The columns of a language's split; None if it has no such split."""
    name = getattr(found.splits, split)
    if not found.pattern:
        config = found.names[code]
        return hub_folder.read(place, config, f"data set {place}, config {config!r}", ()).get(name)
    path = place / found.pattern.format(language=found.names.get(code, ""), split=name)
    return sources.read_file(path, ()) if name and path.is_file() else None


def _values(split: Split) -> dict[str, list[str]]:
    """The columns of text and numbers, by their names."""
    values = {}
    for name, read in split.columns.items():
        try:
            if read is not None:
                values[name] = [value or "" for value in read().cast(pa.string()).to_pylist()]
        except (pa.ArrowException, DataError, UnicodeDecodeError):  # lists, images, other encodings
            continue
    return values


def _languages(place: Path, request: Request, roles: Roles,
               values: Mapping[str, list[str]]) -> dict[str, str]:
    """Code -> name of the languages, where no file's name says them."""
    if request.language:
        if folder.code_of(request.language) != request.language:
            raise DataError(f"--lang: expected a language code such as ko or pt-BR, found "
                            f"{request.language!r}; correct it")
        return {request.language: ""}
    if not roles.language:
        if own := folder.code_of(place.resolve().name):
            return {own: ""}
        raise DataError(f"{place}: expected languages in the names of the files, such as "
                        "fr/train.csv, or in a column such as lang, found neither; rename the "
                        "files, or say with --lang which language all texts are in")
    names = sorted({*values[roles.language]} - {""}, reverse=True)
    return dict(sorted((str(folder.code_of(name)), name) for name in names))


def _labelled(splits: Splits, roles: Roles, peek: "partial[Split | None]") -> Splits:
    """`splits`, where validation and test have labels; one without them is taken for unlabelled."""
    for key in ("validation", "test"):
        split = peek(key)
        if split is not None and roles.label not in split.columns:
            logs = splits.unlabelled or getattr(splits, key)
            splits = splits.model_copy(update={key: None, "unlabelled": logs})
    return splits


def _read(data: Data, place: str, codes: list[str], roles: Roles, found: Found) -> Proposal:
    read = {code: sources.read(data, code) for code in codes}
    rows = {code: {split: len(table) for split, table in source.tables.items()}
            for code, source in read.items()}
    labels, measured = ({label for source in read.values() for split, table in source.tables.items()
                         if split in splits for label in table["label"].to_pylist() if label}
                        for splits in (("train",), ("validation", "test")))
    lengths = sorted(length for source in read.values() for length in _lengths(source.tables))
    given = next((source.labels for source in read.values() if source.labels), None)
    if not lengths or len(labels) < 2:
        raise DataError(f"{place}: expected texts with at least 2 labels in the column "
                        f"{roles.label!r}, found {len(labels)}; name another one with --label")
    return Proposal(
        place, data, rows, given or tuple(sorted(labels)),
        given is not None or not all(map(sources.INDEX.fullmatch, labels)),
        lengths[int(0.995 * (len(lengths) - 1))],
        max(max(map(len, map(str, table["text"].to_pylist())), default=0)
            for source in read.values() for table in source.tables.values()),
        tuple(sorted(measured - labels)), roles.others, found.unused)


def _lengths(tables: sources.Tables) -> Iterator[int]:
    """The tokens of each text or pair, estimated."""
    for table in tables.values():
        parts = [table[name].to_pylist() for name in ("text", "pair") if name in table.column_names]
        for texts in zip(*parts, strict=True):
            text = "".join(filter(None, texts))
            dense = len(DENSE.findall(text))
            yield dense + (len(text) - dense) // CHARACTERS + SPECIAL


def table(proposal: Proposal) -> Table:
    """The rows of each language and split."""
    splits = [split for split in ("train", "validation", "test", "unlabelled")
              if split != "unlabelled" or proposal.data.splits.unlabelled]
    lines = [(code, *(_cell(proposal, code, split) for split in splits)) for code in proposal.rows]
    return Table(f"Rows of {proposal.folder}", ("Language", *map(str.capitalize, splits)),
                 tuple(lines))


def _cell(proposal: Proposal, code: str, split: str) -> str:
    if split in proposal.rows[code]:
        return f"{proposal.rows[code][split]:,}"
    size = proposal.sizes[code].get(split)
    return NONE if size is None else f"{size:,} (cut off train)"


def remarks(proposal: Proposal) -> Iterator[str]:
    """What else was found, in sentences."""
    columns, labels = proposal.data.columns, proposal.labels
    shown = f"{', '.join(labels[:6])}{', …' if len(labels) > 6 else ''}"
    texts = " and ".join(map(repr, (*columns.text, *columns.pair)))
    yield (f"Texts: column{'s' if columns.pair else ''} {texts}. Labels: column "
           f"{columns.label[0]!r}, {len(labels)}: {shown}.")
    if proposal.others:
        yield (f"{', '.join(map(repr, proposal.others))} could be labels too: `--label "
               f"{json.dumps(proposal.others[0], ensure_ascii=False)}` takes that column instead.")
    yield (f"Lengths: 99.5% of the texts have at most {proposal.tokens} tokens, roughly; "
           "`max_length` follows from them, up to 256.")
    if columns.language:
        yield f"Languages: column {columns.language[0]!r}."
    elif [*proposal.rows] == [folder.code_of(Path(proposal.folder).resolve().name)]:
        yield f"Language: {', '.join(proposal.rows)}, by the folder's name; `--lang` says another."
    if not proposal.named:
        yield "The labels are numbers; name them in data.labels if you know what they mean."
    if proposal.unseen:
        yield (f"No training row has the label {folder.listed(proposal.unseen)}, which validation "
               "or test rows have: the stage `gate` will refuse them. Add training rows, or take "
               "these out.")
    if proposal.unused:
        yield f"Left aside: {folder.listed(proposal.unused)}."

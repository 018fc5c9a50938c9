"""Read one language of a source (the demo, a data set, local files) into plain tables.

A table has the columns `id`, `text`, `pair` (only for pairs) and `label`, all strings. Labels are
names. Wrong ones stay as they are, for validation to find.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
from pyarrow import compute

from amtss import files, hub
from amtss.config.schema import Data, Splits
from amtss.data import formats, hub_folder, presence
from amtss.data.formats import Columns, Split
from amtss.errors import DataError
from amtss.paths import SPLITS, Layout

Tables = dict[str, pa.Table]
KINDS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".json": "json", ".parquet": "parquet"}
"""Suffix of a file -> how to read it."""
INDEX = re.compile("0|-1|[1-9][0-9]*")
"""An integer label as text."""


@dataclass(frozen=True)
class Source:
    """One language's texts, and the source's label list."""

    tables: Tables
    """Split -> table."""
    labels: tuple[str, ...] | None
    """The label list if params.yaml or the source's own schema has one."""


def read(data: Data, language: str) -> Source:
    """Read all splits of `language` that the source has; `cutting` makes the others.

    Raises:
        DataError: no such file, data set, config, split or column; no row of the language; an
            unreadable encoding.
    """
    if data.source == "demo":
        return _demo(data, language)
    wanted = _split_names(data.splits)
    splits = (_files if data.source == "files" else _dataset)(data, language, wanted)
    names = next((names for split in splits.values() if (names := _class_names(data, split))), None)
    shared = _shared(splits)
    tables = {name: _canonical(data, f"{language}/{name}", split.columns, shared,
                               names or data.labels) for name, split in splits.items()}
    return Source(tables, data.labels or names)


def logs(data: Data, language: str) -> pa.Table:
    """The rows without labels of a language, which may have no others yet.

    Raises:
        DataError: there are none; and as `read`.
    """
    if data.source == "demo":
        tables = _demo(data, language).tables
        if "unlabelled" not in tables:
            raise DataError("data.logs: expected a share of rows without labels, found 0; set it "
                            "in params.yaml")
        return tables["unlabelled"]
    wanted = {"unlabelled": data.splits.unlabelled} if data.splits.unlabelled else {}
    splits = (_files if data.source == "files" else _dataset)(data, language, wanted)
    if not splits:
        raise DataError(f"{language}: expected a split of rows without labels, found none; add it "
                        "to the source and name it in data.splits.unlabelled")
    columns = splits["unlabelled"].columns
    return _canonical(data, f"{language}/unlabelled", columns, set(), None)


def fingerprint(data: Data, language: str, layout: Layout) -> str:
    """Fingerprint of all that becomes a language's corpus: the settings, and the contents of local
    files and of the corrections."""
    return files.fingerprint(data.model_dump(exclude={"path", "configs"}),
                             data.configs.get(language),
                             files.contents(watched(data, language, layout)))


def watched(data: Data, language: str, layout: Layout) -> list[Path]:
    """Local files that become a language's corpus: those of the source, and the corrections."""
    corrections = layout.corrections(language)
    return [*_watched(data, language), *([corrections] if corrections.is_file() else [])]


def _watched(data: Data, language: str) -> list[Path]:
    """Local files that `read` may open. A folder in the hub's layout counts whole, because its
    languages may share files."""
    if data.source == "files":
        paths = [_path(data, language, name) for name in _split_names(data.splits).values()]
    else:
        local = data.source == "dataset" and data.path != "data"
        paths = sorted(Path(data.path).rglob("*")) if local else []
    return [path for path in paths if path.is_file()]


def _demo(data: Data, language: str) -> Source:
    from amtss.data import demo
    from amtss.data.appendix_a import LABELS

    splits = demo.generate(language, scale=data.scale, seed=data.seed)
    if data.logs:
        splits["unlabelled"] = demo.logs(language, share=data.logs, scale=data.scale,
                                         seed=data.seed)
    tables = {split: pa.table({"id": [row.id for row in rows], "text": [row.text for row in rows],
                               "label": [row.label for row in rows]})
              for split, rows in splits.items()}
    return Source(tables, data.labels or LABELS)


def _split_names(splits: Splits) -> dict[str, str]:
    """Split -> its name in the source."""
    return {split: name for split in SPLITS if (name := getattr(splits, split)) is not None}


def _files(data: Data, language: str, wanted: Mapping[str, str]) -> dict[str, Split]:
    """The `wanted` splits, those of them that the language has or must have."""
    paths = {split: _path(data, language, name) for split, name in wanted.items()}
    here = [split for split, path in paths.items() if path.is_file()]
    presence.check(data, language, paths, here, f"no file{presence.beside(paths)}")
    files = {split: read_file(paths[split], data.columns.label) for split in here}
    if not data.columns.language:
        return files
    languages = {split: _strings(language, "language", _column(
        language, file.columns, "language", data.columns.language))
        for split, file in files.items()}
    own = data.configs.get(language, language)
    has = [split for split in here if own in languages[split].to_pylist()]
    others = {value for split in here for value in languages[split].to_pylist() if value}
    found = ", ".join(sorted(others)[:10]) or "none"
    presence.check(data, language, paths, has, f"rows of {found}")
    masks = {split: compute.equal(languages[split], own).fill_null(False) for split in has}
    return {split: files[split]._replace(columns={
        name: column and partial(_filtered, column, masks[split])
        for name, column in files[split].columns.items()}) for split in has}


def _filtered(column: Callable[[], pa.ChunkedArray], mask: pa.Array) -> pa.ChunkedArray:
    return column().filter(mask)


def _path(data: Data, language: str, split: str) -> Path:
    name = data.configs.get(language, language)
    return Path(data.path) / data.files.format(language=name, split=split)


def read_file(path: Path, labels: Sequence[str]) -> Split:
    """The rows of a local file.

    Args:
        labels: names that the label's column may have.

    Raises:
        DataError: it is of no kind that we read, or not what its suffix says.
    """
    if path.suffix not in KINDS:
        raise DataError(f"{path}: expected .csv, .tsv, .jsonl or .parquet, found {path.suffix!r}; "
                        "correct data.files in params.yaml")
    return formats.read([path], KINDS[path.suffix], labels,
                        "\t" if path.suffix == ".tsv" else None)


def _dataset(data: Data, language: str, wanted: Mapping[str, str]) -> dict[str, Split]:
    config = data.configs.get(language, language)
    if data.path == "data":
        assert data.hub is not None  # ensured by Data's validator
        folder = hub.snapshot(data.hub, data.revision)
    else:
        folder = Path(data.path)
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder in the hub's layout, found none; "
                        "correct data.path in params.yaml")
    where = f"data set {data.hub if data.path == 'data' else folder}, config {config!r}"
    present = hub_folder.read(folder, config, where, data.columns.label)
    splits = {split: present[name] for split, name in wanted.items() if name in present}
    for split, name in wanted.items():
        if split not in splits and split not in presence.optional(data, splits):
            raise DataError(f"{where}: expected a split {name!r}, found {', '.join(present)}; "
                            f"{presence.cure(split)}")
    return splits


def _class_names(data: Data, split: Split) -> tuple[str, ...] | None:
    """The label names in a schema of `datasets`; None if it has none."""
    if split.schema is None or not (split.schema.metadata or {}).get(b"huggingface"):
        return None
    import datasets  # a second, which files do not need

    features = datasets.Features.from_arrow_schema(split.schema)
    column = next((name for name in data.columns.label if name in features), None)
    feature = features.get(column) if column else None
    return tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None


def _shared(splits: dict[str, Split]) -> set[str]:
    """Columns that all labelled splits have: they come before those that one split alone has."""
    labelled = [set(split.columns) for name, split in splits.items() if name != "unlabelled"]
    return set.intersection(*labelled) if labelled else set()


def _canonical(data: Data, where: str, columns: Columns, shared: set[str],
               names: tuple[str, ...] | None) -> pa.Table:
    """A table with our columns, as strings; integer labels are replaced by their names."""
    def column(role: str, known: Iterable[str]) -> pa.ChunkedArray:
        return _column(where, columns, role, sorted(known, key=lambda name: name not in shared))

    table = {"text": _strings(where, "text", column("text", data.columns.text))}
    if data.columns.pair:
        table["pair"] = _strings(where, "pair", column("pair", data.columns.pair))
    size = len(table["text"])
    ids = (_strings(where, "id", column("id", data.columns.id))
           if columns.keys() & set(data.columns.id)
           else pa.array(map(str, range(size)), pa.string()))
    label = (pa.nulls(size, pa.string()) if where.endswith("/unlabelled") else
             _names(where, column("label", data.columns.label), names))
    return pa.table({"id": ids, **table, "label": label})


def _column(where: str, columns: Columns, role: str, names: Sequence[str]) -> pa.ChunkedArray:
    """The first of `names` that there is."""
    for name in names:
        if name in columns:
            read = columns[name]
            if read is None:
                raise DataError(f"{where}: expected one column {name!r} for the {role}, found "
                                f"several; rename all but one or set data.columns.{role}")
            return read()
    raise DataError(f"{where}: expected a column {' or '.join(map(repr, names))} for the {role}, "
                    f"found {', '.join(columns)}; set data.columns.{role}")


def _strings(where: str, role: str, column: pa.ChunkedArray) -> pa.Array:
    try:
        texts = column.cast(pa.large_binary() if _is_binary(column.type) else pa.string())
        texts = texts.combine_chunks()
    except pa.ArrowException as error:
        raise DataError(f"{where}: expected strings in the {role} column, found {column.type}; "
                        f"set data.columns.{role} or fix the source") from error
    try:
        texts.validate(full=True)
        return texts.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise DataError(f"{where}: expected UTF-8 in the {role} column, found other bytes in row "
                        f"{_first_bad(texts)}; save it as UTF-8") from error


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _first_bad(texts: pa.Array) -> int:
    """The number of the first row that is not UTF-8; the first row is row 1."""
    for number, value in enumerate(texts.cast(pa.large_binary()), start=1):
        try:
            (value.as_py() or b"").decode()
        except UnicodeDecodeError:
            return number
    raise AssertionError("all rows are UTF-8")


def _names(where: str, column: pa.ChunkedArray, names: tuple[str, ...] | None) -> pa.Array:
    """Label names. An integer outside the list stays a number, and validation refuses it.

    CSV has no integers: digits are an index there if all labels are digits and no name is. -1 marks
    rows without a label in data sets of the hub.
    """
    texts = _strings(where, "label", column)
    if not (pa.types.is_integer(column.type) or (names and _are_digits(texts.to_pylist())
                                                and not any(map(INDEX.fullmatch, names)))):
        return texts
    known = {str(index): name for index, name in enumerate(names or ())} | {"-1": None}
    return pa.array([known.get(text, text) for text in texts.to_pylist()], pa.string())


def _are_digits(texts: Sequence[str | None]) -> bool:
    return all(INDEX.fullmatch(text) for text in {*texts} - {None, ""} if text is not None)

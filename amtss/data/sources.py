"""Read one language of a source (the demo, a data set, local files) into plain tables.

A table has the columns `id`, `text`, `pair` (only for pairs) and `label`, all strings. Labels are
names. Wrong ones stay as they are, for validation to find.
"""

import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from amtss import files, hub
from amtss.config.schema import Data, Splits
from amtss.errors import DataError, first_line
from amtss.paths import SPLITS

Tables = dict[str, pa.Table]


@dataclass(frozen=True)
class Source:
    """One language's texts, and the source's label list."""

    tables: Tables
    """Split -> table."""
    labels: tuple[str, ...] | None
    """The label list if params.yaml or the source's own schema has one."""


def read(data: Data, language: str) -> Source:
    """Read all splits of `language`.

    Raises:
        DataError: no such file, data set, config, split or column; an unreadable encoding.
    """
    if data.source == "demo":
        return _demo(data, language)
    raw = _files(data, language) if data.source == "files" else _dataset(data, language)
    names = next((names for table in raw.values() if (names := _class_names(data, table))), None)
    labels = data.labels or names
    tables = {split: _canonical(data, f"{language}/{split}", table, names or data.labels)
              for split, table in raw.items()}
    return Source(tables, labels)


def fingerprint(data: Data, language: str) -> str:
    """Fingerprint of all that `read` depends on: the settings, and the contents of local files."""
    return files.fingerprint(data.model_dump(exclude={"path", "configs"}),
                             data.configs.get(language), files.contents(_watched(data, language)))


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


def _files(data: Data, language: str) -> Tables:
    """A table per split. A language may have no unlabelled split; the gate warns of that."""
    return {split: _file(data, language, name) for split, name in _split_names(data.splits).items()
            if split != "unlabelled" or _path(data, language, name).is_file()}


def _path(data: Data, language: str, split: str) -> Path:
    name = data.configs.get(language, language)
    return Path(data.path) / data.files.format(language=name, split=split)


def _file(data: Data, language: str, split: str) -> pa.Table:
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet

    path = _path(data, language, split)
    if not path.is_file():
        raise DataError(f"{path}: expected {language}'s split {split!r}, found no file; "
                        "correct data.path or data.files in params.yaml")
    try:
        if path.suffix == ".csv":
            path.read_text(encoding="utf-8")  # pyarrow's error would not say where
            text = pyarrow.csv.ConvertOptions(strings_can_be_null=False,
                                              column_types=_all_strings(path))
            parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
            return pyarrow.csv.read_csv(path, parse_options=parse, convert_options=text)
        if path.suffix in (".jsonl", ".json"):
            path.read_text(encoding="utf-8")  # pyarrow accepts any bytes as text
            return pyarrow.json.read_json(path)
        if path.suffix == ".parquet":
            return pyarrow.parquet.read_table(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8, found {error.reason} at byte {error.start}; "
                        "save it as UTF-8") from error
    except (pa.ArrowException, OSError, csv.Error) as error:
        raise DataError(f"{path}: expected {path.suffix[1:]} in UTF-8, found: "
                        f"{first_line(error)}; fix the file") from error
    raise DataError(f"{path}: expected .csv, .jsonl or .parquet, found {path.suffix!r}; "
                    "correct data.files in params.yaml")


def _all_strings(path: Path) -> dict[str, pa.DataType]:
    """All columns of a CSV file as strings: the label `01` or the text `123` is not a number."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return dict.fromkeys(next(csv.reader(file), []), pa.string())


def _dataset(data: Data, language: str) -> Tables:
    """A table per split. A language may have no unlabelled split; the gate warns of that."""
    import datasets

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
    try:
        # A fresh cache: `datasets` finds a folder's cache by its name, whatever it contains now.
        with tempfile.TemporaryDirectory() as fresh:
            loaded = datasets.load_dataset(str(folder), config, cache_dir=fresh,
                                           keep_in_memory=True)
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        cause = error.__cause__ or error  # a DatasetGenerationError itself has no details
        raise DataError(f"{where}: expected to load it, found: {first_line(cause)}; correct "
                        "data.path, data.hub or data.configs in params.yaml") from error
    tables = {}
    for split, name in _split_names(data.splits).items():
        if name in loaded:
            schema = loaded[name].features.arrow_schema
            tables[split] = loaded[name].with_format("arrow")[:].replace_schema_metadata(
                schema.metadata)
        elif split != "unlabelled":
            raise DataError(f"{where}: expected a split {name!r}, found {', '.join(loaded)}; "
                            "correct data.splits in params.yaml")
    return tables


def _class_names(data: Data, table: pa.Table) -> tuple[str, ...] | None:
    """The label names in the schema of a `datasets` table; None if it has none."""
    import datasets

    if not (table.schema.metadata or {}).get(b"huggingface"):
        return None
    features = datasets.Features.from_arrow_schema(table.schema)
    column = next((name for name in data.columns.label if name in features), None)
    feature = features.get(column) if column else None
    return tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None


def _canonical(data: Data, where: str, table: pa.Table, names: tuple[str, ...] | None) -> pa.Table:
    """`table` with our columns, as strings; integer labels are replaced by their names."""
    texts = {"text": _column(where, table, "text", data.columns.text)}
    if data.columns.pair:
        texts["pair"] = _column(where, table, "pair", data.columns.pair)
    size = len(table)
    identity = next((name for name in data.columns.id if name in table.column_names), None)
    ids = (_strings(where, "id", _column(where, table, "id", (identity,))) if identity
           else pa.array(map(str, range(size)), pa.string()))
    if where.endswith("/unlabelled"):
        label = pa.nulls(size, pa.string())
    else:
        label = _names(where, _column(where, table, "label", data.columns.label), names)
    return pa.table({"id": ids, **{key: _strings(where, key, column)
                                   for key, column in texts.items()}, "label": label})


def _column(where: str, table: pa.Table, role: str, names: tuple[str, ...]) -> pa.ChunkedArray:
    for name in names:
        if table.column_names.count(name) > 1:
            raise DataError(f"{where}: expected one column {name!r} for the {role}, found several; "
                            f"rename all but one or set data.columns.{role}")
        if name in table.column_names:
            return table[name]
    raise DataError(f"{where}: expected a column {' or '.join(map(repr, names))} for the {role}, "
                    f"found {', '.join(table.column_names)}; set data.columns.{role}")


def _strings(where: str, role: str, column: pa.ChunkedArray) -> pa.Array:
    try:
        return column.cast(pa.string()).combine_chunks()
    except pa.ArrowException as error:
        raise DataError(f"{where}: expected strings in the {role} column, found {column.type}; "
                        f"set data.columns.{role} or fix the source") from error


def _names(where: str, column: pa.ChunkedArray, names: tuple[str, ...] | None) -> pa.Array:
    """Label names. An integer outside the list stays a number, and validation refuses it.

    -1 marks rows without a label in data sets of the hub.
    """
    if not pa.types.is_integer(column.type):
        return _strings(where, "label", column)
    known = dict(enumerate(names or ())) | {-1: None, None: None}
    return pa.array([known.get(value, str(value)) for value in column.to_pylist()], pa.string())

"""Data sets in the hub's layout: a README.md that names configs, their splits and files."""

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from amtss.data import formats
from amtss.data.formats import Columns, Split
from amtss.errors import DataError, first_line

if TYPE_CHECKING:
    from datasets import DatasetBuilder

ORDINARY = {"name", "version", "data_dir", "data_files", "description", "features", "sep",
            "delimiter"}
"""A config's settings that our own readers know or need not know."""
SUFFIXES = {".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".gz", ".bz2", ".zst"}


def read(folder: Path, config: str, where: str, labels: Sequence[str]) -> dict[str, Split]:
    """All splits of a config, by their names in the data set.

    CSV, JSON and Parquet are read by `formats`: `datasets` would rewrite texts that look like dates
    or numbers, and refuse a column that only one split has.

    Args:
        where: what an error's message begins with.
        labels: names that the label's column may have.

    Raises:
        DataError: there is no such config, or a file cannot be read.
    """
    import datasets

    try:
        # A fresh cache: `datasets` finds a folder's cache by its name, whatever it contains now.
        with tempfile.TemporaryDirectory() as fresh:
            builder = datasets.load_dataset_builder(str(folder), config, cache_dir=fresh)
            return dict(_from_files(builder, labels) or _from_datasets(builder))
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        cause = error.__cause__ or error  # a DatasetGenerationError itself has no details
        # Of a file that is not there, `datasets` goes on with the 150 extensions that it can read.
        found = first_line(cause).partition(" with any supported extension")[0]
        raise DataError(f"{where}: expected to load it, found: {found}; correct data.path, "
                        "data.hub or data.configs in params.yaml") from error
    except (TypeError, AttributeError) as error:
        raise DataError(f"{where}: expected a README.md in the hub's layout, found: "
                        f"{first_line(error)}; correct it: names such as no or yes need quotes "
                        "there") from error


def _from_files(builder: "DatasetBuilder", labels: Sequence[str]) -> dict[str, Split] | None:
    """The splits, if they are files that `formats` reads as the config says; else None."""
    from datasets.packaged_modules.csv.csv import Csv
    from datasets.packaged_modules.json.json import Json
    from datasets.packaged_modules.parquet.parquet import Parquet

    kinds = {Csv: "csv", Json: "json", Parquet: "parquet"}
    kind = next((kinds[known] for known in kinds if isinstance(builder, known)), None)
    settings, usual = vars(builder.config), vars(type(builder).BUILDER_CONFIG_CLASS())
    files = {str(split): [Path(path) for path in paths]
             for split, paths in (builder.config.data_files or {}).items()}
    if (kind is None or any(settings[key] != usual[key] for key in settings.keys() - ORDINARY)
            or {path.suffix for paths in files.values() for path in paths} - SUFFIXES):
        return None
    described = builder.info.features and builder.info.features.arrow_schema
    delimiter = settings.get("delimiter") or settings.get("sep") or ","
    splits = {}
    for split, paths in files.items():
        columns, schema = formats.read(paths, kind, labels, delimiter)
        splits[split] = Split(columns, described or schema)
    return splits


def _from_datasets(builder: "DatasetBuilder") -> Iterator[tuple[str, Split]]:
    """The splits as `datasets` reads them."""
    builder.download_and_prepare()
    loaded = builder.as_dataset(in_memory=True)
    for name, split in loaded.items():
        table = split.with_format("arrow")[:]
        columns: Columns = {column: partial(table.column, column)
                            for column in table.column_names}
        yield str(name), Split(columns, split.features.arrow_schema)

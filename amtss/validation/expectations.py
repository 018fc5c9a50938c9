"""Stage `validate@LANG`: Great Expectations (GX) on one language's corpus.

The only module that imports GX. GX checks one row at a time: what depends on other rows or splits
with the same text becomes columns that should be null (`duplicates.marked`), so that its Data Docs
show such texts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa

from amtss.config.schema import Params, Validation
from amtss.data import corpus as corpora
from amtss.errors import DataError
from amtss.files import replacing, write_json, write_text
from amtss.paths import Layout
from amtss.validation import checks, duplicates
from amtss.validation import labels as label_distribution
from amtss.validation.checks import LABELLED, Check
from amtss.validation.findings import Example, Finding, Report, Severity

PLUGINS = Path(__file__).parent / "plugins"
"""The styles of Data Docs, in the folders where GX looks for them."""


def validate(params: Params, layout: Layout, language: str) -> None:
    """Check the corpus of `language` and write the findings, whether it passes or not.

    Raises:
        DataError: something would break training, or exceeds a `max_` threshold.
        AmtssError: the corpus is missing or altered.
    """
    corpus = corpora.load(layout, language)
    folder = layout.validation(language)
    with replacing(folder) as temporary:
        temporary.mkdir()
        report = _report(corpus, params.validation, temporary / "docs")
        write_json(temporary / "validation.json", report.as_json())
        write_text(temporary / "validation.md", report.as_markdown())
    if report.of("error"):
        raise DataError(report.complaint(str(folder / "validation.md")))


def _report(corpus: corpora.Corpus, settings: Validation, docs: Path) -> Report:
    """Run every check; GX writes its Data Docs into `docs`."""
    pairs = any("pair" in table.column_names for table in corpus.splits.values())
    columns = ("text", "pair", "label") if pairs else ("text", "label")
    empty = pa.table({name: pa.array([], pa.string()) for name in ("id", *columns)})
    tables = dict.fromkeys(LABELLED, empty) | corpus.splits
    usable = {split: table for split, table in tables.items() if _is_usable(table, columns)}
    counts = label_distribution.count_labels({
        split: table["label"].to_pylist() for split, table in usable.items() if split in LABELLED})
    seen = {split: duplicates.labels_by_text(table) for split, table in usable.items()}
    run = _Run(corpus.language, docs, settings.examples, seen)
    findings: list[Finding] = []
    for split, table in tables.items():
        labelled = _should_have_labels(corpus, split)
        planned = list(checks.of_schema(columns, labelled))
        if split in usable and len(table):
            table = duplicates.marked(split, table, seen)
            planned += _of_texts(table, settings)
            if labelled:
                planned += checks.of_label(split, counts, corpus.labels, settings)
        findings += run(split, split, table, planned)
    labels = corpus.labels or sorted({name for split in counts.values() for name in split})
    if counts.get("train", {}).keys() & set(labels):
        findings += run("labels", "train", checks.label_table(counts, labels),
                        list(checks.of_label_table(settings)))
    rows = {split: len(table) for split, table in tables.items()}
    return Report(corpus.language, corpus.fingerprint, rows, counts, tuple(findings),
                  run.build_docs())


def _is_usable(table: pa.Table, columns: Iterable[str]) -> bool:
    """Whether rows can be checked at all: the table has an id, and `columns` of strings."""
    def is_text(kind: pa.DataType) -> bool:
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

    return "id" in table.column_names and all(
        name in table.column_names and is_text(table.schema.field(name).type) for name in columns)


def _should_have_labels(corpus: corpora.Corpus, split: str) -> bool:
    """Whether a split without labels is an error. A language without labels may have them in test.
    """
    return split in LABELLED and (not corpus.without_labels or corpus.has_labels(split))


def _of_texts(table: pa.Table, settings: Validation) -> Iterator[Check]:
    texts = [name for name in ("text", "pair") if name in table.column_names]
    for name in texts:
        yield from checks.of_text(name, settings)
    yield from checks.of_duplicates(texts, table.column_names, settings)


@dataclass
class _Run:
    """An ephemeral GX context for one language: no telemetry, no progress bars, and no files except
    the Data Docs.

    Imports GX (2 s) when it is created.
    """

    language: str
    docs: Path
    examples: int
    seen: duplicates.Seen

    def __post_init__(self) -> None:
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        store = {"class_name": "TupleFilesystemStoreBackend",
                 "base_directory": str(self.docs.resolve())}
        site = {"class_name": "SiteBuilder", "show_how_to_buttons": False, "store_backend": store,
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}}
        self.context = gx.get_context(mode="ephemeral", project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            data_docs_sites={"docs": site}, analytics_enabled=False,
            plugins_directory=str(PLUGINS),
            progress_bars=ProgressBarsConfig(globally=False)))
        self.source = self.context.data_sources.add_pandas(self.language)

    def __call__(self, name: str, split: str, table: pa.Table,
                 planned: Sequence[Check]) -> list[Finding]:
        """Run the checks on `table`, which Data Docs call `name`."""
        import great_expectations as gx
        from great_expectations.core.run_identifier import RunIdentifier

        suite = self.context.suites.add(gx.ExpectationSuite(
            name, expectations=[
                _expectation(check, index) for index, check in enumerate(planned)]))
        batch = self.source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
        definition = self.context.validation_definitions.add(
            gx.ValidationDefinition(name=name, data=batch, suite=suite))
        outcome = definition.run(
            batch_parameters={"dataframe": table.to_pandas()},
            run_id=RunIdentifier(run_name=self.language),
            result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False,
                           "partial_unexpected_count": self.examples})
        # GX returns results in an order of its own.
        outcomes: list[Any] = outcome.results
        results = {result.expectation_config.meta["check"]: result for result in outcomes}
        return [self._finding(check, split, table, results[index])
                for index, check in enumerate(planned)]

    def build_docs(self) -> dict[str, str]:
        """Write Data Docs; the page of every suite.

        The index fills its tables by scripts from the network; links to the pages are put above.
        """
        _escape(self.context.expectations_store, self.context.validation_results_store)
        self.context.build_data_docs()
        pages = sorted(self.docs.glob("validations/*/*/*/*.html"), key=lambda page: page.parts[-2])
        links = ", ".join(f'<a href="{page.relative_to(self.docs).as_posix()}">'
                          f"{escape(page.parts[-4])}</a>" for page in pages)
        index = self.docs / "index.html"
        text = index.read_text(encoding="utf-8")
        index.write_text(text.replace("<body>", "<body>\n<p>Every check, also without a network: "
                                      f"{links}</p>", 1), encoding="utf-8")
        return {page.parts[-4]: page.relative_to(self.docs.parent).as_posix() for page in pages}

    def _finding(self, check: Check, split: str, table: pa.Table, outcome: Any) -> Finding:
        result = outcome.result
        if not result and check.unit != "fact":
            raise RuntimeError(f"{split}, {check.name}: {outcome.exception_info}")  # a bug of ours
        count = int(result.get("unexpected_count", 0)) if check.unit != "fact" else 0
        share = count / max(1, len(table))
        value = float(result["observed_value"]) if check.unit in ("nats", "times") else None
        measured = float(not outcome.success) if check.unit == "fact" else (
            share if value is None else value)
        severity: Severity = ("error" if measured > check.error else
                              "warning" if measured > check.warn else "ok")
        rows = (result.get("unexpected_index_list") or [])[:self.examples] if count else []
        return Finding(
            check.name, check.column, split, severity, count, share, value,
            check.error if severity == "error" else check.first, check.expected,
            _found(check, count, share, result), check.fix,
            tuple(_example(split, table.slice(row, 1), self.seen) for row in rows))


def _escape(*stores: Any) -> None:
    """Escape HTML in everything that GX keeps as JSON: its pages show texts and labels as they are.
    """
    for store in stores:
        backend = store.store_backend
        for key in backend.list_keys():
            if isinstance(kept := backend.get(key), str):
                backend.set(key, escape(kept, quote=False))


def _expectation(check: Check, index: int) -> Any:
    """GX's object; Data Docs show it as failed from the check's lower threshold on."""
    import great_expectations.expectations as gx

    tolerance = {"mostly": 1 - min(1, check.first)} if check.unit == "rows" else {}
    return getattr(gx, check.kind)(
        **check.arguments, **tolerance, meta={"check": index},
        description=f"{check.name}: expect {check.expected}",
        severity="critical" if check.error <= 1 else "warning")


def _found(check: Check, count: int, share: float, result: dict[str, Any]) -> str:
    if check.unit in ("rows", "labels"):
        return f"{count} {check.unit[:-1] if count == 1 else check.unit} ({share:.2%})"
    observed = result.get("observed_value", "none")
    if isinstance(observed, list):
        return ", ".join(name for name in observed if name not in duplicates.MARKS)
    return f"{observed:.3g} {check.unit}" if check.unit != "fact" else str(observed)


def _example(split: str, row: pa.Table, seen: duplicates.Seen) -> Example:
    """From a one-row table, of a split or of `checks.label_table`."""
    if "text" not in row.column_names:
        other = row["printed_alike"][0].as_py() or row["alike"][0].as_py()
        return Example("", "", None, (row["label"][0].as_py(), *([other] if other else [])))
    pair = row["pair"][0].as_py() if "pair" in row.column_names else None
    return Example(str(row["id"][0]), row["text"][0].as_py() or "", pair,
                   duplicates.labels_of(split, row, seen))

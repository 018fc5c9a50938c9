"""The findings of one language's validation: JSON for the gate, Markdown for people."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from amtss.lookalikes import printed, shown
from amtss.table import Table, escaped, markdown

Severity = Literal["ok", "warning", "error"]
SHOWN = 120
"""Characters of an example's text shown in Markdown."""


@dataclass(frozen=True)
class Example:
    """A row that fails a check; for a finding about labels, only the label."""

    id: str
    text: str
    pair: str | None
    labels: tuple[str, ...]
    """Its own label first, then others that its text has in its split or in train."""


@dataclass(frozen=True)
class Finding:
    """The result of one check of one split, passed or failed."""

    check: str
    column: str
    """The column that was checked, empty for whole rows."""
    split: str
    severity: Severity
    count: int
    """Rows, or labels, that fail; 0 where the check is about a distribution."""
    share: float
    """`count` divided by all rows or labels."""
    value: float | None
    """KL divergence in nats or imbalance ratio; None where the check counts."""
    threshold: float
    """The threshold that `share` or `value` exceeds; if it passes, the lower of the two."""
    expected: str
    found: str
    fix: str
    examples: tuple[Example, ...]

    @property
    def name(self) -> str:
        """The check with its column, as a heading."""
        return f"{self.check}: {self.column}" if self.column else self.check


@dataclass(frozen=True)
class Report:
    """All findings of one language."""

    language: str
    fingerprint: str
    """The corpus's fingerprint, so that the gate knows which corpus was validated."""
    rows: dict[str, int]
    """Split -> rows."""
    counts: dict[str, dict[str, int]]
    """Split -> label -> rows."""
    findings: tuple[Finding, ...]
    pages: dict[str, str]
    """Name of a suite -> its page of Data Docs, relative to the folder."""

    def of(self, severity: Severity) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == severity]

    def as_json(self) -> dict[str, Any]:
        return {"language": self.language, "fingerprint": self.fingerprint, "rows": self.rows,
                "errors": len(self.of("error")), "warnings": len(self.of("warning")),
                "counts": self.counts, "findings": [asdict(finding) for finding in self.findings]}

    def as_markdown(self) -> str:
        failed = [*self.of("error"), *self.of("warning")]
        rows = ", ".join(f"{count:,} {split}" for split, count in self.rows.items())
        pages = ", ".join(f"[{name}]({page})" for name, page in self.pages.items())
        parts = [f"# Validation of {escaped(self.language)}\n",
                 f"Rows: {rows}. Errors: {len(self.of('error'))}, warnings: "
                 f"{len(self.of('warning'))}, passed: {len(self.of('ok'))}. Every check: "
                 f"[docs/index.html](docs/index.html), or without a network: {pages}.\n"]
        if failed:
            parts.append(markdown(Table(
                "", ("severity", "split", "check", "found", "threshold", "expected"),
                tuple((finding.severity, finding.split, finding.name, finding.found,
                       f"{finding.threshold:g}", finding.expected) for finding in failed))))
        for finding in failed:
            if finding.examples:
                parts += [f"## {escaped(f'{finding.split}, {finding.name}')}\n",
                          markdown(_examples(finding))]
        return "\n".join(parts)

    def complaint(self, details: str) -> str:
        """The first error in one line, where to read `details`, and how to fix it."""
        first, *others = self.of("error")
        expected, found = first.expected, first.found
        if first.threshold:
            expected += f" in all but {first.threshold:.2%} of rows"
        if first.count:
            found = f"otherwise in {found}, such as {_named(first)}"
        more = f" ({len(others)} more error{'s'[:len(others) > 1]})" if others else ""
        return (f"{self.language}/{first.split}: expected {expected}, found {found}{more}; "
                f"details in {details}; {first.fix}, "
                f"then run `dvc repro validate@{self.language}`")


def _named(finding: Finding) -> str:
    """The first example in words."""
    example = finding.examples[0]
    labels = " and ".join(map(shown, example.labels))
    if not example.id:
        return labels
    return f"id {example.id!r}" + (f" with {labels}" if finding.column == "label" and labels else
                                   "")


def _examples(finding: Finding) -> Table:
    paired = any(example.pair is not None for example in finding.examples)
    return Table("", ("id", "text", *(["pair"] if paired else []), "labels"), tuple(
        (example.id, _shortened(example.text),
         *([_shortened(example.pair or "")] if paired else []),
         ", ".join(label if printed(label) == label else shown(label) for label in example.labels))
        for example in finding.examples))


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN - 1] + "…"

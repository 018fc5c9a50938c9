"""What validation found in one language, as JSON for the gate and as Markdown for a person."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["ok", "warning", "error"]
SHOWN = 120
"""Characters of an example's text shown in Markdown."""


@dataclass(frozen=True)
class Example:
    """A row that offends; for a finding about labels only the label."""

    id: str
    text: str
    pair: str | None
    labels: tuple[str, ...]
    """Its own label first, then others its text stands under in its split or in train."""


@dataclass(frozen=True)
class Finding:
    """One check of one split, passed or not."""

    check: str
    column: str
    """The column it is about, empty for whole rows."""
    split: str
    severity: Severity
    count: int
    """Rows, or labels, that offend; 0 where the check is of a distribution."""
    share: float
    """`count` over all of them."""
    value: float | None
    """KL divergence in nats or an imbalance ratio; None where the check counts."""
    threshold: float
    """What `share` or `value` crossed, or what it would first cross."""
    expected: str
    found: str
    mend: str
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
    """The corpus's, so that the gate knows what was looked at."""
    rows: dict[str, int]
    """Split -> rows."""
    counts: dict[str, dict[str, int]]
    """Split -> label -> rows."""
    findings: tuple[Finding, ...]
    pages: dict[str, str]
    """What was run -> its page of Data Docs, relative to the folder."""

    def of(self, severity: Severity) -> list[Finding]:
        return [each for each in self.findings if each.severity == severity]

    def as_json(self) -> dict[str, Any]:
        return {"language": self.language, "fingerprint": self.fingerprint, "rows": self.rows,
                "errors": len(self.of("error")), "warnings": len(self.of("warning")),
                "counts": self.counts, "findings": [asdict(each) for each in self.findings]}

    def as_markdown(self) -> str:
        bad = [*self.of("error"), *self.of("warning")]
        rows = ", ".join(f"{count:,} {split}" for split, count in self.rows.items())
        lines = [f"# Validation of {self.language}", "",
                 f"Rows: {rows}. Errors: {len(self.of('error'))}, warnings: "
                 f"{len(self.of('warning'))}, passed: {len(self.of('ok'))}. "
                 "Every check: [docs/index.html](docs/index.html), or without a network "
                 + ", ".join(f"[{name}]({page})" for name, page in self.pages.items()) + ".", ""]
        if bad:
            lines += findings_table(
                ("severity", "split", "check", "found", "threshold", "expected"),
                ((each.severity, each.split, each.name, each.found, f"{each.threshold:g}",
                  each.expected) for each in bad))
        for each in bad:
            if each.examples:
                lines += ["", f"## {each.split}, {each.name}", "", *_examples(each)]
        return "\n".join(lines) + "\n"

    def complaint(self, details: str) -> str:
        """The first error in one line, where `details` are, and what mends it."""
        first, *others = self.of("error")
        expected, found = first.expected, first.found
        if first.threshold:
            expected += f" in all but {first.threshold:.2%} of rows"
        if first.count:
            found = f"otherwise in {found}, such as id {first.examples[0].id!r}"
        more = f" ({len(others)} more error{'s'[:len(others) > 1]})" if others else ""
        return (f"{self.language}/{first.split}: expected {expected}, found {found}{more}; "
                f"details in {details}; {first.mend}, "
                f"then run `dvc repro validate@{self.language}`")


def _examples(finding: Finding) -> list[str]:
    paired = any(each.pair is not None for each in finding.examples)
    head = ("id", "text", "pair", "labels") if paired else ("id", "text", "labels")
    return findings_table(head, ((each.id, each.text, *((each.pair or "",) if paired else ()),
                                  ", ".join(each.labels)) for each in finding.examples))


def findings_table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    """Lines of a Markdown table; what a text holds cannot break it."""
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head),
            *("| " + " | ".join(_cell(each) for each in row) + " |" for row in rows)]


def _cell(value: object) -> str:
    text = " ".join(str(value).split())
    text = text if len(text) <= SHOWN else text[:SHOWN - 1] + "…"
    for mark in "\\`*_|<[":
        text = text.replace(mark, f"\\{mark}")
    return text

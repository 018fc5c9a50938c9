"""What `amtss drift` found, in words and as a table."""

from collections.abc import Mapping

from amtss.config.schema import Drift
from amtss.drift.comparison import FIGURES, Change
from amtss.drift.drift import Compared
from amtss.table import Best, Table

NAMES = {"labels": "Labels", "confidence": "Confidence", "unsure": "Unsure", "unknown": "Unknown",
         "length": "Length", "cut": "Cut"}
SENTENCES = {
    "labels": "{size} of the texts would need another label for the labels of before; {moved}",
    "confidence": "{size} is the greatest difference between the shares of texts below a "
                  "confidence; its mean is {now:.2f}, {before:.2f} before",
    "unsure": "{now:.1%} of the texts are unsure, {before:.1%} before",
    "unknown": "{now:.1%} of the texts have unknown pieces, {before:.1%} before",
    "length": "{size} is the greatest difference between the shares of texts below a length; its "
              "mean is {now:.1f} tokens, {before:.1f} before",
    "cut": "{now:.1%} of the texts are longer than the student reads, {before:.1%} before"}
NOTES = (
    "In points; (!) is beyond the limit, and not by chance. Labels: texts that would need another "
    "label for both to have the same shares of labels. Confidence, Length: greatest difference "
    "between the shares of texts below any confidence or length. Unsure, Unknown, Cut: rise of the "
    "share of texts that are less sure than 95% of the reference, that have unknown pieces, that "
    "are longer than the student reads.",)
MOVED = 3
"""Labels that a sentence names."""


def headline(compared: Mapping[str, Compared]) -> str:
    """The outcome in one sentence."""
    drifted = [code for code, language in compared.items() if language.passed]
    if not drifted:
        return f"No drift in {', '.join(compared)}: every figure is within its limit."
    passed = sum(len(language.passed) for language in compared.values())
    return (f"Drift in {', '.join(drifted)}: {passed} of {len(compared) * len(FIGURES)} figures "
            "are beyond their limits.")


def sentences(compared: Mapping[str, Compared]) -> tuple[str, ...]:
    """One for each figure beyond its limit."""
    return tuple(f"{code}, {NAMES[figure].lower()}: {_sentence(figure, language)} (limit "
                 f"{language.changes[figure].limit:.1%}{' more' if _is_rise(figure) else ''})"
                 for code, language in compared.items() for figure in language.passed)


def _is_rise(figure: str) -> bool:
    return figure in ("unsure", "unknown", "cut")


def _sentence(figure: str, language: Compared) -> str:
    change = language.changes[figure]
    moved = sorted(language.shares.items(), key=lambda item: -abs(item[1][1] - item[1][0]))[:MOVED]
    return SENTENCES[figure].format(
        size=f"{change.size:.1%}", now=change.now, before=change.before,
        moved=", ".join(f"{label} {new:.1%}, {old:.1%} before" for label, (old, new) in moved))


def table(compared: Mapping[str, Compared], limits: Drift) -> Table:
    """A row per language, and the limits."""
    rows = [(code, _count(language), f"{len(language.before):,}",
             *(_cell(language.changes[figure]) for figure in FIGURES))
            for code, language in compared.items()]
    last = ("Limit", "", "", *(f"{100 * getattr(limits, figure):.1f}" for figure in FIGURES))
    return Table("Drift", ("Language", "Texts", "Reference", *(NAMES[name] for name in FIGURES)),
                 (*rows, last), NOTES)


def _count(language: Compared) -> str:
    drawn = len(language.now)
    return f"{drawn:,}" if drawn == language.of else f"{drawn:,} (of {language.of:,})"


def _cell(change: Change) -> str:
    size = f"{100 * change.size + 0.0:.1f}".replace("-0.0", "0.0")
    return Best(f"{size} (!)") if change.passed else size

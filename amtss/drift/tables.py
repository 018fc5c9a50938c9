"""What `amtss drift` found, in words and as a table."""

from collections.abc import Mapping

from amtss.config.schema import Drift
from amtss.drift.comparison import FIGURES, Change
from amtss.drift.drift import Compared
from amtss.table import NONE, Best, Table

NAMES = {"labels": "Labels", "confidence": "Confidence", "unsure": "Unsure", "unknown": "Unknown",
         "length": "Length", "cut": "Cut"}
SENTENCES = {
    "labels": "{size:.1%} of the texts, {moved}",
    "confidence": "from {before:.2f} to {now:.2f} on average, shares below one differ by up to "
                  "{size:.1%}",
    "unsure": "from {before:.1%} to {now:.1%} of the texts",
    "unknown": "from {before:.1%} to {now:.1%} of the texts",
    "length": "from {before:.1f} to {now:.1f} tokens on average, shares below one differ by up to "
              "{size:.1%}",
    "cut": "from {before:.1%} to {now:.1%} of the texts"}
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
    """One about languages that were recognised, and one for each figure beyond its limit."""
    recognised = {code: language.recognised for code, language in compared.items()
                  if language.recognised}
    taken = ", ".join(f"{code} for {count:,}" for code, count in recognised.items())
    about = [f"{sum(recognised.values()):,} texts named no language, it is recognised: {taken}."
             ] if recognised else []
    passed = [f"{code}, {NAMES[figure].lower()}: {_sentence(figure, language)}; limit "
              f"{language.changes[figure].limit:.1%}"
              for code, language in compared.items() for figure in language.passed]
    return (*about, *passed)


def _sentence(figure: str, language: Compared) -> str:
    change = language.changes[figure]
    moved = sorted(language.shares.items(), key=lambda item: -abs(item[1][1] - item[1][0]))[:MOVED]
    return SENTENCES[figure].format(
        size=change.size, now=change.now, before=change.before,
        moved=", ".join(f"{label} from {old:.1%} to {new:.1%}" for label, (old, new) in moved))


def table(compared: Mapping[str, Compared], limits: Drift) -> Table:
    """A row per language, and the limits."""
    rows = [(code, _count(language), f"{len(language.before):,}",
             *(_cell(language.changes[figure]) for figure in FIGURES))
            for code, language in compared.items()]
    last = ("Limit", NONE, NONE, *(f"{100 * getattr(limits, figure):.1f}" for figure in FIGURES))
    return Table("Drift", ("Language", "Texts", "Reference", *(NAMES[name] for name in FIGURES)),
                 (*rows, last), NOTES)


def _count(language: Compared) -> str:
    drawn = len(language.now)
    return f"{drawn:,}" if drawn == language.of else f"{drawn:,} (of {language.of:,})"


def _cell(change: Change) -> str:
    size = f"{100 * change.size + 0.0:.1f}".replace("-0.0", "0.0")
    return Best(f"{size} (!)") if change.passed else size

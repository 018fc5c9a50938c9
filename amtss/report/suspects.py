"""What the report says of suspicious labels."""

from collections.abc import Mapping, Sequence

from amtss.table import NONE, Table


def table(suspects: Mapping[str, Mapping[str, int]], rows: Mapping[str, Mapping[str, int]],
          languages: Sequence[str], labels: Sequence[str]) -> Table:
    """Training rows whose labels teachers contradict, per label and language.

    Args:
        suspects: language -> label -> suspicious rows; without the languages of which no teacher
            says anything.
        rows: language -> label -> training rows.
    """
    lines = [(label, *(str(suspects[code].get(label, 0)) if code in suspects else NONE
                       for code in languages))
             for label in labels if any(counts.get(label) for counts in suspects.values())]
    totals = ("Total", *(_total(suspects[code], rows[code]) if code in suspects else NONE
                         for code in languages))
    unknown = [code for code in languages if code not in suspects]
    notes: tuple[str, ...] = (
        "Training rows whose labels teachers contradict that have not learnt them (confident "
        "learning). The command amtss suspects --lang LANG lists them.",)
    if unknown:
        notes += (f"Not known of {', '.join(unknown)}, whose rows all teachers have learnt: "
                  "there the command teaches a linear model.",)
    return Table("Suspicious labels per label and language", ("Label", *languages),
                 (*lines, totals), notes)


def _total(suspects: Mapping[str, int], rows: Mapping[str, int]) -> str:
    found, all_rows = sum(suspects.values()), sum(rows.values())
    return f"{found:,} ({100 * found / max(1, all_rows):.1f}%)"

"""What the report says of the linear floor, which a student should be above."""

from collections.abc import Mapping, Sequence

from amtss.report.paper import AVERAGE

NAME = "Linear floor"


def sentence(student: Mapping[str, float], floor: Mapping[str, float],
             advice: Sequence[str]) -> str:
    """How far the student is above the floor, or where it is below it and what to try.

    Args:
        student, floor: test accuracy in percent, by language and `average`.
        advice: what to try, the best first.
    """
    shared = [code for code in student if code in floor and code != AVERAGE]
    gaps = {code: round(student[code] - floor[code], 2) for code in shared}
    level = sum(floor[code] for code in shared) / len(shared)
    average = round(sum(student[code] for code in shared) / len(shared) - level, 2)
    missing = [code for code in student if code not in floor]
    over = f", without {', '.join(missing)}, which has no labels in train" if missing else ""
    below = ", ".join(f"{code} ({gap:+.2f})" for code, gap in gaps.items() if gap < 0)
    side = "below" if average < 0 else "above"
    says = (f"The student is {abs(average):.2f} points {side} the linear floor of "
            f"{level:.2f} on average{over}")
    if below:
        says += f" and below it in {below}"
    return f"{says}: try {'; '.join(advice)}." if below else f"{says} and below it in no language."

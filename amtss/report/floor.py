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
    gaps = {code: round(student[code] - floor[code], 2) for code in student}
    average = gaps.pop(AVERAGE)
    below = ", ".join(f"{code} ({gap:+.2f})" for code, gap in gaps.items() if gap < 0)
    side = "below" if average < 0 else "above"
    says = (f"The student is {abs(average):.2f} points {side} the linear floor of "
            f"{floor[AVERAGE]:.2f} on average")
    if below:
        says += f" and below it in {below}"
    return f"{says}: try {'; '.join(advice)}." if below else f"{says} and below it in no language."

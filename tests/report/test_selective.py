from support.metrics import FIVE, metrics

from amtss.report import selective
from amtss.table import NONE


def test_coverage() -> None:
    table = selective.coverage(metrics(), FIVE)
    assert table.header == ("", "Accuracy of all", "Answered at 90", "their accuracy",
                            "Answered at 95", "their accuracy", "Answered at 99", "their accuracy")
    assert [row[0] for row in table.rows] == [*FIVE, "average"]
    assert all(row[2:] == ("97.5", "106.5", "84.2", "93.2", "0.0", NONE) for row in table.rows)


def test_untold() -> None:
    table = selective.untold(metrics(), FIVE)
    assert [row[0] for row in table.rows] == [*FIVE, "average"]
    assert {(row[1], row[4]) for row in table.rows} <= {("98.75", "-0.12"), ("98.75", "-0.13")}

from dataclasses import replace

from support.registered import settings, version

from amtss.registry import comparison
from amtss.registry.rules import compare
from amtss.table import NONE, markdown


def test_against_a_champion() -> None:
    verdict = compare(version(7, en=80.5, fr=68.0, ko=66.0), version(3, en=80.0, fr=70.0),
                      settings(required=("pl",)))
    assert [line for line in markdown(comparison.table(verdict)).splitlines() if line] == [
        "**Version 7 against version 3**",
        "| language | version 3 | version 7 | difference | allowed drop | verdict |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
        "| average | 75.00 | 74.25 | -0.75 | 0.30 | fails: max_average_drop |",
        "| en | 80.00 | 80.50 | +0.50 | 1.00 | passes |",
        "| fr | 70.00 | 68.00 | -2.00 | 1.00 | fails: max_language_drop |",
        f"| pl | {NONE} | {NONE} | {NONE} | {NONE} | fails: required |",
        f"| ko | {NONE} | 66.00 | {NONE} | {NONE} | passes |"]


def test_a_first_version() -> None:
    candidate = replace(version(2, floor={"en": 85.0}, majority={"en": 60.0, "fr": 97.0},
                                en=80.0, fr=97.0), without_labels={"ko": 91.0})
    made = comparison.table(compare(candidate, None, settings()))
    assert [line for line in markdown(made).splitlines() if line][:-1] == [
        "**Version 2, with no champion to compare it with**",
        "| language | version 2 | constant answer | linear floor | at least | verdict |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
        f"| average | 80.00 | {NONE} | 85.00 | 82.00 | fails: max_below_floor |",
        "| en | 80.00 | 60.00 | 85.00 | 64.00 | warns: floor |",
        f"| fr | 97.00 | 97.00 | {NONE} | 97.30 | fails: min_above_majority |",
        f"| ko (agreement) | 91.00 | {NONE} | {NONE} | 80.00 | passes |"]

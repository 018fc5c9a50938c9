"""Cells from metrics and histories."""

from support.metrics import FIVE, history, metrics, onboarded
from support.tables import cell

from amtss.report import paper, training
from amtss.table import NONE


def test_sizes_with_and_without_the_papers() -> None:
    assert training.sizes(metrics(), False).rows[0] == \
        ("AMTSS student", "xlm-roberta, 4 layers", "4.0M", "16.0 MB")
    papers = {row[0]: row[2] for row in training.sizes(metrics(), True).rows if "Paper" in row[0]}
    assert papers == {"Paper: XLM-R": "550M", "Paper: RoBERTa": "355M", "Paper: CamemBERT": "335M",
                      "Paper: X-LM-Tiny": "52.2M", "Paper: AMTSS-LM-Tiny": "52.2M"}


def test_sizes_with_the_vocabulary_as_it_was() -> None:
    given = metrics()
    assert not [row for row in training.sizes(given, False).rows if "trimmed" in row[0]]
    given["sizes"]["student"]["full_vocabulary"] = 52_238_215
    assert ("AMTSS student, vocabulary not trimmed", "–", "52.2M", "–") in \
        training.sizes(given, False).rows


def test_cost_sums_up() -> None:
    given = metrics()
    costs, last = given["cost"].values(), training.cost(given).rows[-1]
    assert last[1] == f"{sum(cost['examples'] for cost in costs):,}"
    assert last[4] == f"{sum(cost['seconds'] for cost in costs):,.1f}"


def test_cost_of_the_floor_is_in_cpu_seconds() -> None:
    given = metrics()
    given["cost"]["floor"]["seconds"] = 22.64
    table = training.cost(given)
    assert cell(table, "Linear floor", "Seconds") == "22.6"
    assert "CPU seconds" in table.notes[0]


def test_ranked_is_the_papers_table_5() -> None:
    epochs = [{"epoch": number, "selected": ["ko"],
               "rank": {paper.TABLE_5_LANGUAGES[index]: place for place, index in enumerate(row)},
               "margin": dict.fromkeys(paper.TABLE_5_LANGUAGES, 1.5)}
              for number, row in enumerate(paper.TABLE_5, start=1)]
    rows = training.ranked(epochs, paper.TABLE_5_LANGUAGES).rows
    assert rows[0] == ("1", "ko", "[5 6 0 2 7 4 3 1]", "pt +1.50")
    assert rows[4][2] == "[1 7 0 3 4 6 2 5]"


def test_weights_leave_a_dash_where_a_teacher_does_not_score() -> None:
    table = training.weights(history()[0], FIVE)
    assert cell(table, "ar", "ar") == "0.35"
    assert cell(table, "ar", "en") == NONE
    assert cell(table, "multilingual", "en") == "0.65"
    assert "`mixing: geometric`" in table.notes[0]


def test_models_have_their_display_names() -> None:
    assert training.display_name("baseline", metrics()) == "X-LM-Tiny"
    assert training.display_name("baseline", onboarded()) == "Version 3"
    assert training.display_name("floor", metrics()) == "Linear floor"
    assert training.display_name("teachers.ko", metrics()) == "teacher ko"

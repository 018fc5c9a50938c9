from collections.abc import Sequence

import pytest

from amtss.discovery.columns import Roles, roles
from amtss.errors import DataError

TEXTS = [f"question number {number}" for number in range(12)]
NUMBERS = [str(number) for number in range(12)]


def cycle(*names: str) -> Sequence[str]:
    return [names[number % len(names)] for number in range(12)]


@pytest.mark.parametrize(("values", "expected"), [
    ({"text": TEXTS, "label": cycle("a", "b")}, Roles("text", "label")),
    ({"ID": NUMBERS, "Utterance": TEXTS, "Intent": cycle("a", "b")},
     Roles("Utterance", "Intent", id="ID")),
    ({"text": TEXTS, "intent": cycle("a", "b", "c"), "scenario": cycle("x", "y")},
     Roles("text", "scenario", others=("intent",))),
    ({"text": TEXTS, "label": cycle("0", "1"), "label_text": cycle("a", "b")},
     Roles("text", "label_text", others=("label",))),
    ({"premise": TEXTS, "hypothesis": TEXTS, "label": cycle("0", "1", "2")},
     Roles("premise", "label", "hypothesis")),
    ({"frage": TEXTS, "note": ["x"] * 12, "antwort": cycle("ja", "nein")},
     Roles("frage", "antwort")),
    ({"short": [f"n {n}" for n in NUMBERS], "long": TEXTS, "kind": cycle("a", "b")},
     Roles("long", "kind")),
    ({"text": TEXTS, "lang": cycle("fr", "pt_BR"), "label": cycle("a", "b")},
     Roles("text", "label", language="lang")),
    ({"text": TEXTS, "lang": cycle("french", "german"), "label": cycle("a", "b")},
     Roles("text", "label", others=("lang",))),
    ({"id": cycle("1", "2"), "text": TEXTS, "label": cycle("a", "b")},
     Roles("text", "label", id="id"))])
def test_roles(values: dict[str, Sequence[str]], expected: Roles) -> None:
    assert roles(values) == expected


def test_what_the_user_names() -> None:
    values = {"text": TEXTS, "title": TEXTS, "intent": cycle("a", "b"), "scenario": cycle("x", "y")}
    assert roles(values, "title", "intent", "text") == Roles("title", "intent", "text",
                                                             others=("scenario",))
    with pytest.raises(DataError, match=r"^--label: expected one of the columns text, title, inten"
                                        r"t, scenario, found 'topic'; name one of them$"):
        roles(values, label="topic")


@pytest.mark.parametrize(("values", "says"), [
    ({"label": cycle("a", "b")}, r"expected one with texts, found label; name it with --text"),
    ({"price": NUMBERS, "label": cycle("a", "b")}, r"expected one with texts, found price, label"),
    ({"text": TEXTS}, r"expected one with labels, found text, none of which repeats a few short"),
    ({"text": TEXTS, "label": ["a"] * 12}, r"expected one with labels, found text, label, none"),
    ({"text": TEXTS, "one": cycle("a", "b"), "two": cycle("x", "y")},
     r"expected one with labels, found several that may be: one, two; name it with --label")])
def test_columns_that_nobody_can_tell(values: dict[str, Sequence[str]], says: str) -> None:
    with pytest.raises(DataError, match=f"^columns: {says}"):
        roles(values)

"""Which columns hold the texts and their labels, by their names and by what is in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amtss.discovery.folder import code_of
from amtss.errors import DataError

Values = Mapping[str, Sequence[str]]
"""Name of a column -> its values in the training rows."""
TEXTS = ("text", "utterance", "utt", "sentence", "question", "query", "message", "content", "body",
         "input", "prompt", "comment", "review", "tweet", "document", "description", "title")
PAIRS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("text1", "text2"),
         ("question1", "question2"), ("text_a", "text_b"), ("sentence_a", "sentence_b"),
         ("text", "text_pair"), ("text", "pair"))
LABELS = (("label_text", "label_name"),
          ("label", "labels", "gold_label", "target", "class", "category", "y"),
          ("intent", "scenario", "topic", "sentiment", "domain", "emotion", "tag", "type"))
"""Names of a label's column. Those of the first group that a file has are taken; of several, the
one with fewer values, which has more rows for each."""
IDS = ("id", "idx", "guid", "uid", "uuid", "key", "pairid", "pair_id")
LANGUAGES = ("language", "lang", "locale", "language_code", "lang_code")
MOST_LABELS = 1000


@dataclass(frozen=True)
class Roles:
    """Names of the columns; empty where there is none."""

    text: str
    label: str
    pair: str = ""
    id: str = ""
    language: str = ""
    others: tuple[str, ...] = ()
    """Further columns that could be labels."""


def roles(values: Values, text: str = "", label: str = "", pair: str = "") -> Roles:
    """What each column is for.

    Args:
        text, label, pair: the columns that the user has named.

    Raises:
        DataError: no such column; none with texts or with labels, or several that may be labels.
    """
    for option, name in (("--text", text), ("--label", label), ("--pair", pair)):
        if name and name not in values:
            raise DataError(f"{option}: expected one of the columns {', '.join(values)}, found "
                            f"{name!r}; name one of them")
    known = {_plain(name): name for name in reversed([*values])}
    language = next((known[name] for name in LANGUAGES if name in known
                     and all(map(code_of, {*values[known[name]]} - {""}))), "")
    if not text:
        first = next((pair for pair in PAIRS if {*pair} <= known.keys()), None)
        if first and not pair:
            text, pair = known[first[0]], known[first[1]]
        else:
            text = _text(values, {label, pair, language})
    taken = {text, pair, language}
    candidates = [name for name in values if name not in taken and _plain(name) not in IDS
                  and _may_be_label(values[name])]
    if not label:
        label = _label(candidates, values)
    ids = (known[name] for name in IDS if name in known)
    others = [name for name in candidates if name != label]
    return Roles(text, label, pair, next((name for name in ids if name not in {*taken, label}), ""),
                 language, tuple(others))


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def _text(values: Values, taken: set[str]) -> str:
    """The column with a name of texts, or else the one with the longest of various texts."""
    various = [name for name, texts in values.items() if name not in taken and _is_text(texts)]
    named = [name for wanted in TEXTS for name in various if _plain(name) == wanted]
    if not various:
        raise DataError(f"columns: expected one with texts, found {', '.join(values)}; name it with"
                        " --text")
    return (named or sorted(various, key=lambda name: -sum(map(len, values[name]))))[0]


def _is_text(texts: Sequence[str]) -> bool:
    """Whether most values differ and have letters."""
    letters = sum(any(map(str.isalpha, text)) for text in texts)
    return 2 * len({*texts}) > len(texts) and 2 * letters > len(texts)


def _may_be_label(names: Sequence[str]) -> bool:
    """Whether a few short values are repeated."""
    different = {*names} - {""}
    return (2 <= len(different) <= min(MOST_LABELS, len(names) / 2)
            and max(map(len, different)) <= 100 and all(name.strip() for name in names))


def _label(candidates: Sequence[str], values: Values) -> str:
    """The column with a name of labels, or else the only one that may be labels."""
    for names in LABELS:
        named = [name for name in candidates if _plain(name) in names]
        if named:
            return min(named, key=lambda name: len({*values[name]}))
    if len(candidates) != 1:
        several = f"several that may be: {', '.join(candidates)}" if candidates else (
            f"{', '.join(values)}, none of which repeats a few short values")
        raise DataError(f"columns: expected one with labels, found {several}; name it with --label")
    return candidates[0]

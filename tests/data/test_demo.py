"""The embedded demonstration data: its counts, its splits, its languages and how hard it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from amtss.data import demo
from amtss.data.appendix_a import COUNTS, LABELS, LANGUAGES
from amtss.errors import AmtssError

PAPER = ("ar", "en", "es", "fr", "ru")
PAPER_TOTALS = {"ar": 60367, "en": 25969, "es": 29285, "fr": 30685, "ru": 26999}
SCRIPTS = {"ar": "ARABIC", "ko": "HANGUL", "ru": "CYRILLIC"}
every_language = pytest.mark.parametrize("language", LANGUAGES)


def rows_of(splits: dict[str, list[demo.Row]]) -> list[demo.Row]:
    return [row for rows in splits.values() for row in rows]


def bare(text: str) -> str:
    """The message without case and punctuation: what makes two messages the same."""
    return re.sub(r"[\W_]+", " ", text).strip().casefold()


def test_counts_are_appendix_a() -> None:
    assert len(LABELS) == len(set(LABELS)) == 20
    assert {language: sum(COUNTS[language]) for language in PAPER} == PAPER_TOTALS
    assert all(len(column) == 20 for column in COUNTS.values())
    column = dict(zip(LABELS, COUNTS["fr"], strict=True))
    assert column["route_ae_others"] == 11589
    assert column["route_ae_abnormalrefund"] == 4


@every_language
def test_every_label_has_its_scaled_count_in_every_split(language: str) -> None:
    splits = demo.generate(language)
    assert list(splits) == ["train", "validation", "test"]
    drawn = Counter(row.label for row in rows_of(splits))
    for label, full in zip(LABELS, COUNTS[language], strict=True):
        assert drawn[label] == (max(3, round(full * 0.04)) if full else 0), label
        for rows in splits.values():
            assert any(row.label == label for row in rows) == bool(full)


def test_english_has_no_others() -> None:
    labels = {row.label for row in rows_of(demo.generate("en"))}
    assert set(LABELS) - labels == {"route_ae_others"}


@every_language
def test_split_shares(language: str) -> None:
    splits = demo.generate(language)
    total = len(rows_of(splits))
    shares = {split: len(rows) / total for split, rows in splits.items()}
    assert shares == pytest.approx({"train": 0.70, "validation": 0.12, "test": 0.18}, abs=0.01)


@every_language
def test_no_message_twice_even_retyped(language: str) -> None:
    rows = rows_of(demo.generate(language))
    assert len({bare(row.text) for row in rows}) == len(rows)  # so no text has two labels either
    assert len({row.id for row in rows}) == len(rows)


@every_language
def test_messages_are_clean_text(language: str) -> None:
    for row in rows_of(demo.generate(language)):
        assert row.text == row.text.strip() != ""
        assert not set(row.text) & set("{}#\n\t")
        assert row.text == unicodedata.normalize("NFC", row.text)
        assert row.label in LABELS


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(LANGUAGES), st.floats(1e-4, 0.03), st.integers(0, 2**40))
def test_any_scale_and_seed_is_stratified_and_repeatable(
    language: str, scale: float, seed: int
) -> None:
    splits = demo.generate(language, scale=scale, seed=seed)
    assert splits == demo.generate(language, scale=scale, seed=seed)
    present = {
        label for label, full in zip(LABELS, COUNTS[language], strict=True) if full
    }
    assert all({row.label for row in rows} == present for rows in splits.values())


def test_exhausted_templates_still_give_new_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    single = demo.Phrases(["hi"], ["bye"], {}, {label: ["pay now"] for label in LABELS})
    monkeypatch.setattr(demo, "load_phrases", lambda language: single)
    rows = rows_of(demo.generate("en", scale=0.01))
    assert len({bare(row.text) for row in rows}) == len(rows) > 250


def test_seeds_differ() -> None:
    texts = [{row.text for row in rows_of(demo.generate("en", seed=seed))} for seed in (0, 1)]
    assert len(texts[0] & texts[1]) < 0.2 * len(texts[0])


def test_same_rows_in_another_process() -> None:
    code = (
        "import json, sys; from amtss.data import demo; "
        "json.dump({x: demo.generate(x, scale=0.01) for x in ('ko', 'en')}, sys.stdout)"
    )
    for hash_seed in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True, check=True, timeout=60,
        ).stdout
        here = {language: demo.generate(language, scale=0.01) for language in ("en", "ko")}
        assert json.loads(out) == json.loads(json.dumps(here))


def test_languages_are_independent(monkeypatch: pytest.MonkeyPatch) -> None:
    before = demo.generate("ru", scale=0.01)
    monkeypatch.setattr(demo, "COUNTS", {"ru": COUNTS["ru"]})
    assert demo.generate("ru", scale=0.01) == before


@pytest.mark.parametrize(("language", "script"), SCRIPTS.items())
def test_script(language: str, script: str) -> None:
    letters = [c for row in rows_of(demo.generate(language)) for c in row.text if c.isalpha()]
    inside = sum(unicodedata.name(c).startswith(script) for c in letters)
    assert inside > 0.9 * len(letters)


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - set(SCRIPTS)))
def test_latin_script(language: str) -> None:
    letters = [c for row in rows_of(demo.generate(language)) for c in row.text if c.isalpha()]
    assert all(c == "º" or unicodedata.name(c).startswith("LATIN") for c in letters)
    assert (sum(not c.isascii() for c in letters) > 0.005 * len(letters)) == (language != "en")


def test_languages_share_almost_no_message() -> None:
    owners = Counter(
        text
        for language in LANGUAGES
        for text in {bare(row.text) for row in rows_of(demo.generate(language))}
    )
    assert sum(n > 1 for n in owners.values()) < 0.001 * len(owners)


@every_language
def test_phrases_are_complete(language: str) -> None:
    phrases = demo.load_phrases(language)
    used = {label for label, full in zip(LABELS, COUNTS[language], strict=True) if full}
    assert set(phrases.templates) == used
    slots: set[str] = set()
    for label, templates in phrases.templates.items():
        assert len(templates) == len(set(templates)) >= 5, label
        for template in templates:
            slots |= set(re.findall(r"\{(\w+)\}", template))
            assert not set(re.sub(r"\{\w+\}", "", template)) & set("{}")
    assert slots == set(phrases.slots)  # every slot is filled, and none is left over
    for name, fillers in phrases.slots.items():
        assert len(fillers) == len(set(fillers)) >= 5, name
    texts = [phrases.openers, phrases.closers, *phrases.slots.values(), *phrases.templates.values()]
    assert all(isinstance(text, str) and text for group in texts for text in group)


def test_unknown_language() -> None:
    with pytest.raises(AmtssError, match=r"one of ar, en, .*; found 'de'; set `languages`") as e:
        demo.generate("de")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.5, float("nan")])
def test_scale_out_of_range(scale: float) -> None:
    with pytest.raises(AmtssError, match=r"scale above 0 and at most 1; found"):
        demo.generate("en", scale=scale)


def test_fast() -> None:
    demo.load_phrases.cache_clear()
    start = time.process_time()
    rows = sum(len(rows_of(demo.generate(language))) for language in LANGUAGES)
    assert time.process_time() - start < 2.0
    assert 9_000 < rows < 12_000


def test_learnable_but_not_trivial() -> None:
    splits = demo.generate("en")
    model = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True),
        LogisticRegression(C=20.0, max_iter=300),
    )
    model.fit([row.text for row in splits["train"]], [row.label for row in splits["train"]])
    texts, labels = zip(*((row.text, row.label) for row in splits["test"]), strict=True)
    assert 0.75 < model.score(texts, labels) < 0.99

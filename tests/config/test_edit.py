import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.project import ROOT

from amtss.config import edit
from amtss.config.params import load_params
from amtss.config.schema import LinearTeacher, Onboarding, Params, ProbeTeacher
from amtss.errors import ParamsError

PRESETS = sorted((ROOT / "params").glob("*.yaml"))
TEACHERS = {"ae": ["ar"], "demo": ["linear"], "massive": ["linear", "e5"],
            "massive-logs": ["linear", "e5", "frozen"], "massive-scratch": ["ar"],
            "massive-skewed": ["linear", "e5"], "xnli": ["ar"], "xnli-small": ["e5"]}
"""The teachers that a new language's are like."""


def onboarding(*codes: str) -> Onboarding:
    return Onboarding(version=3, fingerprint="0123456789abcdef", languages=codes)


def read(text: str) -> Params:
    Path("params.yaml").write_text(text, encoding="utf-8")
    return load_params(Path("params.yaml"))


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _made(params: Params, name: str) -> list[dict[str, Any]]:
    """`made_with` but for `cross_fit`, which depends on which teachers are alone in a language."""
    return [{key: value for key, value in settings.items() if key != "cross_fit"}
            for settings in params.made_with(name)]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
class TestPresets:
    def test_only_what_must_change_does(self, preset: Path) -> None:
        text = preset.read_text(encoding="utf-8")
        before = load_params(preset)
        after = read(edit.pinned(text, before, onboarding("ko", "pl"), None, None))
        assert after.languages == (*before.languages, "ko", "pl")
        assert after.newcomers == ("ko", "pl")
        assert after.onboarding == onboarding("ko", "pl")
        assert [after.taught_on(name) for name in before.teachers] == [
            before.taught_on(name) for name in before.teachers]
        assert [after.scored_by(name) for name in before.teachers] == [
            before.scored_by(name) for name in before.teachers]
        names = TEACHERS[preset.stem]
        likes = dict(zip(("ko",) if len(names) == 1 else [f"ko_{name}" for name in names], names,
                         strict=True))
        assert set(after.pool) == {*before.pool, *likes, *(name.replace("ko", "pl")
                                                           for name in likes)}
        for name, like in likes.items():
            assert _made(after, name) == _made(before, like)
            assert after.taught_on(name) == ("ko",)
        changed = {"languages", "teachers", "onboarding", "distil"}
        assert after.model_dump(exclude=changed) == before.model_dump(exclude=changed)

    def test_comments_stay(self, preset: Path) -> None:
        text = preset.read_text(encoding="utf-8")
        after = edit.pinned(text, load_params(preset), onboarding("ko"), None, None)
        assert set(re.findall("#.*", text)) <= set(re.findall("#.*", after))


BASE = """\
languages: [en, fr]
teachers:
  both: {languages: [all], scores: [all]}     # all of them
  large: {languages: [en], checkpoint: roberta}
  fr: &small
    languages: [fr]
    architecture: {layers: 1}
  fr2: {<<: *small, languages: [fr]}
distil: {teachers: [both, fr], top_k: 2}
baseline: {teacher: both}
"""


def pinned(*codes: str, data: str | None = None, like: str | None = None,
           text: str = BASE) -> str:
    return edit.pinned(text, read(text), onboarding(*codes), data, like)


def test_all_is_replaced_by_the_old_languages() -> None:
    after = read(pinned("ko"))
    assert after.teachers["both"].languages == after.teachers["both"].scores == ("en", "fr")


def test_the_new_teacher_is_like_most_teachers() -> None:
    text = BASE.replace("fr2: {<<: *small, languages: [fr]}", "en: {<<: *small, languages: [en]}")
    after = read(pinned("ko", text=text.replace("[both, fr]", "[both, fr, en]")))
    assert after.teachers["ko"].architecture.layers == 1
    assert after.teachers["ko"].checkpoint is None
    assert after.distil.teachers == ("both", "fr", "en", "ko")


EACH = """\
languages: [ar, en, fr]
teachers:
  words: {kind: linear, languages: [all]}
  e5: {languages: [all], checkpoint: hub/e5}
  small: {languages: [all]}                   # from scratch
  english: {languages: [en], checkpoint: hub/english}
  more: {languages: [ar], checkpoint: hub/e5}
distil: {teachers: [english, more, e5, words, small]}
baseline: {teacher: e5}
"""


def test_a_new_language_has_a_teacher_like_each_that_most_have() -> None:
    first = pinned("ko", text=EACH)
    after = read(first)
    assert after.distil.teachers == ("english", "more", "e5", "words", "small", "ko_more",
                                     "ko_words")
    assert after.teachers["ko_more"].checkpoint == "hub/e5"
    assert after.taught_on("ko_more") == after.taught_on("ko_words") == ("ko",)
    assert pinned("ko", text=first) == first
    later = read(pinned("pl", text=first))
    assert later.distil.teachers == (*after.distil.teachers, "pl_more", "pl_words")


def test_or_like_x_lm_tiny_s_where_every_language_has_another() -> None:
    text = "languages: [ar, en, fr]\nteachers:\n  all: {languages: [all]}\n" + "".join(
        f"  {code}: {{languages: [{code}], checkpoint: hub/{code}}}\n"
        for code in ("ar", "en", "fr")) + "baseline: {teacher: all}\n"
    assert read(pinned("ko", text=text)).teachers["ko"].checkpoint is None


def test_the_new_teacher_has_its_own_checkpoint() -> None:
    after = read(pinned("ko", like="hub/klue")).teachers["ko"]
    assert (after.checkpoint, after.languages) == ("hub/klue", ("ko",))


LINEAR = BASE.replace("  large:", """\
  words: {kind: linear, languages: [en], cross_fit: 3}
  more: {kind: linear, languages: [fr], cross_fit: 3}
  old: {kind: linear, languages: [fr]}
  large:""")


def test_the_word_linear_makes_a_linear_teacher() -> None:
    teacher = read(pinned("ko", like="linear")).teachers["ko"]
    assert teacher == LinearTeacher(kind="linear", languages=("ko",), cross_fit=0)  # it is alone


def test_a_linear_teacher_is_like_most_linear_ones() -> None:
    teacher = read(pinned("ko", like="linear", text=LINEAR)).teachers["ko"]
    assert teacher == LinearTeacher(kind="linear", languages=("ko",), cross_fit=3)
    pool = LINEAR.replace("[both, fr]", "[both, words, more, fr]")
    assert read(pinned("ko", text=pool)).teachers["ko"] == teacher  # the first of those alike


def test_a_checkpoint_beside_linear_teachers() -> None:
    text = LINEAR.replace("  fr2: {<<: *small, languages: [fr]}\n", "")
    teacher = read(pinned("ko", like="hub/klue", text=text)).teachers["ko"]
    assert (teacher.kind, teacher.checkpoint) == ("transformer", "hub/klue")
    only = "languages: [en]\nteachers: {lin: {kind: linear, languages: [en]}}\nbaseline: " \
           "{teacher: lin}\ndistil: {top_k: 1}\n"
    teacher = read(pinned("ko", like="hub/klue", text=only)).teachers["ko"]
    assert (teacher.kind, teacher.checkpoint) == ("transformer", "hub/klue")
    assert read(pinned("ko", text=only)).teachers["ko"].kind == "linear"


PROBES = BASE.replace("  large:", """\
  e5: {kind: probe, languages: [all], checkpoint: hub/e5, prefix: "query: ", cross_fit: 3}
  large:""")


@pytest.mark.parametrize("like", ["e5", "probe:hub/e5"])
def test_a_probe_of_the_same_encoder_has_the_same_settings(like: str) -> None:
    assert read(pinned("ko", like=like, text=PROBES)).teachers["ko"] == ProbeTeacher(
        kind="probe", languages=("ko",), checkpoint="hub/e5", prefix="query: ", cross_fit=3)


def test_a_probe_of_another_encoder_has_no_prefix_of_the_first() -> None:
    assert read(pinned("ko", like="probe:hub/gte", text=PROBES)).teachers["ko"] == ProbeTeacher(
        kind="probe", languages=("ko",), checkpoint="hub/gte", cross_fit=3)


def test_a_first_probe_and_its_prefix() -> None:
    text = edit.changed(pinned("ko", like="probe:hub/e5"), ('teachers.ko.prefix="query: "',))
    assert read(text).teachers["ko"] == ProbeTeacher(
        kind="probe", languages=("ko",), checkpoint="hub/e5", prefix="query: ")


def test_a_teachers_name_is_its_settings() -> None:
    teachers = read(pinned("ko", "pl", like="large", text=LINEAR)).teachers
    assert teachers["ko"] == teachers["large"].model_copy(update={"languages": ("ko",)})
    assert teachers["pl"] == teachers["large"].model_copy(update={"languages": ("pl",)})
    assert read(pinned("ko", like="words", text=LINEAR)).teachers["ko"].kind == "linear"


@pytest.mark.parametrize("like", ["probe", "probe:"])
def test_a_probe_of_no_encoder(like: str) -> None:
    with pytest.raises(ParamsError, match=rf"^--teacher: expected probe:CHECKPOINT, found '{like}'"
                                          "; name the encoder"):
        pinned("ko", like=like)


class TestWithoutLabels:
    def pinned(self, like: str | None = None, text: str = BASE) -> Params:
        return read(edit.pinned(text, read(text), onboarding("ko", "pl"), None, like, ["ko"]))

    def test_teachers_of_several_languages_score_it(self) -> None:
        after = self.pinned()
        assert "ko" not in after.teachers
        assert after.taught_on("pl") == ("pl",)
        assert after.scored_by("both") == ("en", "fr", "ko")
        assert after.taught_on("both") == ("en", "fr")
        assert all("ko" not in after.scored_by(name) for name in ("large", "fr", "fr2", "pl"))

    def test_a_probe_joins_one_that_is_fine_tuned(self) -> None:
        text = BASE.replace("scores: [all]", "scores: [all], checkpoint: hub/e5, revision: v1")
        after = self.pinned(text=text)
        probe = after.teachers["both_probe"]
        assert isinstance(probe, ProbeTeacher)
        assert (probe.checkpoint, probe.revision) == ("hub/e5", "v1")
        assert after.taught_on("both_probe") == ("en", "fr")
        assert after.scored_by("both_probe") == after.scored_by("both") == ("en", "fr", "ko")
        assert after.distil.teachers == ("both", "fr", "both_probe", "pl")
        assert "both_probe" not in self.pinned(text=text, like="both").teachers

    @pytest.mark.parametrize("teachers", [
        "both: {languages: [all], checkpoint: hub/e5, fine_tune: false}",
        "both: {languages: [all], checkpoint: hub/e5}\n"
        "  frozen: {kind: probe, languages: [all], checkpoint: hub/other}",
        "both: {languages: [all], checkpoint: hub/e5}\n"
        "  both_probe: {kind: probe, languages: [en], checkpoint: hub/e5}",
    ], ids=["nothing is fine-tuned", "there is one", "the name is taken"])
    def test_or_does_not(self, teachers: str) -> None:
        text = f"languages: [en, fr]\nteachers:\n  {teachers}\ndistil: {{top_k: 1}}\n"
        after = read(edit.pinned(text, read(text), onboarding("ko"), None, None, ["ko"]))
        assert set(after.teachers) == set(read(text).teachers)
        assert "ko" in after.scored_by("both")

    def test_pretrained_ones_alone_if_there_are_any(self) -> None:
        text = BASE.replace("  large: {languages: [en]", "  large: {languages: [en, fr]")
        after = self.pinned(text=text.replace("[both, fr]", "[both, large, fr]"))
        assert after.scored_by("large") == ("en", "fr", "ko")
        assert after.scored_by("both") == ("en", "fr")

    def test_or_the_one_that_is_named(self) -> None:
        after = self.pinned(like="fr")
        assert after.scored_by("fr") == ("fr", "ko")
        assert "ko" not in after.scored_by("both")

    def test_or_a_new_one_that_is_taught_on_the_others(self) -> None:
        after = self.pinned(like="probe:hub/e5")
        assert after.teachers["ko"].kind == "probe"
        assert after.taught_on("ko") == ("en", "fr")
        assert after.scored_by("ko") == ("en", "fr", "ko")
        assert after.distil.teachers == ("both", "fr", "ko", "pl")

    def test_a_new_one_that_knows_only_what_it_is_taught(self) -> None:
        with pytest.raises(ParamsError, match="--teacher: expected, as there are no labels, one "
                                              "that can score a language untaught, found a linear"):
            self.pinned(like="linear")

    def test_linear_teachers_cannot_score_it(self) -> None:
        linear = read("languages: [en, fr]\nteachers: {all: {kind: linear, languages: [all]}}\n"
                      "distil: {top_k: 1}\nbaseline: {teacher: all}\n")
        assert edit.scorers(linear, None) == edit.scorers(linear, "all") == []


def test_the_new_languages_data_has_another_name() -> None:
    assert read(pinned("ko", data="ko-KR")).data.configs == {"ko": "ko-KR"}
    assert read(pinned("nb", data="no")).data.configs == {"nb": "no"}


@pytest.mark.parametrize("code", ["no", "zh-CN", "pt-BR"])
def test_codes_that_need_care_in_yaml_or_dvc(code: str) -> None:
    after = read(pinned(code))
    assert after.newcomers == (code,)
    assert after.teachers[code.replace("-", "_")].languages == (code,)


def test_a_second_onboarding_follows_the_first() -> None:
    first = pinned("ko")
    after = read(pinned("pl", text=first))
    assert after.languages == ("en", "fr", "ko", "pl")
    assert after.newcomers == ("pl",)
    assert after.distil.teachers == ("both", "fr", "ko", "pl")


def test_the_same_again_changes_nothing() -> None:
    first = pinned("ko")
    assert pinned("ko", text=first) == first


@given(st.text("0123456789abcdef", min_size=16, max_size=16))
def test_any_fingerprint_is_read_as_text(fingerprint: str) -> None:
    origin = Onboarding(version=1, fingerprint=fingerprint, languages=("ko",))
    assert read(edit.pinned(BASE, read(BASE), origin, None, None)).onboarding == origin


class TestChanged:
    def test_sets_present_and_absent_keys(self) -> None:
        after = read(edit.changed(BASE, ("distil.top_k=1", "continuation.learning_rate=1.0e-3",
                                        "teachers.fr.training.epochs=2")))
        assert after.distil.top_k == 1
        assert after.continuation.learning_rate == 1.0e-3
        assert after.teachers["fr"].training.epochs == 2

    @pytest.mark.parametrize(("value", "title"), [
        ("no", "no"), ("12:30", "12:30"), ("2024-13-01", "2024-13-01"), ("'1e-5'", "1e-5")])
    def test_text_stays_text(self, value: str, title: str) -> None:
        assert read(edit.changed(BASE, (f"report.title={value}",))).report.title == title

    @pytest.mark.parametrize("value", ["1e-5", "1e-05", "0.00001"])
    def test_numbers_are_written_as_they_were_given(self, value: str) -> None:
        text = edit.changed(BASE, (f"distil.learning_rate={value}",))
        assert f"learning_rate: {value}" in text
        assert read(text).distil.learning_rate == 1e-5

    def test_codes_with_hyphens_and_json(self) -> None:
        text = edit.changed(BASE, ('languages=["en", "fr", "zh-Hans", "no"]',
                                   'data.configs.zh-Hans="zh"', 'data.labels=["yes", "no"]'))
        after = read(text)
        assert after.languages == ("en", "fr", "zh-Hans", "no")
        assert after.data.configs == {"zh-Hans": "zh"}
        assert after.data.labels == ("yes", "no")

    @pytest.mark.parametrize("value", ["[x", "@x", "*a", "%x", "{"])
    def test_a_value_that_is_not_yaml(self, value: str) -> None:
        with pytest.raises(ParamsError, match=r"^--set: report\.title: expected YAML, found: .*; "
                                              r"fix it$"):
            edit.changed(BASE, (f"report.title={value}",))

    def test_a_broken_params_yaml(self) -> None:
        with pytest.raises(ParamsError, match=r"^params\.yaml:3: expected YAML, found: "):
            edit.changed("a: 1\nb: [\n", ("a=2",))

    def test_without_changes_the_text_is_the_same(self) -> None:
        assert edit.changed(BASE, ()) == BASE

    @pytest.mark.parametrize("change", ["distil.top_k", "=3"])
    def test_a_change_of_another_form(self, change: str) -> None:
        with pytest.raises(ParamsError, match=r"--set: expected KEY=VALUE, found"):
            edit.changed(BASE, (change,))

    def test_a_key_below_a_list(self) -> None:
        with pytest.raises(ParamsError, match=r"--set: languages.ko: expected a section"):
            edit.changed(BASE, ("languages.ko=1",))

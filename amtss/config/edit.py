"""Edits of params.yaml's text that keep its comments: new languages, and `--set KEY=VALUE`."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from copy import deepcopy
from typing import Any

from ruamel.yaml.comments import CommentedSeq

from amtss.config import yaml
from amtss.config.schema import ALL, Onboarding, Params, TransformerTeacher
from amtss.errors import ParamsError

LINEAR, PROBE = "linear", "probe"
FOR_CHECKPOINT = ("architecture", "revision", "pooling", "prefix", "labels")
"""Settings of a teacher that another checkpoint may need otherwise."""


def pinned(text: str, params: Params, origin: Onboarding, data: str | None,
           like: str | None, without_labels: Collection[str] = ()) -> str:
    """params.yaml's text with the new languages, their teachers and `onboarding`.

    `all` is replaced by the languages that it has meant so far, so that no old teacher is trained
    again.

    Args:
        text: params.yaml as it is.
        params: the settings in `text`.
        origin: the registered version that the student resumes from, and the new languages.
        data: the new language's config or folder in the source; None if that is its code.
        like: what the new teacher is: the name of a teacher for one with its settings, `linear`,
            `probe:CHECKPOINT`, or a checkpoint to fine-tune; None for one like each teacher that
            most languages have.
        without_labels: new languages that no teacher can be taught on. All `scorers` score them,
            and a probe beside a fine-tuned one; a new teacher, if `like` is none of params.yaml,
            is taught on the languages with labels.

    Raises:
        ParamsError: `like` is `probe` without a checkpoint, or linear without labels.
    """
    document = yaml.load_document(text, "params.yaml")
    old = list(params.languages)
    for section in document["teachers"].values():
        for key in ("languages", "scores"):
            if ALL in (section.get(key) or ()):
                section[key] = _flow(old)
    document["languages"] = _flow([*old, *(c for c in origin.languages if c not in old)])
    added = _untuned(params, [*old, *without_labels]) if without_labels and like is None else {}
    for code in origin.languages:
        if code in without_labels and (like is None or like in params.teachers):
            for scorer in scorers(params, like):
                section = document["teachers"][scorer]
                known = section.get("scores") or section["languages"]
                section["scores"] = _flow([*known, *({code} - {*known})])
        else:
            made = {name: _teacher(document, params, code, model)
                    for name, model in new_teachers(params, code, like).items()
                    if name not in document["teachers"]}
            if code in without_labels:
                made = {name: teacher | _of_others(params, teacher, [*old, code])
                        for name, teacher in made.items()}
            added |= made
        if data is not None:
            document.setdefault("data", {}).setdefault("configs", {})[code] = data
    document["teachers"].update(added)
    if params.distil.teachers is not None:
        document["distil"]["teachers"].extend(added)
    document["onboarding"] = {"version": origin.version, "fingerprint": origin.fingerprint,
                              "languages": _flow(origin.languages)}
    return yaml.dump(document)


def new_teachers(params: Params, code: str, like: str | None) -> dict[str, str]:
    """The teachers that `code` gets: their names, and what each is like."""
    name = code.replace("-", "_")  # teachers' names have no hyphen
    models = _usual(params) if like is None else [like]
    if len(models) == 1:
        return {name: models[0]}
    return {f"{name}_{model}": model for model in models}


def _usual(params: Params) -> list[str]:
    """Teachers whose settings most languages have one with. One that several languages share from
    scratch does not count, because it learns from the rows of all. If there is none: X-LM-Tiny's
    teacher, which is multilingual."""
    first: dict[str, str] = {}
    languages: dict[str, set[str]] = defaultdict(set)
    for name in params.pool:
        teacher, taught = params.teachers[name], params.taught_on(name)
        scratch = isinstance(teacher, TransformerTeacher) and teacher.from_scratch
        if not (scratch and len(taught) > 1):
            settings = _made_alike(params, name)
            first.setdefault(settings, name)
            languages[settings] |= {*taught}
    usual = [first[settings] for settings, codes in languages.items()
             if 2 * len(codes) > len(params.languages)]
    return usual or [params.baseline.teacher]


def _teacher(document: Any, params: Params, code: str, like: str) -> Any:
    """Settings of a teacher of `code`: those of the teacher `like`, or else those that most
    teachers of its kind and of one language have."""
    teacher: dict[str, Any] = {"languages": _flow([code])}
    if like in params.teachers:
        return teacher | _settings(document, like)
    kind, checkpoint = _asked(like)
    names = [name for name in params.teachers if params.teachers[name].kind == kind]
    if names:
        teacher |= _settings(document, _commonest(params, names))
    if kind != "transformer":
        teacher["kind"] = kind
    if checkpoint and teacher.get("checkpoint") != checkpoint:
        teacher = {key: value for key, value in teacher.items() if key not in FOR_CHECKPOINT}
        teacher["checkpoint"] = checkpoint
    return teacher


def scorers(params: Params, like: str | None) -> list[str]:
    """Teachers that can score a language without labels: the teacher `like`, or else those of the
    pool that are taught on several languages, pretrained ones if there are any: a linear one knows
    nothing of other languages, and one from scratch hardly anything."""
    names = [like] if like else [name for name in params.pool if len(params.taught_on(name)) > 1]
    readers = [name for name in names if params.teachers[name].kind != LINEAR]
    pretrained = [name for name in readers
                  if getattr(params.teachers[name], "checkpoint", None) is not None]
    return pretrained or readers


def _untuned(params: Params, scores: Sequence[str]) -> dict[str, Any]:
    """A probe on the encoder of the first scorer that is fine-tuned, for what the encoder knew of
    other languages before. None where a scorer is a probe."""
    teachers = {name: params.teachers[name] for name in scorers(params, None)}
    fine_tuned = {name: teacher for name, teacher in teachers.items()
                  if isinstance(teacher, TransformerTeacher) and teacher.fine_tune
                  and not teacher.from_scratch and f"{name}_probe" not in params.teachers}
    if not fine_tuned or any(teacher.kind == PROBE for teacher in teachers.values()):
        return {}
    name, teacher = next(iter(fine_tuned.items()))
    probe = {"kind": PROBE, "checkpoint": teacher.checkpoint}
    if teacher.revision:
        probe["revision"] = teacher.revision
    return {f"{name}_probe": probe | _of_others(params, probe, scores)}


def _of_others(params: Params, teacher: Any, scores: Sequence[str]) -> Any:
    """`teacher`, taught on the languages with labels, to score those of `scores`.

    Raises:
        ParamsError: it is linear, and so would know nothing of other languages.
    """
    if teacher.get("kind") == LINEAR:
        raise ParamsError("--teacher: expected, as there are no labels, one that can score a "
                          "language untaught, found a linear one; name a probe:CHECKPOINT or a "
                          "checkpoint that is multilingual")
    taught = {code for name in params.teachers for code in params.taught_on(name)}
    return {"languages": _flow([code for code in params.languages if code in taught]),
            "scores": _flow(scores)}


def _asked(like: str) -> tuple[str, str | None]:
    """Kind and checkpoint of a teacher that is like no teacher by its name."""
    kind, _, checkpoint = like.partition(":")
    if like == LINEAR:
        return LINEAR, None
    if kind != PROBE:
        return "transformer", like
    if not checkpoint:
        raise ParamsError(f"--teacher: expected probe:CHECKPOINT, found {like!r}; name the encoder,"
                          " for example probe:intfloat/multilingual-e5-small")
    return PROBE, checkpoint


def _commonest(params: Params, names: Sequence[str]) -> str:
    """The first teacher with the settings that most of `names` have; those of one language alone
    count, if there are any."""
    single = [name for name in names if len(params.taught_on(name)) == 1]
    settings = {name: _made_alike(params, name) for name in single or names}
    commonest = Counter(settings.values()).most_common(1)[0][0]
    return next(name for name in settings if settings[name] == commonest)


def _made_alike(params: Params, name: str) -> str:
    """Text that is the same for teachers that differ in their languages alone."""
    return params.teachers[name].model_dump_json(exclude={"languages", "scores"})


def _settings(document: Any, name: str) -> dict[str, Any]:
    """All settings of a teacher but its languages."""
    return {key: deepcopy(value) for key, value in document["teachers"][name].items()
            if key not in ("languages", "scores")}


def changed(text: str, changes: Sequence[str]) -> str:
    """params.yaml's text after `key=value` changes; keys are dotted, values are YAML.

    Raises:
        ParamsError: a change is not of that form, its value is not YAML, or its key leads nowhere.
    """
    if not changes:
        return text
    document = yaml.load_document(text, "params.yaml")
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or not key:
            raise ParamsError(f"--set: expected KEY=VALUE, found {change!r}; write for example "
                              "--set continuation.max_epochs=3")
        section = document
        *path, last = key.split(".")
        for part in path:
            section = section.setdefault(part, {}) if isinstance(section, dict) else None
        if not isinstance(section, dict):
            raise ParamsError(f"--set: {key}: expected a section of params.yaml before the last "
                              "dot, found none; correct the key")
        section[last] = yaml.load_document(value, f"--set: {key}")
    return yaml.dump(document)


def _flow(codes: Iterable[str]) -> CommentedSeq:
    """A list that is written in one line: `[ar, no]`."""
    line = CommentedSeq(codes)
    line.fa.set_flow_style()
    return line

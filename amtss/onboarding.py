"""A new language: params.yaml, the pipeline, the registry and its rules, in one command."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amtss import git, hub, records
from amtss.config import edit
from amtss.config.params import load_params
from amtss.config.schema import CODE, LinearTeacher, Onboarding, Params
from amtss.data import sources
from amtss.data.holding_out import hold_out
from amtss.data.sources import Source
from amtss.errors import AmtssError, DataError, ParamsError
from amtss.files import read_json, write_text
from amtss.paths import LINEAGE, Layout
from amtss.registry import versions
from amtss.registry.versions import CHAMPION, Version
from amtss.report import accuracy, training
from amtss.table import Table
from amtss.temporary import temporary_folder


@dataclass(frozen=True)
class Request:
    """What `amtss onboard-language` was called with."""

    languages: tuple[str, ...]
    version: int | None = None
    """The registered version to start from; None for the champion."""
    data: str | None = None
    """The new language's folder or config in the source, if that is not its code."""
    teacher: str | None = None
    """What its teacher is: a teacher's name for one with its settings, `linear`,
    `probe:CHECKPOINT`, or a checkpoint to fine-tune; None for one like each that most languages
    have. Without labels, teachers of other languages score it: the named one, or all that can; a
    new one is taught on the languages that have labels."""
    changes: tuple[str, ...] = ()
    """`key=value` for params.yaml."""


def prepare(layout: Layout, request: Request) -> Params:
    """Check everything that can be checked, then write params.yaml with the new languages.

    If params.yaml has them from an interrupted onboarding, it stays as it is.

    Raises:
        AmtssError: the request cannot be carried out; params.yaml is unchanged.
    """
    params, text = load_params(layout.params), layout.params.read_text(encoding="utf-8")
    _check_codes(request)
    if _under_way(params, layout, request):
        if edit.changed(text, request.changes) != text:
            raise ParamsError(f"{layout.params}: expected the settings that this onboarding started"
                              f" with, found others: {', '.join(request.changes)}; run the command "
                              "as before, or edit params.yaml")
        return params
    version = versions.find(params, layout, request.version or CHAMPION)
    _check_new(params, version, request)
    pin = Onboarding(version=version.number, fingerprint=version.fingerprint,
                     languages=request.languages)
    edited, planned = _planned(text, params, pin, request)
    _check_kept(planned, params, pin, version)
    found = {code: sources.read(planned.data, code) for code in request.languages}
    if without_labels := [code for code in found if "train" not in found[code].tables]:
        _check_scorers(params, request, without_labels)
        edited, planned = _planned(text, params, pin, request, without_labels)
    _check_data(planned, version, found)
    _check_teachers(planned, params, request)
    with temporary_folder(layout.artifacts, "onboarding") as folder:
        student = folder / "student"
        versions.fetch(params, layout, version.number, version.fingerprint, student)
        _check_length(planned, student)
    write_text(layout.params, edited)
    return planned


def repro() -> None:
    """Run `dvc repro`; wait if another DVC command is running in this folder.

    Raises:
        AmtssError: a stage failed; DVC has printed which.
    """
    done = subprocess.run([sys.executable, "-m", "dvc", "--wait-for-lock", "repro"], check=False)
    if done.returncode:
        raise AmtssError(f"expected `dvc repro` to succeed, found exit status {done.returncode}; "
                         "fix the error printed above, then run the same command again")


def result_tables(params: Params, layout: Layout) -> list[Table]:
    """Table 4 of this run, what the other languages have lost or gained, and Table 5."""
    metrics = records.metrics(layout)
    history = records.history(layout, "distil")
    return [accuracy.adapted(metrics, beside_paper=False), accuracy.forgetting(metrics),
            training.ranked(history, params.languages)]


def commit(params: Params, layout: Layout) -> None:
    """Commit params.yaml and dvc.lock, so that the version to be registered can name its commit.

    Outside git, or if nothing has changed, there is nothing to do.

    Raises:
        AmtssError: git refuses to commit.
    """
    try:
        git.commit(layout.root, LINEAGE, f"Onboard {', '.join(params.newcomers)}")
    except AmtssError as error:
        raise AmtssError(f"{error}, or add --no-commit") from error


def _planned(text: str, params: Params, pin: Onboarding, request: Request,
             without_labels: Sequence[str] = ()) -> tuple[str, Params]:
    """params.yaml's new text, and what it says."""
    edited = edit.pinned(text, params, pin, request.data, request.teacher, without_labels)
    edited = edit.changed(edited, request.changes)
    return edited, _parsed(edited)


def _parsed(text: str) -> Params:
    """`text` read as params.yaml, which itself is not written."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(text, encoding="utf-8")
        return load_params(path)


def _check_codes(request: Request) -> None:
    for code in request.languages:
        if not CODE.fullmatch(code):
            raise ParamsError(f"--lang: expected a language code such as 'ko' or 'zh-CN', found "
                              f"{code!r}; correct it")
    if len(set(request.languages)) < len(request.languages):
        raise ParamsError(f"--lang: expected each language once, found "
                          f"{' '.join(request.languages)}; leave one out")
    if request.data is not None and len(request.languages) > 1:
        raise ParamsError("--data: expected one --lang with it, found "
                          f"{len(request.languages)}; onboard them one by one")


def _under_way(params: Params, layout: Layout, request: Request) -> bool:
    """Whether params.yaml has an onboarding of exactly these languages, still without a champion.
    """
    pin = params.onboarding
    if pin is None or set(pin.languages) != set(request.languages):
        return False
    if request.version not in (None, pin.version):
        return False
    champion = versions.aliases(params, layout).get(CHAMPION)
    return not any(version.number == champion and version.parent == pin.version
                   and set(version.languages) == set(params.languages)
                   for version in versions.versions(params, layout))


def _check_new(params: Params, version: Version, request: Request) -> None:
    for code in request.languages:
        if code in version.languages:
            raise ParamsError(f"--lang: expected a language that version {version.number} of "
                              f"{versions.name(params)} does not serve, found {code!r}; name one "
                              f"besides {', '.join(version.languages)}")
        for name in edit.new_teachers(params, code, request.teacher):
            if name in params.teachers and params.taught_on(name) != (code,):
                raise ParamsError(f"params.yaml: teachers.{name}: expected no teacher of that "
                                  f"name, found one of {', '.join(params.taught_on(name))}; "
                                  "rename it")
    missing = [code for code in params.languages
               if code not in (*version.languages, *request.languages)]
    if missing:
        raise ParamsError(f"--lang: expected {', '.join(missing)} too, which params.yaml has and "
                          f"version {version.number} of {versions.name(params)} does not serve, "
                          f"found {', '.join(request.languages)}; name all of them")


def _check_kept(planned: Params, params: Params, pin: Onboarding, version: Version) -> None:
    """Check that no `--set` changes what makes this an onboarding of that version."""
    for key, expected, found in (
            ("project", params.project, planned.project), ("onboarding", pin, planned.onboarding),
            ("data.labels", planned.data.labels or params.data.labels, planned.data.labels),
            ("languages", {*version.languages, *pin.languages}, {*planned.languages})):
        if found != expected:
            raise ParamsError(f"--set: {key}: expected no change of it in an onboarding, found "
                              "one; leave it out")


def _check_scorers(params: Params, request: Request, without_labels: Sequence[str]) -> None:
    """Check that a teacher can score languages that it cannot be taught on."""
    like = request.teacher
    if like not in (None, *params.teachers) or edit.scorers(params, like) or any(
            change.startswith("teachers.") for change in request.changes):
        return
    raise ParamsError(f"--lang {' '.join(without_labels)}: expected, as there are no labels, a "
                      "teacher that can score texts of a language untaught (a transformer or probe "
                      f"of several languages), found {like or ', '.join(params.pool)}; add one by "
                      "--teacher probe:CHECKPOINT, such as probe:intfloat/multilingual-e5-small")


def _check_data(planned: Params, version: Version, found: Mapping[str, Source]) -> None:
    """Check that the new languages have rows, with the student's labels in the student's order, or
    texts enough without labels.

    Where there is no list of labels here, the gate compares: it takes that of another language.
    """
    for code, source in found.items():
        if "train" not in source.tables:
            hold_out(source.tables, code, planned.data.seed)
        labels = planned.data.labels or source.labels or version.labels
        if labels != version.labels:
            raise ParamsError(f"data.labels: expected those of version {version.number} in their "
                              f"order, {', '.join(version.labels)}, found {', '.join(labels)}; set "
                              "data.labels to that list")
        for split, table in source.tables.items():
            unknown = sorted(set(table["label"].to_pylist()) - {None} - set(version.labels))
            if unknown:
                raise DataError(f"{code}/{split}: expected the labels of version {version.number}, "
                                f"{', '.join(version.labels)}, found {', '.join(unknown[:5])}; "
                                "rename or drop those rows")


def _check_teachers(planned: Params, params: Params, request: Request) -> None:
    """Check that the checkpoints of the new languages' teachers exist."""
    for code in request.languages:
        for name in edit.new_teachers(params, code, request.teacher):
            teacher = planned.teachers.get(name)
            if (teacher is not None and not isinstance(teacher, LinearTeacher)
                    and teacher.checkpoint is not None):
                hub.check("model", teacher.checkpoint, teacher.revision)


def _check_length(planned: Params, student: Path) -> None:
    """Check that the registered student reads texts as long as params.yaml asks for."""
    config = read_json(student / "config.json", records.Student, "amtss register", ours=False)
    if (length := planned.student.max_length or 0) > config["max_tokens"]:
        raise ParamsError(f"student.max_length: expected at most {config['max_tokens']}, the "
                          f"length of the registered student's texts, found {length}; lower it")

"""A new language: params.yaml, the pipeline, the registry and its rules, in one command."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from amtss import git
from amtss.config import edit
from amtss.config.params import load_params
from amtss.config.schema import CODE, Onboarding, Params
from amtss.data import sources
from amtss.errors import AmtssError, DataError, ParamsError
from amtss.files import read_json, read_rows, write_text
from amtss.paths import LINEAGE, Layout
from amtss.registry import versions
from amtss.registry.versions import CHAMPION, Version
from amtss.report import accuracy, training
from amtss.table import Table


@dataclass(frozen=True)
class Request:
    """What is asked for; all but the languages has defaults from the languages there are."""

    languages: tuple[str, ...]
    version: int | None = None
    """The registered version to go on from; None for the champion."""
    data: str | None = None
    """The new language's folder or config in the source, where that is not its code."""
    checkpoint: str | None = None
    """What its teacher is fine-tuned from, where that is not as most teachers'."""
    changes: tuple[str, ...] = ()
    """`key=value` for params.yaml."""


def prepare(layout: Layout, request: Request) -> Params:
    """Check everything that can be checked, then write params.yaml; go on where that is done.

    Raises:
        AmtssError: something asked for cannot be; params.yaml is as it was.
    """
    params, text = load_params(layout.params), layout.params.read_text(encoding="utf-8")
    _check_codes(request)
    if _under_way(params, layout, request):
        if edit.changed(text, request.changes) != text:
            raise ParamsError(f"{layout.params}: expected the settings that this onboarding began "
                              f"with, found others: {', '.join(request.changes)}; run the command "
                              "as before, or edit params.yaml")
        return params
    version = versions.find(params, layout, request.version or CHAMPION)
    _check_new(params, version, request)
    made = edit.pinned(text, params, Onboarding(
        version=version.number, fingerprint=version.fingerprint, languages=request.languages),
        request.data, request.checkpoint)
    made = edit.changed(made, request.changes)
    planned = _parsed(layout, made)
    _check_data(planned, version, request)
    with tempfile.TemporaryDirectory() as folder:  # its files are there, and the right ones
        versions.fetch(params, layout, version.number, version.fingerprint, Path(folder) / "it")
    write_text(layout.params, made)
    return planned


def repro() -> None:
    """`dvc repro`, waiting for whoever else uses the workspace.

    Raises:
        AmtssError: a stage failed; DVC has said which.
    """
    done = subprocess.run([sys.executable, "-m", "dvc", "--wait-for-lock", "repro"], check=False)
    if done.returncode:
        raise AmtssError(f"expected `dvc repro` to end well, found exit status {done.returncode}; "
                         "mend what is said above, then run the same command again")


def told(params: Params, layout: Layout) -> list[Table]:
    """Table 4 of this run, what the other languages have lost or won, and Table 5."""
    metrics = read_json(layout.metrics, "dvc repro evaluate")
    history = read_rows(layout.history("distil"), "dvc repro distil")
    return [accuracy.adapted(metrics, beside_paper=False), accuracy.forgetting(metrics),
            training.ranked(history, params.languages)]


def commit(params: Params, layout: Layout) -> None:
    """Commit params.yaml and dvc.lock, so that the version to be registered can name its commit.

    Raises:
        AmtssError: git refuses.
    """
    try:
        git.commit(layout.root, LINEAGE, f"Onboard {', '.join(params.newcomers)}")
    except AmtssError as error:
        raise AmtssError(f"{error}, or add --no-commit") from error


def _parsed(layout: Layout, text: str) -> Params:
    """`text` as params.yaml would be read; nothing is written where that stands."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / layout.params.name
        path.write_text(text, encoding="utf-8")
        return load_params(path)


def _check_codes(request: Request) -> None:
    for code in request.languages:
        if not CODE.fullmatch(code):
            raise ParamsError(f"--lang: expected a language code such as 'ko' or 'zh-CN', found "
                              f"{code!r}; mend it")
    if len(set(request.languages)) < len(request.languages):
        raise ParamsError(f"--lang: expected each language once, found "
                          f"{' '.join(request.languages)}; leave one out")
    if request.data is not None and len(request.languages) > 1:
        raise ParamsError("--data: expected one --lang with it, found "
                          f"{len(request.languages)}; onboard them one by one")


def _under_way(params: Params, layout: Layout, request: Request) -> bool:
    """Whether params.yaml has these very languages pinned, and no champion serves them yet."""
    pin = params.onboarding
    if pin is None or set(pin.languages) != set(request.languages):
        return False
    if request.version not in (None, pin.version):
        return False
    named = versions.aliases(params, layout)
    return not any(each.parent == pin.version and set(each.languages) == set(params.languages)
                   and each.number == named.get(CHAMPION)
                   for each in versions.versions(params, layout))


def _check_new(params: Params, version: Version, request: Request) -> None:
    for code in request.languages:
        if code in version.languages:
            raise ParamsError(f"--lang: expected a language that version {version.number} of "
                              f"{versions.name(params)} does not serve, found {code!r}; name one "
                              f"besides {', '.join(version.languages)}")
        name = edit.teacher_name(code)
        if name in params.teachers and params.taught_on(name) != (code,):
            raise ParamsError(f"params.yaml: teachers.{name}: expected no teacher of that name, "
                              f"found one of {', '.join(params.taught_on(name))}; rename it")
    left = [code for code in params.languages
            if code not in (*version.languages, *request.languages)]
    if left:
        raise ParamsError(f"--lang: expected {', '.join(left)} too, which params.yaml has and "
                          f"version {version.number} of {versions.name(params)} does not serve, "
                          f"found {', '.join(request.languages)}; name all of them")


def _check_data(planned: Params, version: Version, request: Request) -> None:
    """The new languages have rows, with the student's labels."""
    for code in request.languages:
        for split, table in sources.read(planned.data, code).tables.items():
            unknown = sorted(set(table["label"].to_pylist()) - {None} - set(version.labels))
            if unknown:
                raise DataError(f"{code}/{split}: expected the labels of version {version.number}, "
                                f"{', '.join(version.labels)}, found {', '.join(unknown[:5])}; "
                                "rename or drop those rows")

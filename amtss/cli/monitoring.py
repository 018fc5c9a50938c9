"""The commands that watch a model at work: drift."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from amtss.cli.project import load_project
from amtss.errors import AmtssError
from amtss.terminal import say

app = typer.Typer()
DRIFTED = 3
"""Exit status where a limit is passed; errors have 1, a wrong command line 2."""


@app.command()
def drift(
    data: Annotated[list[Path], typer.Option(
        "--data", metavar="FILES", help="Files of new texts: CSV, JSONL or Parquet, with columns "
        "as in the training data and perhaps `lang`.")],
    more: Annotated[list[Path] | None, typer.Argument(
        metavar="[FILES]", help="More of them, so that --data logs/*.csv means all.")] = None,
    against: Annotated[list[Path] | None, typer.Option(
        metavar="FILE", help="File of earlier texts to compare with, instead of held-out rows of "
                             "the training data; may be repeated.")] = None,
    lang: Annotated[str, typer.Option(
        help="Language of rows that name none; auto recognises it, text by text.")] = "auto",
    model: Annotated[Path, typer.Option(help="Folder of the student.")] = Path("artifacts/student"),
    version: Annotated[str, typer.Option(
        metavar="REF", help="Number or alias of a registered version, instead of --model.")] = "",
) -> None:
    """Compare new texts, per language, with the data that the student was made for.

    Writes artifacts/drift and logs a run to MLflow. The exit status is 3 where a limit of the
    section `drift` of params.yaml is passed.
    """
    params, layout = load_project("drift")
    if version and model != Path("artifacts/student"):
        raise AmtssError(f"--version: expected it without --model, found --model {model}; leave "
                         "out one of them")
    from amtss.drift import drift, page, tables
    from amtss.registry import tracking, versions
    from amtss.table import one_line, show
    from amtss.temporary import temporary_folder

    request = drift.Request((*data, *(more or ())), tuple(against or ()), lang)
    with tracking.run(params, layout, "drift") as run, ExitStack() as held:
        if version:
            registered = versions.find(params, layout, version)
            # Not called drift: what writes artifacts/drift clears .drift-* away.
            model = held.enter_context(temporary_folder(layout.artifacts, "monitoring")) / "student"
            versions.fetch(params, layout, registered.number, registered.fingerprint, model)
        compared = drift.compare(params, layout, model, request)
        page.write(params, layout, compared, model)
        run.figures({figure: {code: language.changes[figure].size
                              for code, language in compared.items()}
                     for figure in tables.NAMES})
        run.figures({"passed": {code: len(language.passed)
                                for code, language in compared.items()}})
        run.artifacts(layout.drift)
    show(tables.table(compared, params.drift))
    for line in (tables.headline(compared), *tables.sentences(compared)):
        say(one_line(line))  # labels may hold what steers a terminal
    print(f"Page: {(layout.drift / 'drift.html').resolve()}")
    if any(language.passed for language in compared.values()):
        raise typer.Exit(DRIFTED)

"""The commands for annotators: which labels are suspicious, and which texts to label next."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from amtss.cli.project import load_project
from amtss.errors import AmtssError
from amtss.terminal import say

app = typer.Typer()
LanguageOption = Annotated[str, typer.Option("--lang", metavar="LANG", help="Language to list.")]
OutOption = Annotated[Path | None, typer.Option(
    "--out", metavar="FILE", help="CSV file to write; without it the rows are printed.")]
ApplyOption = Annotated[Path | None, typer.Option(
    "--apply", metavar="FILE", help="Read a sheet that has been filled in into corrections/.")]


@app.command()
def suspects(
    lang: LanguageOption = "",
    split: Annotated[Literal["train", "validation", "test"], typer.Option(
        help="Rows to look at.")] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="Most rows to list.")] = None,
    out: OutOption = None,
    apply: ApplyOption = None,
) -> None:
    """List labels that are probably wrong, worst first, as CSV to correct; or apply such a CSV.

    Teachers that have not learnt a row contradict its label, or near-duplicates have other labels.
    Write the right label into the column `corrected`.
    """
    if apply is not None:
        _apply(apply)
        return
    from amtss.annotation import suspects

    params, layout = load_project()
    _write(*suspects.suspects(params, layout, lang, split, limit), out, "suspects")


@app.command()
def label_next(
    lang: LanguageOption = "",
    budget: Annotated[int, typer.Option(min=1, help="Rows to list.")] = 200,
    out: OutOption = None,
    apply: ApplyOption = None,
) -> None:
    """List the texts of the logs that are best labelled next, as CSV; or apply such a CSV.

    Texts that the teachers are unsure of, and that differ from each other. Write the labels into
    the column `label`. The language may be one that the project does not have yet.
    """
    if apply is not None:
        _apply(apply)
        return
    from amtss.annotation import selection

    params, layout = load_project()
    _write(*selection.label_next(params, layout, lang, budget), out, "label-next")


def _write(sheet: str, rows: int, out: Path | None, command: str) -> None:
    """Write the sheet to a file that Excel reads as UTF-8, or print it."""
    if out is None:
        print(sheet, end="")
        return
    if out.exists():  # perhaps somebody's work of hours
        raise AmtssError(f"{out}: expected no file yet, found one; name another, or remove it")
    from amtss.data.sheets import BOM
    from amtss.files import write_text

    write_text(out, BOM + sheet)
    say(f"{out}: {rows} rows; fill it in, then run `amtss {command} --apply {out}`")


def _apply(path: Path) -> None:
    from amtss.annotation import answers

    params, layout = load_project("apply")
    for done in answers.apply(params, layout, path):
        say(f"{layout.corrections(done.language)}: {done.corrected} corrected, {done.confirmed} "
            f"confirmed, {done.labelled} newly labelled; commit it, and run `dvc repro`")

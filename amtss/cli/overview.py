"""The commands around a run: a first params.yaml, presets, what is done and what there is."""

from pathlib import Path
from typing import Annotated

import typer

from amtss.cli.project import load_project
from amtss.terminal import say

app = typer.Typer()


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(
        metavar="FOLDER", help="Folder of CSV, TSV, JSONL or Parquet files; it stays as it is.")],
    text: Annotated[str, typer.Option(metavar="COLUMN", help="The column of the texts.")] = "",
    label: Annotated[str, typer.Option(metavar="COLUMN", help="The column of the labels.")] = "",
    pair: Annotated[str, typer.Option(
        metavar="COLUMN", help="The column of second texts, for a task on pairs.")] = "",
    lang: Annotated[str, typer.Option(
        help="The language of all texts, where no file's name and no column says it.")] = "",
    encoder: Annotated[str, typer.Option(
        metavar="CHECKPOINT", help="Pretrained encoder, a hub id or a folder: a teacher more, and "
                                   "what the student starts from.")] = "",
    force: Annotated[bool, typer.Option(
        "--force", help="Replace params.yaml even if you have edited it.")] = False,
) -> None:
    """Look at a folder of data, say what was found, and write a params.yaml for it."""
    from amtss.discovery import first_params, proposal
    from amtss.paths import Layout
    from amtss.table import one_line, show

    layout = Layout(Path())
    first_params.check(layout, folder, encoder, force)
    found = proposal.propose(proposal.Request(folder, text, label, pair, lang))
    show(proposal.table(found))
    for line in (*proposal.remarks(found), *first_params.advice(found, encoder)):
        say(one_line(line))
    first_params.write(layout, found, encoder)
    say("params.yaml is written. Read it through, then run `dvc repro`.")


@app.command()
def status() -> None:
    """Print which stages are done or stale, champion and challenger, and what to do next."""
    from concurrent.futures import ThreadPoolExecutor

    from amtss import status
    from amtss.registry import listing
    from amtss.table import show

    params, layout = load_project()
    with ThreadPoolExecutor(1) as other:  # DVC is a process of its own
        waiting = other.submit(status.states, params, layout)
        versions = listing.known(params, layout)
        states = waiting.result()
    metrics = status.student(layout)
    show(status.stage_table(states))
    if named := [version for version in versions if version.aliases]:
        show(listing.table("Registered versions with an alias", named))
    say(status.student_line(metrics, versions))
    say(status.next_step(states, metrics, versions))


@app.command()
def versions() -> None:
    """Print the registered versions, with their aliases, languages and accuracies."""
    from amtss.registry import listing
    from amtss.registry.versions import name
    from amtss.table import show

    params, layout = load_project()
    if known := listing.known(params, layout):
        show(listing.table(name(params), known))
    else:
        say(f"{name(params)}: no versions yet; `amtss register` makes one")


@app.command()
def results() -> None:
    """Print the table of results and the path of the report."""
    from amtss import records
    from amtss.report import accuracy
    from amtss.table import show

    params, layout = load_project()
    show(accuracy.results(records.metrics(layout), params.languages))
    print(f"Report: {(layout.report / 'report.html').resolve()}")


@app.command()
def preset(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Name of a preset.")] = "",
    force: Annotated[bool, typer.Option(
        "--force", help="Replace params.yaml even if you have edited it.")] = False,
) -> None:
    """Copy a preset from params/ to params.yaml; without a name, list the presets."""
    from amtss.config.params import activate_preset, preset_names
    from amtss.paths import Layout

    if name:
        activate_preset(Layout(Path()), name, force=force)
    else:
        print("\n".join(preset_names(Layout(Path()))))

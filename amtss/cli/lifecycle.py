"""The command line of a model's life: register, promote, roll back, export, onboard."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from amtss.cli.project import load_project
from amtss.errors import AmtssError

if TYPE_CHECKING:
    from amtss.config.schema import Params
    from amtss.paths import Layout

app = typer.Typer()


@app.command()
def register() -> None:
    """Make a version of the registered model from the evaluated student, alias `challenger`."""
    _register(*load_project())


def _register(params: "Params", layout: "Layout") -> int:
    from amtss.registry import register, versions

    version, new = register.register(params, layout)
    print(f"{versions.name(params)} version {version.number}, "
          f"{'new' if new else 'registered before'}: {version.average:.2f} points of test accuracy "
          f"on average over {', '.join(version.languages)}; now {', '.join(version.aliases)}")
    if new and version.dirty:
        files = version.dirty.replace(",", "")
        print(f"{version.dirty}: not committed; `git add {files} && git commit`, then a later "
              "onboarding or `dvc repro` can repeat it")
    return version.number


@app.command()
def promote(
    version: Annotated[str, typer.Option(metavar="REF", help="A number or an alias.")
                       ] = "challenger",
    dry_run: Annotated[bool, typer.Option(help="Show the verdict, move nothing.")] = False,
) -> None:
    """Make a version champion if it passes the rules; the old champion becomes `previous`."""
    _promote(*load_project(), version, dry_run)


def _promote(params: "Params", layout: "Layout", version: str, dry_run: bool = False) -> None:
    from amtss.registry import promote

    verdict = promote.promote(params, layout, version, dry_run)
    if verdict is None:
        print(f"{version} is champion already; nothing moved")
    else:
        print(f"version {verdict.candidate.number} "
              f"{'passes; nothing moved' if dry_run else 'is champion now'}")


@app.command()
def rollback() -> None:
    """Make the previous champion champion again; a second time returns."""
    params, layout = load_project()
    from amtss.registry import promote

    print(f"version {promote.rollback(params, layout).number} is champion again")


@app.command()
def audit() -> None:
    """Check the present champion against the rules, whoever made it champion."""
    params, layout = load_project()
    from amtss.registry import promote

    print(f"version {promote.audit(params, layout).candidate.number}, the champion, passes")


@app.command()
def export(
    lang: Annotated[str, typer.Option(
        help="The language to export as a transformers checkpoint; an ONNX file has all.")] = "",
    format: Annotated[Literal["transformers", "onnx", "onnx-int8", "onnx-int4"], typer.Option(
        help="A plain transformers checkpoint of one language, or one file of all languages for "
             "onnxruntime: onnx keeps floats, onnx-int8 is a quarter of the size and faster, "
             "onnx-int4 an eighth.")] = "transformers",
    model: Annotated[Path, typer.Option(help="The student's folder.")] = Path("artifacts/student"),
    version: Annotated[str, typer.Option(
        metavar="REF", help="Number or alias of a registered version, in place of --model.")] = "",
    output: Annotated[Path | None, typer.Option(
        help="artifacts/export/LANG by default, or artifacts/export/onnx.")] = None,
) -> None:
    """Write a student for others: a language of it that needs no amtss, or all without torch."""
    import tempfile

    if bool(lang) is not (format == "transformers"):
        raise AmtssError(f"--format {format}: expected {'no ' * bool(lang)}--lang with it, found "
                         f"{lang or 'none'}; a transformers checkpoint holds one language, an ONNX "
                         "file holds all")
    from amtss.inference import export

    to = output or Path("artifacts/export") / (lang or "onnx")
    with tempfile.TemporaryDirectory(prefix="amtss-") as folder:
        if version:
            from amtss.registry import versions

            params, layout = load_project()
            found = versions.find(params, layout, version)
            model = Path(folder) / "student"
            versions.fetch(params, layout, found.number, found.fingerprint, model)
        if format == "transformers":
            export.export(model, lang, to)
        else:
            export.export_onnx(model, to, format)
    if format == "transformers":
        print(f"{to}: pipeline(\"text-classification\", model=\"{to}\") loads it; truncation=True "
              "cuts texts as the student does")
    else:
        size = (to / "model.onnx").stat().st_size / 1e6
        print(f"{to}: {size:.1f} MB; `amtss predict --runtime onnx --model {to}` uses it")


@app.command()
def onboard_language(
    lang: Annotated[list[str], typer.Option(help="A new language's code; may be repeated.")],
    from_version: Annotated[int | None, typer.Option(
        min=1, help="Registered version to go on from; the champion by default.")] = None,
    data: Annotated[str | None, typer.Option(
        help="Its folder or config in the source, where that is not its code.")] = None,
    teacher: Annotated[str | None, typer.Option(
        help="Checkpoint of its teacher; as most teachers are made by default.")] = None,
    change: Annotated[list[str] | None, typer.Option(
        "--set", metavar="KEY=VALUE", help="A setting for params.yaml; may be repeated.")] = None,
    commit: Annotated[bool, typer.Option(help="Commit params.yaml and dvc.lock.")] = True,
) -> None:
    """Teach the champion a new language: pin, dvc repro, tables, register, promote."""
    from rich.console import Console

    from amtss import onboarding
    from amtss.table import rich_table

    layout = load_project()[1]
    request = onboarding.Request(tuple(lang), from_version, data, teacher, tuple(change or ()))
    params = onboarding.prepare(layout, request)
    onboarding.repro()
    for table in onboarding.told(params, layout):
        Console().print(rich_table(table))
    if commit:
        onboarding.commit(params, layout)
    _promote(params, layout, str(_register(params, layout)))

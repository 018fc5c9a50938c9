"""The commands of a model's life: register, promote, roll back, audit, export, onboard."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from amtss.cli.project import load_project
from amtss.errors import AmtssError
from amtss.terminal import say

if TYPE_CHECKING:
    from amtss.config.schema import Params
    from amtss.paths import Layout

app = typer.Typer()


@app.command()
def register() -> None:
    """Register the evaluated student as a version in MLflow, with the alias `challenger`."""
    _register(*load_project())


def _register(params: "Params", layout: "Layout") -> int:
    from amtss.registry import register, versions

    version, new = register.register(params, layout)
    say(f"{versions.name(params)} version {version.number}, "
        f"{'new' if new else 'registered before'}: {version.average:.2f} points of test accuracy "
        f"on average over {', '.join(version.accuracy)}; now {', '.join(version.aliases)}")
    for code, agreement in version.without_labels.items():
        if agreement is not None:
            say(f"{code}, without labels: agrees with its teachers on {agreement:.2f}% of texts")
    if new and version.dirty:
        files = version.dirty.replace(",", "")
        say(f"{version.dirty}: not committed; `git add {files} && git commit`, so that a later "
            "onboarding or `dvc repro` can repeat this run")
    return version.number


@app.command()
def promote(
    version: Annotated[str, typer.Option(
        metavar="REF", help="The version: its number or an alias.")] = "challenger",
    dry_run: Annotated[bool, typer.Option(
        "--dry-run", help="Print the comparison, but change nothing.")] = False,
    force: Annotated[bool, typer.Option(
        "--force", help="Make it champion even if it breaks rules; needs --reason.")] = False,
    reason: Annotated[str | None, typer.Option(
        metavar="TEXT", help="Why --force is right; kept as a tag of the version.")] = None,
) -> None:
    """Make a version champion if it passes the rules; the old champion becomes `previous`.

    The rules are the section `promotion` of params.yaml.
    """
    why = _written(reason)
    if force != bool(why):
        alone, other = ("--force", "--reason TEXT") if force else ("--reason", "--force")
        raise AmtssError(f"{alone}: expected {other} with it, found none; give both or neither")
    _promote(*load_project(), version, dry_run, why)


def _written(reason: str | None) -> str:
    """A reason on one line; empty where none is given.

    Raises:
        AmtssError: it is given, but says nothing.
    """
    words = " ".join((reason or "").split())
    if reason is not None and not words:
        raise AmtssError("--reason: expected a reason in words, found none; write why")
    return words


def _promote(params: "Params", layout: "Layout", version: str, dry_run: bool = False,
             force: str = "") -> None:
    from amtss.registry import promote

    verdict = promote.promote(params, layout, version, dry_run, force=force)
    if verdict is None:
        say(f"{version} is champion already; nothing changed")
    elif dry_run:
        say(f"version {verdict.candidate.number} "
            f"{'breaks rules' if verdict.failed else 'passes'}; nothing changed")
    else:
        say(f"version {verdict.candidate.number} is champion now"
            f"{', although it breaks rules; the reason is kept' if verdict.failed else ''}")


@app.command()
def rollback(
    to: Annotated[int | None, typer.Option(
        metavar="N", help="The version that shall be champion again. Once it is, the command "
                          "changes nothing, so that it may be repeated, as after a kill.")] = None,
    reason: Annotated[str | None, typer.Option(
        metavar="TEXT", help="Why; kept as a tag of the version.")] = None,
) -> None:
    """Make the previous champion champion again. Without --to, a second rollback undoes the first.

    `amtss audit` then accepts it, whatever the rules say.
    """
    why = _written(reason)
    params, layout = load_project()
    from amtss.registry import promote

    number = promote.rollback(params, layout, to, why).number
    say(f"version {number} is champion again; to repeat this safely: `amtss rollback --to "
        f"{number}`")


@app.command()
def audit() -> None:
    """Check the present champion against the rules, whoever made it champion.

    One that `amtss rollback` or `amtss promote --force` has made champion is accepted.
    """
    params, layout = load_project()
    from amtss.registry import promote

    verdict = promote.audit(params, layout)
    outcome = "breaks rules, as was decided" if verdict.failed else "passes"
    say(f"version {verdict.candidate.number}, the champion, {outcome}")


@app.command()
def export(
    lang: Annotated[str, typer.Option(
        help="Language to export; an ONNX file may have all, and has them without --lang.")] = "",
    format: Annotated[Literal["transformers", "onnx", "onnx-int8", "onnx-int4"], typer.Option(
        help="transformers: a checkpoint of one language, from students with layers and pooling: "
             "first. onnx: one file for onnxruntime, from any student. onnx-int8: the same at a "
             "quarter of the size, and faster. onnx-int4: at an eighth of the size.",
    )] = "transformers",
    model: Annotated[Path, typer.Option(help="Folder of the student.")] = Path("artifacts/student"),
    version: Annotated[str, typer.Option(
        metavar="REF", help="Number or alias of a registered version, instead of --model.")] = "",
    output: Annotated[Path | None, typer.Option(
        help="Folder to write; by default artifacts/export/LANG or artifacts/export/onnx.")] = None,
    push_to_hub: Annotated[str, typer.Option(
        metavar="OWNER/NAME", help="Repository of the hub to upload the export to; it is made if "
                                   "there is none.")] = "",
    private: Annotated[bool, typer.Option(
        "--private", help="Only push to a private repository.")] = False,
) -> None:
    """Export a student: for transformers without amtss, or for onnxruntime without PyTorch.

    Its model card, README.md, says what was measured and how to load it.
    """
    if format == "transformers" and not lang:
        raise AmtssError("--format transformers: expected --lang with it, as a checkpoint holds one"
                         " language, found none; name one, or take --format onnx for all")
    if private and not push_to_hub:
        raise AmtssError("--private: expected --push-to-hub with it, found none; name a repository")
    from amtss.inference import export, facts, publish
    from amtss.paths import Layout
    from amtss.temporary import temporary_folder

    if push_to_hub:
        publish.check(push_to_hub)
    to = output or Path("artifacts/export") / (lang or "onnx")
    with ExitStack() as held:
        if version:
            from amtss.registry import cards, versions

            params, layout = load_project()
            registered = versions.find(params, layout, version)
            folder = held.enter_context(temporary_folder(layout.artifacts, "export"))
            model = folder / "student"
            versions.fetch(params, layout, registered.number, registered.fingerprint, model)
            known = cards.fetch(params, layout, registered.number, folder)
        else:
            known = facts.known(Layout(), model)
        if format == "transformers":
            export.export(model, lang, to, known, push_to_hub)
        else:
            export.export_onnx(model, to, format, lang, known, push_to_hub)
    if format == "transformers":
        say(f"{to}: load it with `pipeline(\"text-classification\", model=\"{to}\")`; "
            "truncation=True truncates texts as the student does")
    else:
        size = (to / "model.onnx").stat().st_size / 1e6
        say(f"{to}: {size:.1f} MB; `amtss predict --runtime onnx --model {to}` uses it")
    if push_to_hub:
        say(f"pushed to {publish.push(to, push_to_hub, private)}")


@app.command()
def serve_image(
    model: Annotated[Path | None, typer.Option(
        help="Folder of an ONNX export; by default artifacts/export/onnx.")] = None,
    output: Annotated[Path, typer.Option(help="Folder to write.")] = Path("artifacts/image"),
) -> None:
    """Write a folder for `docker build`: a server for an ONNX export, without torch."""
    from amtss.inference import image, origin

    if model is None:
        origin.check_export()
    image.write(model or origin.EXPORT, output)
    say(f"{output}: `docker build -t amtss {output}`, then `docker run -p 127.0.0.1:8080:8080 "
        "--read-only amtss`")


@app.command()
def onboard_language(
    lang: Annotated[list[str], typer.Option(
        help="Code of the new language; repeat it for more languages.")],
    from_version: Annotated[int | None, typer.Option(
        min=1, help="Registered version to start from; by default the champion.")] = None,
    data: Annotated[str | None, typer.Option(
        help="The language's folder or config in the data source, if that is not its code.")
        ] = None,
    teacher: Annotated[str | None, typer.Option(
        metavar="NAME|CHECKPOINT|probe:CHECKPOINT|linear",
        help="Its teacher: one with the settings of teacher NAME; a checkpoint to fine-tune; a "
             "probe of an encoder; or a linear one. By default it gets one like each that most "
             "languages have. Without labels, teachers of other languages score it, or NAME alone.",
    )] = None,
    change: Annotated[list[str] | None, typer.Option(
        "--set", metavar="KEY=VALUE", help="Setting to change in params.yaml, for example 'teachers"
        ".ko.prefix=\"query: \"'; may be repeated.")] = None,
    commit: Annotated[bool, typer.Option(help="Commit params.yaml and dvc.lock to git.")] = True,
) -> None:
    """Teach the champion a new language, from the data to the new champion.

    Adds the language to params.yaml, runs `dvc repro`, prints what was gained and lost, then
    registers and promotes the new student. After an interruption run the same command again.
    """
    from amtss import onboarding
    from amtss.table import show

    layout = load_project()[1]
    request = onboarding.Request(tuple(lang), from_version, data, teacher, tuple(change or ()))
    params = onboarding.prepare(layout, request)
    onboarding.repro()
    for table in onboarding.result_tables(params, layout):
        show(table)
    if commit:
        onboarding.commit(params, layout)
    _promote(params, layout, str(_register(params, layout)))

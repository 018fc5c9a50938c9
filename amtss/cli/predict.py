"""The command `predict`: what a student says of texts."""

import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from amtss.cli.project import load_project
from amtss.errors import AmtssError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amtss.inference.batch import Request
    from amtss.inference.jsonl import Refuse
    from amtss.inference.load import Load
    from amtss.inference.predictor import Predictor

app = typer.Typer()


@app.command()
def predict(
    texts: Annotated[list[str] | None, typer.Argument(
        help="Texts. Without any, read stdin.")] = None,
    lang: Annotated[str, typer.Option(
        help="Language of the texts; auto recognises it, text by text.")] = "auto",
    min_accuracy: Annotated[float | None, typer.Option(
        min=0.0, max=1.0, metavar="SHARE", help="Label only texts whose answers are so sure that "
        "they reach this accuracy on validation, such as 0.95; the others get the label null.",
    )] = None,
    pair: Annotated[str, typer.Option(help="Second sentence, for a task on pairs.")] = "",
    model: Annotated[Path | None, typer.Option(
        help="Folder of the student or of its export; by default artifacts/student, or "
             "artifacts/export/onnx for --runtime onnx.")] = None,
    version: Annotated[str | None, typer.Option(
        metavar="REF", help="Number or alias of a registered version, such as champion, instead of "
                            "--model.")] = None,
    runtime: Annotated[Literal["pytorch", "onnx"] | None, typer.Option(
        help="pytorch runs a student; onnx runs any ONNX export, be it onnx, onnx-int8 or "
             "onnx-int4. By default what --model holds, what --version was registered with, or "
             "pytorch.")] = None,
    keep_going: Annotated[bool, typer.Option(
        "--keep-going", help="Report a text that cannot be answered, and answer the others; in "
                             "--out the new columns are null for it.")] = False,
    data: Annotated[Path | None, typer.Option(
        help="File of texts to score, .parquet or .jsonl, with the columns of a line on stdin; "
             "others are kept.")] = None,
    out: Annotated[Path | None, typer.Option(
        help="File of the same format to write: the rows of --data with their answers.")] = None,
    text_column: Annotated[str, typer.Option(
        metavar="NAME", help="Column of --data with the texts.")] = "text",
    prefix: Annotated[str, typer.Option(
        help="What the names of the new columns begin with, such as predicted_.")] = "",
) -> None:
    """Predict labels and probabilities, printed as one JSON object per line, or written to --out.

    On stdin, a line is a plain text, or a JSON object with `text` and perhaps `lang` and `pair`.
    The first text that cannot be answered ends the command, unless --keep-going is given; the exit
    status is then 1 in the end. A run with --data that was interrupted goes on where it was when
    the command is repeated.
    """
    from amtss.inference import jsonl
    from amtss.table import one_line

    if model and version:
        raise AmtssError("--version: expected no --model with it, found one; give only one of them")
    refused: list[AmtssError] = []

    def report(error: AmtssError) -> None:
        refused.append(error)
        print(f"amtss: {one_line(str(error))}", file=sys.stderr)

    refuse = report if keep_going else jsonl.stop
    request = _request(data, out, texts, lang, pair, text_column, prefix,
                       min_accuracy) if data or out else None
    with _source(model, version, runtime) as (load, folder):
        if request:
            _score(request, load, folder, refuse)
        else:
            questions = ([jsonl.Question(text, lang, pair or None, f"text {number}")
                          for number, text in enumerate(texts, start=1)]
                         if texts else jsonl.questions(sys.stdin.buffer, lang, pair or None,
                                                       refuse))
            for line in jsonl.answer(load, folder, questions, refuse, min_accuracy):
                print(jsonl.encodable(line, sys.stdout.encoding))
    if refused:
        raise typer.Exit(1)


@contextmanager
def _source(model: Path | None, version: str | None, runtime: str | None
            ) -> "Iterator[tuple[Load, Path]]":
    """What loads the student that shall answer, and its folder. Where no folder was named, loading
    says on stderr who answers."""
    from amtss.inference import load

    loading = load.LOADERS[runtime] if runtime else load.load_folder
    if model is not None:
        yield loading, model
    elif version is None:
        from amtss.inference import origin

        if runtime == "onnx":
            yield _announced(origin.load_export, origin.written), origin.EXPORT
        else:
            yield _announced(load.load_pytorch, origin.written), origin.STUDENT
    else:
        from amtss.registry import load as registered
        from amtss.temporary import temporary_folder

        params, layout = load_project()
        with temporary_folder(Path(tempfile.gettempdir()), "amtss") as to:
            line, folder = registered.fetch(params, layout, version, runtime, to)
            yield _announced(loading, lambda _: line), folder


def _announced(load: "Load", line: "Callable[[Path], str]") -> "Load":
    """`load`, which then prints a line on stderr about the folder."""
    def loaded(folder: Path) -> "Predictor":
        predictor = load(folder)
        print(f"amtss: {line(folder)}", file=sys.stderr)
        return predictor

    return loaded


def _request(data: Path | None, out: Path | None, texts: list[str] | None, lang: str, pair: str,
             column: str, prefix: str, min_accuracy: float | None) -> "Request":
    from amtss.inference.batch import Request

    if data is None or out is None or texts:
        alone = "--data" if out is None else "--out"
        found = "texts as arguments too" if texts else f"{alone} alone"
        raise AmtssError(f"predict: expected --data with --out and no other texts, found {found}; "
                         "give both files alone")
    return Request(data, out, lang, pair or None, column, prefix, min_accuracy)


def _score(request: "Request", load: "Load", model: Path, refuse: "Refuse") -> None:
    from amtss.inference import batch

    scored = batch.score(request, load(model), model, refuse)
    said = [f"{scored.rows:,} rows"]
    if scored.before:
        said.append(f"{scored.before:,} of them by an interrupted run")
    if scored.refused:
        said.append(f"{scored.refused:,} without an answer")
    print(f"{request.out}: {', '.join(said)}")

"""The command `predict`: what a student says of texts."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from amtss.errors import AmtssError

if TYPE_CHECKING:
    from collections.abc import Callable

    from amtss.inference.batch import Request
    from amtss.inference.jsonl import Refuse
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
    runtime: Annotated[Literal["pytorch", "onnx"], typer.Option(
        help="pytorch runs a student; onnx runs any ONNX export, be it onnx, onnx-int8 or "
             "onnx-int4.",
    )] = "pytorch",
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
    from amtss.inference.onnx_predictor import OnnxPredictor
    from amtss.inference.pytorch_predictor import PytorchPredictor
    from amtss.table import one_line

    refused: list[AmtssError] = []

    def report(error: AmtssError) -> None:
        refused.append(error)
        print(f"amtss: {one_line(str(error))}", file=sys.stderr)

    refuse = report if keep_going else jsonl.stop
    load, folder = ((OnnxPredictor, "artifacts/export/onnx") if runtime == "onnx" else
                    (PytorchPredictor, "artifacts/student"))
    if data or out:
        _score(_request(data, out, texts, lang, pair, text_column, prefix, min_accuracy), load,
               model or Path(folder), refuse)
    else:
        questions = ([jsonl.Question(text, lang, pair or None, f"text {number}")
                      for number, text in enumerate(texts, start=1)]
                     if texts else jsonl.questions(sys.stdin.buffer, lang, pair or None, refuse))
        for line in jsonl.answer(load, model or Path(folder), questions, refuse, min_accuracy):
            print(jsonl.encodable(line, sys.stdout.encoding))
    if refused:
        raise typer.Exit(1)


def _request(data: Path | None, out: Path | None, texts: list[str] | None, lang: str, pair: str,
             column: str, prefix: str, min_accuracy: float | None) -> "Request":
    from amtss.inference.batch import Request

    if data is None or out is None or texts:
        alone = "--data" if out is None else "--out"
        found = "texts as arguments too" if texts else f"{alone} alone"
        raise AmtssError(f"predict: expected --data with --out and no other texts, found {found}; "
                         "give both files alone")
    return Request(data, out, lang, pair or None, column, prefix, min_accuracy)


def _score(request: "Request", load: "Callable[[Path], Predictor]", model: Path,
           refuse: "Refuse") -> None:
    from amtss.inference import batch

    scored = batch.score(request, load(model), model, refuse)
    said = [f"{scored.rows:,} rows"]
    if scored.before:
        said.append(f"{scored.before:,} of them by an interrupted run")
    if scored.refused:
        said.append(f"{scored.refused:,} without an answer")
    print(f"{request.out}: {', '.join(said)}")

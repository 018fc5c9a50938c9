"""The command `predict`: what a student says of texts."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from amtss.errors import AmtssError

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
        "--keep-going", help="Report a line that cannot be answered, and answer the others.")
    ] = False,
) -> None:
    """Predict labels and probabilities, printed as one JSON object per line.

    On stdin, a line is a plain text, or a JSON object with `text` and perhaps `lang` and `pair`.
    The first line that cannot be answered ends the command, unless --keep-going is given; the exit
    status is then 1 in the end.
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
    questions = ([jsonl.Question(text, lang, pair or None, f"text {number}")
                  for number, text in enumerate(texts, start=1)]
                 if texts else jsonl.questions(sys.stdin.buffer, lang, pair or None, refuse))
    load, folder = ((OnnxPredictor, "artifacts/export/onnx") if runtime == "onnx" else
                    (PytorchPredictor, "artifacts/student"))
    for line in jsonl.answer(load, model or Path(folder), questions, refuse, min_accuracy):
        print(jsonl.encodable(line, sys.stdout.encoding))
    if refused:
        raise typer.Exit(1)

"""The command line: one short command per stage. Loads, calls, writes; no arithmetic."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from amtss import processes
from amtss.cli import lifecycle
from amtss.cli.project import load_project
from amtss.errors import AmtssError

if TYPE_CHECKING:
    from amtss.registry.tracking import Run

app = typer.Typer(help="Many teachers, one student, every language.", no_args_is_help=True,
                  add_completion=False, pretty_exceptions_enable=False)
app.add_typer(lifecycle.app)
LanguageArgument = Annotated[str, typer.Argument(metavar="LANG", help="A language of params.yaml.")]
TeacherArgument = Annotated[str, typer.Argument(metavar="NAME", help="A teacher of params.yaml.")]


def _known(kind: str, name: str, names: Any) -> str:
    if name not in names:
        raise AmtssError(f"{kind}: expected one of {', '.join(names)}, found {name!r}; name one of "
                         f"them or add it to params.yaml")
    return name


@app.command()
def sources() -> None:
    """Look which languages' sources have changed since they were last read."""
    from amtss.data import sources
    from amtss.files import write_json

    params, layout = load_project()
    write_json(layout.sources, {code: sources.fingerprint(params.data, code)
                                for code in params.languages})


@app.command()
def data(language: LanguageArgument) -> None:
    """Read one language of the source into artifacts/data."""
    from amtss.data import corpus, sampling, sources

    params, layout = load_project()
    _known("language", language, params.languages)
    source = sources.read(params.data, language)
    tables = sampling.sample(source.tables, params.data.sample, language, params.data.seed)
    corpus.write(layout, language, tables, source.labels)


@app.command()
def validate(language: LanguageArgument) -> None:
    """Check one language's data with Great Expectations; errors stop the pipeline."""
    from amtss.validation import expectations

    params, layout = load_project()
    expectations.validate(params, layout, _known("language", language, params.languages))


@app.command()
def gate() -> None:
    """Check the languages against each other and settle the label list."""
    from amtss.validation import gate

    gate.gate(*load_project())


@app.command()
def teach(name: TeacherArgument) -> None:
    """Fine-tune one teacher."""
    params, layout = load_project()
    _known("teacher", name, params.teachers)
    if processes.launch():
        return
    from amtss.registry import tracking
    from amtss.teachers import teach

    with tracking.run(params, layout, "teach", name) as run:
        def tell(epoch: int, figures: dict[str, float]) -> None:
            print(f"{name} epoch {epoch}: accuracy {figures['accuracy']:.2f}, "
                  f"loss {figures['loss']:.4f}", flush=True)
            run.epoch({"epoch": epoch, **figures})

        teach.teach(params, layout, name, tell)


@app.command()
def score(name: TeacherArgument) -> None:
    """Run one teacher over the languages it scores; writes its logits cache."""
    params, layout = load_project()
    _known("teacher", name, params.teachers)
    from amtss.logits import score

    score.score(params, layout, name)


@app.command()
def fetch() -> None:
    """Fetch the registered student that an onboarding starts from, if there is an onboarding."""
    from amtss.registry import fetch

    fetch.fetch(*load_project())


@app.command()
def start() -> None:
    """Write the student's tokenizer, and weights of another encoder if it starts with any."""
    params, layout = load_project()
    from amtss.student import start

    start.start(params, layout)


@app.command()
def distil() -> None:
    """Algorithm 1: distil the teachers into the student; goes on where it was interrupted."""
    params, layout = load_project()
    if processes.launch():
        return
    from amtss.distillation import algorithm1
    from amtss.registry import tracking

    with tracking.run(params, layout, "distil") as run:
        algorithm1.distil(params, layout, partial(_tell, run))
        run.history(layout.history("distil"))


@app.command()
def baseline() -> None:
    """Train X-LM-Tiny, the paper's baseline, on as many examples as the student saw."""
    params, layout = load_project()
    if processes.launch():
        return
    from amtss.distillation import baseline
    from amtss.registry import tracking

    with tracking.run(params, layout, "baseline") as run:
        baseline.baseline(params, layout, partial(_tell, run))
        run.history(layout.history("baseline"))


def _tell(run: "Run", row: dict[str, Any]) -> None:
    """One line per epoch, and its figures to MLflow."""
    by_language = " ".join(f"{key} {value:.1f}" for key, value in row["accuracy"].items())
    chosen = f" | learnt {' '.join(row['selected'])}" if "selected" in row else ""
    print(f"epoch {row['epoch']}: loss {row['loss']:.4f}, validation {row['average']:.2f} "
          f"({by_language}){chosen}", flush=True)
    run.epoch(row)


@app.command()
def evaluate() -> None:
    """Read test once: student, baseline and teachers; writes artifacts/metrics.json."""
    params, layout = load_project()
    from amtss.evaluation import evaluate
    from amtss.files import read_json
    from amtss.registry import tracking

    with tracking.run(params, layout, "evaluate") as run:
        evaluate.evaluate(params, layout)
        run.evaluated(read_json(layout.metrics, "dvc repro evaluate"))


@app.command()
def report() -> None:
    """Write the report: the paper's tables and figures for this run."""
    params, layout = load_project()
    from amtss.registry import tracking
    from amtss.report import report

    with tracking.run(params, layout, "report") as run:
        report.report(params, layout)
        run.artifacts(layout.report)


@app.command()
def results() -> None:
    """Print the results table and where the report lies."""
    from rich.console import Console

    from amtss.files import read_json
    from amtss.report import tables
    from amtss.table import rich_table

    params, layout = load_project()
    metrics = read_json(layout.metrics, "dvc repro")
    console = Console()
    console.print(rich_table(tables.results(metrics, params.languages)))
    console.print(f"Report: {(layout.report / 'report.html').resolve()}", soft_wrap=True)


@app.command()
def preset(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A file of params/.")] = "",
    force: Annotated[bool, typer.Option(help="Also over a params.yaml of your own.")] = False,
) -> None:
    """Make a preset of params/ the active params.yaml; without a name, list them."""
    from amtss.config.params import activate_preset, preset_names
    from amtss.paths import Layout

    if name:
        activate_preset(Layout(Path()), name, force=force)
    else:
        print("\n".join(preset_names(Layout(Path()))))


@app.command()
def ablate(
    only: Annotated[list[str] | None, typer.Option(help="Variants; all by default.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seeds of the student; 0.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Experiments run at once.")] = 1,
    output: Annotated[Path | None, typer.Option(help="Also write the table as Markdown.")] = None,
) -> None:
    """Run the ablations as DVC experiments and print them as one table."""
    from rich.console import Console

    from amtss import ablation
    from amtss.files import write_text
    from amtss.table import markdown, rich_table

    params, _ = load_project()
    table = ablation.ablate(params, only or list(ablation.VARIANTS), seed or [0], jobs)
    Console(width=None if sys.stdout.isatty() else 160).print(rich_table(table))
    if output is not None:
        write_text(output, markdown(table))


@app.command()
def predict(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; none reads stdin.")] = None,
    lang: Annotated[str, typer.Option(help="Language of the texts.")] = "",
    pair: Annotated[str, typer.Option(help="Second sentence, for models of pairs.")] = "",
    model: Annotated[Path | None, typer.Option(
        help="The student's folder, artifacts/student by default; or its export's, "
             "artifacts/export/onnx.")] = None,
    runtime: Annotated[Literal["pytorch", "onnx"], typer.Option(
        help="What runs it; onnx runs any file of `amtss export`: onnx, onnx-int8 or onnx-int4.",
    )] = "pytorch",
) -> None:
    """Labels and probabilities as JSONL. Stdin: plain lines, or JSONL with text, lang, pair."""
    from amtss.inference import jsonl
    from amtss.inference.onnx_predictor import OnnxPredictor
    from amtss.inference.pytorch_predictor import PytorchPredictor

    questions = ([jsonl.Question(text, lang, pair or None) for text in texts]
                 if texts else jsonl.questions(sys.stdin.buffer, lang, pair or None))
    if runtime == "onnx":
        folder = model or Path("artifacts/export/onnx")
        lines = jsonl.answer(OnnxPredictor, folder, questions)
    else:
        lines = jsonl.answer(PytorchPredictor, model or Path("artifacts/student"), questions)
    for line in lines:
        print(line)

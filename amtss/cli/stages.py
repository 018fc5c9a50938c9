"""The commands: one for each stage of dvc.yaml, then ablations."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amtss import processes
from amtss.cli import annotation, lifecycle, monitoring, overview, predict
from amtss.cli.project import load_project
from amtss.errors import AmtssError
from amtss.terminal import say

if TYPE_CHECKING:
    from amtss.registry.tracking import Run

app = typer.Typer(help="Distil many teachers of many languages into one small student. `dvc repro` "
                       "runs the commands from `settings` to `report` in order, as far as needed.",
                  no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(overview.app)
app.add_typer(lifecycle.app)
app.add_typer(predict.app)
app.add_typer(annotation.app)
app.add_typer(monitoring.app)
LanguageArgument = Annotated[str, typer.Argument(
    metavar="LANG", help="Code of a language in params.yaml.")]
TeacherArgument = Annotated[str, typer.Argument(
    metavar="NAME", help="Name of a teacher in params.yaml.")]


def _known(kind: str, name: str, names: Any) -> str:
    if name not in names:
        raise AmtssError(f"{kind}: expected one of {', '.join(names)}, found {name!r}; name one of "
                         f"them or add it to params.yaml")
    return name


@app.command()
def settings() -> None:
    """Check params.yaml, and write it with all defaults, so that DVC sees which keys have changed.
    """
    from amtss.files import write_json

    params, layout = load_project("settings")
    write_json(layout.settings, params.model_dump(mode="json"))


@app.command()
def sources() -> None:
    """Fingerprint each language's source, so that DVC sees what has changed."""
    from amtss.data import sources
    from amtss.files import write_json

    params, layout = load_project("sources")
    write_json(layout.sources, {code: sources.fingerprint(params.data, code, layout)
                                for code in params.languages})


@app.command()
def data(language: LanguageArgument) -> None:
    """Read one language from the data source into artifacts/data."""
    from amtss.data import corpus, preparation, sources

    params, layout = load_project(f"data@{language}")
    source = sources.read(params.data, _known("language", language, params.languages))
    prepared = preparation.prepare(source, params.data, language, layout.corrections(language))
    for line in prepared.remarks:
        processes.warn(line)
    corpus.write(layout, language, prepared.tables, source.labels, prepared.cut)


@app.command()
def validate(language: LanguageArgument) -> None:
    """Validate one language's data with Great Expectations; errors stop the pipeline."""
    from amtss.validation import expectations

    params, layout = load_project(f"validate@{language}")
    expectations.validate(params, layout, _known("language", language, params.languages))


@app.command()
def gate() -> None:
    """Compare the languages' data, and write the list of labels that all of them share."""
    from amtss.validation import gate

    gate.gate(*load_project("gate"))


@app.command()
def floor() -> None:
    """Teach a linear model per language, the floor that every student is held against."""
    from amtss.evaluation import floor

    floor.teach(*load_project("floor"))


@app.command()
def teach(name: TeacherArgument) -> None:
    """Make one teacher: fine-tune it, or fit it, by its kind."""
    params, layout = load_project(f"teach@{name}")
    _known("teacher", name, params.teachers)
    if params.most_epochs(name) and processes.launch():  # others need one process alone
        return
    from amtss.registry import tracking
    from amtss.teachers import teach

    with tracking.run(params, layout, "teach", name) as run:
        def report(epoch: int, figures: dict[str, float]) -> None:
            say(f"{name} epoch {epoch}: accuracy {figures['accuracy']:.2f}, "
                f"loss {figures['loss']:.4f}")
            run.epoch({"epoch": epoch, **figures})

        teach.teach(params, layout, name, report)


@app.command()
def score(name: TeacherArgument) -> None:
    """Run one teacher over the texts of its languages and cache its logits."""
    params, layout = load_project(f"score@{name}")
    _known("teacher", name, params.teachers)
    from amtss.logits import score

    score.score(params, layout, name)


@app.command()
def fetch() -> None:
    """Fetch the registered student that an onboarding starts from, if there is an onboarding."""
    from amtss.registry import fetch

    fetch.fetch(*load_project("fetch"))


@app.command()
def start() -> None:
    """Write the student's tokenizer, and weights of another encoder if it starts with any."""
    params, layout = load_project("start")
    from amtss.student import start

    start.start(params, layout)


@app.command()
def distil() -> None:
    """Distil the teachers into the student (Algorithm 1); resumes an interrupted training."""
    params, layout = load_project("distil")
    if processes.launch():
        return
    from amtss.distillation import algorithm1
    from amtss.registry import tracking

    with tracking.run(params, layout, "distil") as run:
        algorithm1.distil(params, layout, partial(_report_epoch, run))
        run.history(layout, "distil")


@app.command()
def baseline() -> None:
    """Train X-LM-Tiny, the paper's baseline, on as many examples as the student."""
    params, layout = load_project("baseline")
    if processes.launch():
        return
    from amtss.distillation import baseline
    from amtss.registry import tracking

    with tracking.run(params, layout, "baseline") as run:
        baseline.baseline(params, layout, partial(_report_epoch, run))
        run.history(layout, "baseline")


def _report_epoch(run: "Run", row: dict[str, Any]) -> None:
    """Print one line about an epoch and log its figures to MLflow."""
    by_language = " ".join(f"{key} {value:.1f}" for key, value in row["accuracy"].items())
    selected = f" | learnt {' '.join(row['selected'])}" if "selected" in row else ""
    say(f"epoch {row['epoch']}: loss {row['loss']:.4f}, validation {row['average']:.2f} "
        f"({by_language}){selected}")
    run.epoch(row)


@app.command()
def evaluate() -> None:
    """Evaluate student, baseline and teachers on the test rows."""
    params, layout = load_project("evaluate")
    from amtss import records
    from amtss.evaluation import evaluate
    from amtss.registry import tracking

    with tracking.run(params, layout, "evaluate") as run:
        evaluate.evaluate(params, layout)
        run.evaluated(records.metrics(layout))


@app.command()
def report() -> None:
    """Write the report: the paper's tables and figures for this run."""
    params, layout = load_project("report")
    from amtss.registry import tracking
    from amtss.report import report

    with tracking.run(params, layout, "report") as run:
        report.report(params, layout)
        run.artifacts(layout.report)


@app.command()
def ablate(
    only: Annotated[list[str] | None, typer.Option(
        help="Variant to run; repeat it for more. By default all that the teachers in params.yaml "
             "allow.")] = None,
    seed: Annotated[list[int] | None, typer.Option(
        help="Seed of the student; repeat it for more. 0 by default.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Experiments to run at once.")] = 1,
    output: Annotated[Path | None, typer.Option(help="File for the table in Markdown.")] = None,
) -> None:
    """Run ablations as DVC experiments and print their results as one table."""
    from amtss import ablation
    from amtss.files import write_text
    from amtss.table import markdown, show

    params, _ = load_project()
    table = ablation.ablate(params, only or list(ablation.variants(params)), seed or [0], jobs)
    show(table)
    if output is not None:
        write_text(output, markdown(table))

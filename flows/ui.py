"""What Prefect's page shows of a run: progress, findings, accuracies and the outcome."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from amtss import records
from amtss.paths import Layout
from amtss.registry import versions
from amtss.registry.store import without_password
from amtss.report import accuracy, without_labels
from amtss.table import escaped, one_line
from flows.project import store
from flows.workspace import Workspace

PAGE = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves by default."""


class Progress:
    """A progress bar of a training, advanced by the lines that it prints."""

    def __init__(self, target: str, epochs: int) -> None:
        """Args: epochs: the most that the training may take."""
        self._epochs = epochs
        self._artifact = create_progress_artifact(0.0, key=key(target), description=target)

    def read(self, line: str) -> None:
        """Advance the bar if `line` reports the end of an epoch."""
        if match := re.search(r"\bepoch (\d+):", line):
            done = 100 * min(int(match[1]) / self._epochs, 1.0)
            update_progress_artifact(self._artifact, done, line)

    def end(self) -> None:
        """Fill the bar; early stopping may end a training before its last epoch."""
        update_progress_artifact(self._artifact, 100.0)


def key(target: str) -> str:
    """A target's name as an artifact key: lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", target.lower()).strip("-")


def findings(work: Workspace) -> None:
    """Show validation's findings for each language, also when they stop the run."""
    folder = work.layout.artifacts
    paths = sorted([*folder.glob("validation/*/validation.md"), *folder.glob("gate/summary.md")])
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in paths)
    create_markdown_artifact(text or "Validation has written no findings.", key="validation",
                             description="Validation findings")


def accuracies(work: Workspace) -> None:
    """Show test accuracy by language: student, X-LM-Tiny, best teacher and present champion."""
    params, project = work.params, Layout(work.project)  # MLflow's store is the project's
    number = versions.aliases(params, project).get(versions.CHAMPION)
    champion = versions.find(params, project, number).accuracy if number else {}
    metrics = records.metrics(work.layout)
    create_table_artifact(rows(params.languages, metrics, champion), key="accuracy",
                          description=" ".join((
                              "Accuracy on test, %, against teachers and champion.",
                              *without_labels.notes(metrics))))


def rows(languages: Sequence[str], metrics: Mapping[str, Any],
         champion: Mapping[str, float]) -> list[dict[str, str]]:
    """Rows of the table of accuracies in percent, one per language whose test has labels, and their
    average.

    Args:
        metrics: what metrics.json holds.
        champion: language -> accuracy; languages that the champion does not know are missing.
    """
    def best(code: str) -> float:
        return float(metrics["teachers"][metrics["best_teacher"][code]]["accuracy"][code])

    rival = accuracy.rival(metrics)
    table = [{"language": code, "student": metrics["student"]["accuracy"][code],
              rival: metrics["baseline"]["accuracy"].get(code),
              "linear floor": metrics["floor"]["accuracy"].get(code),
              "best teacher": best(code), "its name": metrics["best_teacher"][code],
              "champion": champion.get(code)}
             for code in languages if code in metrics["student"]["accuracy"]]
    mean = {name: _mean(row[name] for row in table)
            for name in ("student", rival, "linear floor", "best teacher", "champion")}
    return [{name: f"{value:.2f}" if isinstance(value, float) else value or ""
             for name, value in row.items()}
            for row in [*table, {"language": "average", **mean, "its name": None}]]


def _mean(values: Iterable[float | None]) -> float | None:
    """None where a value is missing: means over different languages cannot be compared."""
    cells = list(values)
    return None if None in cells else sum(filter(None, cells)) / len(cells)


def outcome(work: Workspace, branch: str, lines: Sequence[str]) -> None:
    """Show where the run's model, report and commit are, and how to get them.

    Args:
        lines: output of `amtss register` and `amtss promote`.
    """
    report = (work.layout.report / "report.html").resolve()
    run = mlflow_page(work)
    create_link_artifact(report.as_uri(), "Report", key="report", description="The report")
    create_link_artifact(run, "MLflow", key="mlflow", description="The evaluation's run in MLflow")
    create_markdown_artifact(OUTCOME.format(
        lines="\n".join(f"    {one_line(line)}" for line in lines), report=escaped(str(report)),
        link=report.as_uri(), run=run, store=without_password(store(work.project)),
        branch=branch), key="outcome", description="The outcome")


def drift(work: Workspace) -> None:
    """Show the result of a drift check, if it came to one, and a link to its page."""
    if (work.layout.drift / "drift.md").is_file():
        create_markdown_artifact((work.layout.drift / "drift.md").read_text(encoding="utf-8"),
                                 key="drift", description="What has changed")
        create_link_artifact((work.layout.drift / "drift.html").resolve().as_uri(), "Page",
                             key="drift-page", description="The page with pictures")


OUTCOME = """{lines}

- Report: [{report}]({link})
- MLflow: [{run}]({run}), the run of the evaluation; the store is `{store}`

This run's `params.yaml` and `dvc.lock` are the branch `{branch}`. In the project's folder:

    git merge {branch}
    dvc checkout
"""


def mlflow_page(work: Workspace) -> str:
    """Address of the MLflow run that evaluated the student, or of the experiment if there is none.

    If the store is a file, the address is the one that `mlflow ui` serves.
    """
    params, uri = work.params, without_password(store(work.project))
    page = uri.rstrip("/") if uri.startswith("http") else PAGE
    metrics = records.metrics(work.layout)
    student = metrics["measured"]["student"]
    with versions.answering(params, Layout(work.project)) as client:
        experiment = client.get_experiment_by_name(versions.name(params))
        if experiment is None:
            return page
        runs = client.search_runs([experiment.experiment_id], f"tags.student = '{student}'",
                                  max_results=1)
    return "/".join([page, "#/experiments", experiment.experiment_id,
                     *(f"runs/{run.info.run_id}" for run in runs)])

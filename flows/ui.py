"""What a person sees of a run in Prefect's page: progress, findings, accuracies, what came out."""

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

from amtss.files import read_json
from amtss.paths import Layout
from amtss.registry import versions
from amtss.report import accuracy
from flows.workspace import Workspace, store

PAGE = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves by default."""


class Progress:
    """A training task's epochs, as its lines tell them."""

    def __init__(self, target: str, epochs: int) -> None:
        """Args: epochs: how many it may take."""
        self._epochs = epochs
        self._made = create_progress_artifact(0.0, key=key(target), description=target)

    def read(self, line: str) -> None:
        """Advance where `line` ends an epoch."""
        if found := re.search(r"\bepoch (\d+):", line):
            done = 100 * min(int(found[1]) / self._epochs, 1.0)
            update_progress_artifact(self._made, done, line)

    def end(self) -> None:
        """All done, at whichever epoch."""
        update_progress_artifact(self._made, 100.0)


def key(target: str) -> str:
    """A target's name as Prefect takes it: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", target.lower()).strip("-")


def findings(work: Workspace) -> None:
    """What validation has found, language by language, also where that stops the run."""
    folder = work.layout.artifacts
    paths = sorted([*folder.glob("validation/*/validation.md"), *folder.glob("gate/summary.md")])
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in paths)
    create_markdown_artifact(text or "No findings were written.", key="validation",
                             description="Validation findings")


def accuracies(work: Workspace) -> None:
    """Test accuracy by language: the student, what it learnt from, and the present champion."""
    params, home = work.params, Layout(work.project)  # where MLflow is
    number = versions.aliases(params, home).get(versions.CHAMPION)
    champion = versions.find(params, home, number).accuracy if number else {}
    metrics = read_json(work.layout.metrics, "dvc repro evaluate")
    create_table_artifact(rows(params.languages, metrics, champion), key="accuracy",
                          description="Accuracy on test, %, against teachers and champion")


def rows(languages: Sequence[str], metrics: Mapping[str, Any],
         champion: Mapping[str, float]) -> list[dict[str, str]]:
    """The table's, and their average; a language that is new to the champion has none of it."""
    def best(code: str) -> float:
        return float(metrics["teachers"][metrics["best_teacher"][code]]["accuracy"][code])

    rival = accuracy.rival(metrics)
    made = [{"language": code, "student": metrics["student"]["accuracy"][code],
             rival: metrics["baseline"]["accuracy"].get(code),
             "best teacher": best(code), "its name": metrics["best_teacher"][code],
             "champion": champion.get(code)} for code in languages]
    mean = {name: _mean(row[name] for row in made)
            for name in ("student", rival, "best teacher", "champion")}
    return [{name: f"{value:.2f}" if isinstance(value, float) else value or ""
             for name, value in row.items()}
            for row in [*made, {"language": "average", **mean, "its name": None}]]


def _mean(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(filter(None, known)) / len(known)


def outcome(work: Workspace, branch: str, told: Sequence[str]) -> None:
    """Where the run's model, report and commit are, and how to have them."""
    report = (work.layout.report / "report.html").resolve()
    run = mlflow_page(work)
    create_link_artifact(report.as_uri(), "Report", key="report", description="The report")
    create_link_artifact(run, "MLflow", key="mlflow", description="The evaluation's run in MLflow")
    create_markdown_artifact(OUTCOME.format(
        told="\n".join(told), report=report, run=run, store=_public(store(work.project)),
        branch=branch), key="outcome", description="What came out")


OUTCOME = """```
{told}
```

- Report: [{report}](file://{report})
- MLflow: [{run}]({run}), the evaluation's run; its store is `{store}`

This run's `params.yaml` and `dvc.lock` are the branch `{branch}`. In the project's folder:

    git merge {branch}
    dvc checkout
"""


def mlflow_page(work: Workspace) -> str:
    """Of the run that evaluated the student, or else of the experiment. A store that is no server
    is shown by `mlflow ui`."""
    params, uri = work.params, _public(store(work.project))
    page = uri.rstrip("/") if uri.startswith("http") else PAGE
    student = read_json(work.layout.metrics, "dvc repro evaluate")["measured"]["student"]
    with versions.answering(params, Layout(work.project)) as client:
        experiment = client.get_experiment_by_name(versions.name(params))
        if experiment is None:
            return page
        runs = client.search_runs([experiment.experiment_id], f"tags.student = '{student}'",
                                  max_results=1)
    return "/".join([page, "#/experiments", experiment.experiment_id,
                     *(f"runs/{each.info.run_id}" for each in runs)])


def _public(uri: str) -> str:
    """Without a password."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", uri)

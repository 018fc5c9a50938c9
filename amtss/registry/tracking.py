"""Log the run of a stage to MLflow. A failure to log never stops a stage."""

import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from amtss import git, processes, records
from amtss.config.schema import Params, TransformerTeacher
from amtss.errors import AmtssError
from amtss.paths import Layout
from amtss.registry import store

if TYPE_CHECKING:
    from mlflow import MlflowClient

SECTIONS = {"distil": ("languages", "student", "distil", "onboarding", "continuation"),
            "baseline": ("languages", "student", "distil", "baseline"),
            "evaluate": ("languages", "evaluation"), "report": ("report",), "drift": ("drift",)}
"""Stage -> sections of params.yaml that its run logs; `teach` logs its teacher's settings."""


def lock(layout: Layout) -> str:
    """SHA-256 of dvc.lock; empty if there is none."""
    path = layout.root / "dvc.lock"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def process(layout: Layout) -> dict[str, str]:
    """Tags of a run that say which process it is of."""
    return {"host": socket.gethostname(), "folder": str(layout.root.resolve()),
            "process": _process(os.getpid())}


def _process(number: int) -> str:
    """A process's number and its start, since numbers are used again; "none" if there is none."""
    try:
        return f"{number} of {psutil.Process(number).create_time():.2f}"
    except psutil.Error:
        return "none"


def end_killed(client: "MlflowClient", experiment: str, layout: Layout) -> None:
    """End the runs of this checkout whose processes were killed; nothing else ever ends them."""
    own = process(layout)
    running = client.search_runs([experiment], "attributes.status = 'RUNNING'")
    for run in running:
        tags = run.data.tags
        if all(tags.get(key) == own[key] for key in ("host", "folder")) and (
                _process(int(tags["process"].split()[0])) != tags["process"]):
            client.set_terminated(run.info.run_id, "KILLED")


@contextmanager
def run(params: Params, layout: Layout, stage: str, teacher: str = "") -> Iterator["Run"]:
    """Log the stage that the body runs. An error of the body ends the run and is raised again."""
    name = f"{stage}@{teacher}" if teacher else stage
    logged = Run(name, store.without_password(store.uri(layout)))
    if processes.first():  # other processes log nothing
        logged.start(params, layout, _settings(params, stage, teacher))
    try:
        yield logged
        if stage not in ("report", "drift"):
            logged.inputs(layout, params.taught_on(teacher) if teacher else params.languages,
                          "test" if stage == "evaluate" else "train")
    except BaseException as error:
        logged.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    logged.end("FINISHED")


class Run:
    """A stage's run. After its first failure, which is a warning on stderr, it logs nothing more.
    """

    def __init__(self, name: str, where: str) -> None:
        self._name, self._where = name, where
        self._client: MlflowClient | None = None
        self._id = ""
        self._epochs: set[int] = set()

    def start(self, params: Params, layout: Layout, settings: Mapping[str, Any]) -> None:
        """Create the run in MLflow, with its tags and settings."""
        with self._lenient():
            tags = {"stage": self._name, "mlflow.source.git.commit": git.head(layout.root),
                    "dvc.lock": lock(layout), **process(layout)}
            client = store.connect(params, layout, patience=5)
            from mlflow.entities import Param

            experiment = store.experiment(client, params, store.uri(layout))
            end_killed(client, experiment, layout)
            self._id = client.create_run(experiment, tags=tags, run_name=self._name).info.run_id
            self._client = client
            client.log_batch(self._id, params=[Param(key, str(value))
                                               for key, value in _flat(settings)])

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Log the figures of the epoch `row["epoch"]`."""
        self._epochs.add(row["epoch"])
        self._metrics(row, row["epoch"])

    def history(self, layout: Layout, stage: str) -> None:
        """Log the epochs of a training that were trained before a kill, so not in this run."""
        for row in records.history(layout, stage):
            if row["epoch"] not in self._epochs:
                self.epoch(row)

    def evaluated(self, metrics: Mapping[str, Any]) -> None:
        """Log the figures of the student, X-LM-Tiny and the floor in `metrics.json`."""
        self._metrics({model: {key: metrics[model][key] for key in ("accuracy", "macro_f1", "ece")}
                       for model in ("student", "baseline", "floor")})
        self._metrics({"agreement": {code: found["agreement"] for code, found
                                     in metrics.get("without_labels", {}).items() if found}})
        fingerprint = metrics["measured"]["student"]
        self._log(lambda client: client.set_tag(self._id, "student", fingerprint))

    def figures(self, figures: Mapping[str, Any]) -> None:
        """Log nested figures, by dotted keys."""
        self._metrics(figures)

    def artifacts(self, folder: Path) -> None:
        """Log a folder, under its name."""
        self._log(lambda client: client.log_artifacts(self._id, str(folder), folder.name))

    def inputs(self, layout: Layout, languages: Sequence[str], context: str) -> None:
        """Log languages' corpora as data sets, by their fingerprints."""
        if self._client is None:  # a process that logs nothing need not import MLflow
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = []
        for language in languages:
            folder = layout.corpus(language)
            about = records.corpus(layout, language)
            inputs.append(DatasetInput(
                Dataset(language, about["fingerprint"], "local", json.dumps({"uri": str(folder)}),
                        profile=json.dumps(about["rows"])),
                [InputTag("mlflow.data.context", context)]))
        self._log(lambda client: client.log_inputs(self._id, inputs))

    def end(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self._log(lambda client: client.set_terminated(self._id, status))

    def _metrics(self, figures: Mapping[str, Any], step: int = 0) -> None:
        if self._client is None:
            return
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(key, float(value), now, step) for key, value in _flat(figures)
                   if isinstance(value, int | float) and not isinstance(value, bool)]
        self._log(lambda client: client.log_batch(self._id, metrics=metrics))

    def _log(self, call: Callable[["MlflowClient"], object]) -> None:
        if self._client is not None:
            with self._lenient():
                call(self._client)

    @contextmanager
    def _lenient(self) -> Iterator[None]:
        outer = sys.exception()
        expected: tuple[type[Exception], ...] = (AmtssError, *store.failures())
        try:
            yield
        except expected as error:
            self._client = None
            processes.warn(f"{self._name} continues without MLflow at {self._where}, found: "
                           f"{store.cause(error, outer)}")


def _settings(params: Params, stage: str, teacher: str) -> dict[str, Any]:
    """The settings that matter to a stage; for a teacher, its training settings in effect."""
    if not teacher:
        return params.model_dump(mode="json", include=set(SECTIONS[stage]))
    own = params.teachers[teacher]
    settings = own.model_dump(mode="json")
    if isinstance(own, TransformerTeacher):
        settings |= {"labels": str(own.labels),  # MLflow does not take every label for a key
                     "training": params.training_of(teacher).model_dump()}
    return {"teachers": {teacher: settings}}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, with dotted keys."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

"""Runs in MLflow: what every stage that trains or evaluates tells. Nothing here stops a stage."""

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from amtss import git, processes
from amtss.config.schema import Params
from amtss.errors import AmtssError, RegistryError
from amtss.files import alone, read_json, read_rows, replacing
from amtss.paths import Layout

if TYPE_CHECKING:
    from mlflow import MlflowClient

SECTIONS = {"distil": ("languages", "student", "distil", "onboarding", "continuation"),
            "baseline": ("languages", "student", "distil", "baseline"),
            "evaluate": ("languages", "evaluation"), "report": ("report",)}
"""Stage -> what its run tells of params.yaml; `teach` tells the teacher's own."""


def uri(layout: Layout) -> str:
    """MLFLOW_TRACKING_URI, or else a database in the project's folder."""
    return (os.environ.get("MLFLOW_TRACKING_URI")
            or f"sqlite:///{layout.root.resolve() / 'mlflow.db'}")


def connect(params: Params, layout: Layout, patience: int = 30) -> "MlflowClient":
    """A client of the project's store, whose experiment is there; MLflow's own functions, such
    as `mlflow.pyfunc`'s, use the same store and experiment.

    Args:
        patience: seconds that a server may take to answer, twice; MLFLOW_HTTP_REQUEST_* win.

    Raises:
        RegistryError: the store cannot be reached, or is of another version of MLflow.
        AmtssError: a fresh store cannot be written.
    """
    for name, value in (("TIMEOUT", patience), ("MAX_RETRIES", 1), ("BACKOFF_FACTOR", 1)):
        os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", str(value))
    import mlflow

    store = uri(layout)
    try:
        _create(store)
        mlflow.set_tracking_uri(store)
        mlflow.set_registry_uri(store)
        client = mlflow.MlflowClient()
        mlflow.set_experiment(experiment_id=_experiment(client, params, store))
    except failures() as error:
        raise RegistryError(
            f"MLFLOW_TRACKING_URI: expected MLflow to answer at {_public(store)}, found: "
            f"{told(error)}; start it or mend the variable, then run the same command again"
        ) from error
    return client


def failures() -> tuple[type[Exception], ...]:
    """What MLflow raises where a store is down, slow, full, or not what its URI says."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError, ImportError


def told(error: BaseException, outer: BaseException | None = None) -> str:
    """The first cause of an error, in a few words and without passwords.

    Args:
        outer: what was being handled when it was raised; not among its causes.
    """
    while error.__context__ not in (None, outer):
        error = error.__context__
    return _public(shorten(str(error) or type(error).__name__, 200))


def lock(layout: Layout) -> str:
    """SHA-256 of dvc.lock; empty where there is none."""
    path = layout.root / "dvc.lock"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


@contextmanager
def run(params: Params, layout: Layout, stage: str, teacher: str = "") -> Iterator["Run"]:
    """Log the stage that the body runs. What ends the body early is the run's end, and goes on."""
    made = Run(f"{stage}@{teacher}" if teacher else stage, _public(uri(layout)))
    if processes.first():  # else it logs nothing
        made.start(params, layout, _settings(params, stage, teacher))
    try:
        yield made
        if stage != "report":
            made.inputs(layout, params.taught_on(teacher) if teacher else params.languages,
                        "test" if stage == "evaluate" else "train")
    except BaseException as error:
        made.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    made.end("FINISHED")


class Run:
    """A stage's run. Its first failure to log is told on stderr, and then it logs nothing more."""

    def __init__(self, name: str, store: str) -> None:
        self._name, self._store = name, store
        self._client: MlflowClient | None = None
        self._id = ""
        self._epochs: set[int] = set()

    def start(self, params: Params, layout: Layout, settings: Mapping[str, Any]) -> None:
        """Make the run in MLflow, with its tags and its settings."""
        with self._lenient():
            tags = {"stage": self._name, "mlflow.source.git.commit": git.head(layout.root),
                    "dvc.lock": lock(layout)}
            client = connect(params, layout, patience=5)
            from mlflow.entities import Param

            self._id = client.create_run(_experiment(client, params, uri(layout)), tags=tags,
                                         run_name=self._name).info.run_id
            self._client = client
            client.log_batch(self._id, params=[Param(key, str(value))
                                               for key, value in _flat(settings)])

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Log the figures of an epoch, which is `row["epoch"]`."""
        self._epochs.add(row["epoch"])
        self._metrics(row, row["epoch"])

    def history(self, path: Path) -> None:
        """Log what a `history.jsonl` has besides: epochs from before the training was killed."""
        for row in read_rows(path, "dvc repro"):
            if row["epoch"] not in self._epochs:
                self.epoch(row)

    def evaluated(self, metrics: Mapping[str, Any]) -> None:
        """Log what `metrics.json` says of the student and of X-LM-Tiny."""
        self._metrics({model: {key: metrics[model][key] for key in ("accuracy", "macro_f1", "ece")}
                       for model in ("student", "baseline")})
        fingerprint = metrics["measured"]["student"]
        self._log(lambda client: client.set_tag(self._id, "student", fingerprint))

    def artifacts(self, folder: Path) -> None:
        """Log a folder, under its name."""
        self._log(lambda client: client.log_artifacts(self._id, str(folder), folder.name))

    def inputs(self, layout: Layout, languages: Sequence[str], context: str) -> None:
        """Log languages' corpora as data sets, by their fingerprints."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        sets = []
        for language in languages:
            folder = layout.corpus(language)
            about = read_json(folder / "corpus.json", f"dvc repro data@{language}")
            sets.append(DatasetInput(
                Dataset(language, about["fingerprint"], "local", json.dumps({"uri": str(folder)}),
                        profile=json.dumps(about["rows"])),
                [InputTag("mlflow.data.context", context)]))
        self._log(lambda client: client.log_inputs(self._id, sets))

    def end(self, status: str) -> None:
        """End it as FINISHED, FAILED or KILLED."""
        self._log(lambda client: client.set_terminated(self._id, status))

    def _metrics(self, figures: Mapping[str, Any], step: int = 0) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        numbers = [Metric(key, float(value), now, step) for key, value in _flat(figures)
                   if isinstance(value, int | float) and not isinstance(value, bool)]
        self._log(lambda client: client.log_batch(self._id, metrics=numbers))

    def _log(self, call: Callable[["MlflowClient"], object]) -> None:
        if self._client is not None:
            with self._lenient():
                call(self._client)

    @contextmanager
    def _lenient(self) -> Iterator[None]:
        outer = sys.exception()
        expected: tuple[type[Exception], ...] = (AmtssError, *failures())
        try:
            yield
        except expected as error:
            self._client = None
            print(f"amtss: warning: {self._name} goes on without MLflow at {self._store}, found: "
                  f"{told(error, outer)}", file=sys.stderr)


def _settings(params: Params, stage: str, teacher: str) -> dict[str, Any]:
    """What of params.yaml matters to a stage; of a teacher, its training settings in effect."""
    if not teacher:
        return params.model_dump(mode="json", include=set(SECTIONS[stage]))
    own = params.teachers[teacher]
    return {"teachers": {teacher: own.model_dump(mode="json") | {
        "labels": str(own.labels),  # a label's name may be none that MLflow takes for a key
        "training": params.training_of(teacher).model_dump()}}}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys, and what stands there."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _public(text: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def _database(store: str) -> Path | None:
    """The file of a SQLite store."""
    if not store.startswith("sqlite:///") or ":memory:" in store:
        return None
    return Path(store.removeprefix("sqlite:///").partition("?")[0]).absolute()


def _create(store: str) -> None:
    """Make a SQLite store's tables, whole and once: MLflow crashes where two processes do."""
    import mlflow

    database = _database(store)
    if database is None or database.exists():
        return
    with alone(database.with_name(f"{database.name}.lock")):
        if not database.exists():
            with replacing(database) as made:
                mlflow.MlflowClient(f"sqlite:///{made}").search_experiments(max_results=1)


def _experiment(client: "MlflowClient", params: Params, store: str) -> str:
    """The project's, made where there is none: its id. A SQLite store has its artifacts beside
    it, wherever a stage runs."""
    from mlflow.exceptions import MlflowException

    name = f"amtss-{params.project}"
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    database = _database(store)
    artifacts = (database.parent / "mlartifacts").as_uri() if database else None
    try:
        return str(client.create_experiment(name, artifacts))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
            raise
        return _experiment(client, params, store)

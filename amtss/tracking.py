"""Runs in MLflow: what every stage that trains or evaluates tells."""

import fcntl
import os
import re
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from amtss.config import Params
from amtss.errors import RegistryError
from amtss.layout import Layout, replacing

if TYPE_CHECKING:
    from mlflow import MlflowClient


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
        mlflow.set_experiment(experiment_id=_experiment(client, f"amtss-{params.project}", store))
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


def told(error: BaseException) -> str:
    """An error of `failures` in a few words, without what only its author may know."""
    root = error
    while root.__context__ is not None:
        root = root.__context__
    first = str(root if isinstance(root, OSError) else error).strip().partition("\n")[0]
    return _public(shorten(first, 200))


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
    database.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{database}.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            with replacing(database) as made:
                mlflow.MlflowClient(f"sqlite:///{made}").search_experiments(max_results=1)


def _experiment(client: "MlflowClient", name: str, store: str) -> str:
    """Its id. A SQLite store has its artifacts beside it, wherever a run is started from."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        database = _database(store)
        artifacts = (database.parent / "mlartifacts").as_uri() if database else None
        try:
            return str(client.create_experiment(name, artifacts))
        except MlflowException as error:  # another process was faster
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    return str(found.experiment_id)

"""MLflow's store: where it is, a client of it, and what may go wrong."""

import os
import re
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from amtss.config.schema import Params
from amtss.errors import RegistryError
from amtss.files import replacing
from amtss.locks import alone
from amtss.paths import Layout

if TYPE_CHECKING:
    from mlflow import MlflowClient


def uri(layout: Layout) -> str:
    """MLFLOW_TRACKING_URI, or else a database in the project's folder."""
    return (os.environ.get("MLFLOW_TRACKING_URI")
            or f"sqlite:///{layout.root.resolve() / 'mlflow.db'}")


def without_password(text: str) -> str:
    """`text` with the user and the password taken out of every URI in it."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def connect(params: Params, layout: Layout, patience: int = 30) -> "MlflowClient":
    """A client of the store, with the project's experiment in it. MLflow's own functions, such as
    those of `mlflow.pyfunc`, then use the same store and experiment.

    Args:
        patience: seconds that a server may take to answer, twice; MLFLOW_HTTP_REQUEST_* win.

    Raises:
        RegistryError: the store cannot be reached, or is of another version of MLflow.
        AmtssError: a new store cannot be written.
    """
    _bound_waiting(patience)
    import mlflow

    store = uri(layout)
    try:
        _create(store)
        mlflow.set_tracking_uri(store)
        mlflow.set_registry_uri(store)
        client = mlflow.MlflowClient()
        mlflow.set_experiment(experiment_id=experiment(client, params, store))
    except failures() as error:
        raise RegistryError(
            f"MLFLOW_TRACKING_URI: expected MLflow to answer at {without_password(store)}, found: "
            f"{cause(error)}; start it or correct the variable, then run the same command again"
        ) from error
    return client


def exists(layout: Layout) -> bool:
    """Whether there may be anything in the store: it is a server, or a file that is there."""
    database = _database(uri(layout))
    return database is None or database.exists()


def reader(layout: Layout) -> "MlflowClient":
    """A client to read with, for use outside of a project: it creates nothing.

    Raises:
        RegistryError: the store is a file that is not there.
    """
    _bound_waiting(30)
    from mlflow import MlflowClient

    store = uri(layout)
    if not exists(layout):
        raise RegistryError(f"{_database(store)}: expected MLflow's database, found none; set "
                            "MLFLOW_TRACKING_URI, or work in the project's folder")
    return MlflowClient(store, store)


def experiment(client: "MlflowClient", params: Params, store: str) -> str:
    """Id of the project's experiment, which is created if there is none. The artifacts of a SQLite
    store lie beside it, whatever folder a stage runs in."""
    from mlflow.exceptions import MlflowException

    name = f"amtss-{params.project}"
    existing = client.get_experiment_by_name(name)
    if existing is not None:
        return str(existing.experiment_id)
    database = _database(store)
    artifacts = (database.parent / "mlartifacts").as_uri() if database else None
    try:
        return str(client.create_experiment(name, artifacts))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
            raise
        return experiment(client, params, store)


def failures() -> tuple[type[Exception], ...]:
    """What MLflow raises where a store is down, slow, full, or not what its URI says."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError, ImportError


def cause(error: BaseException, outer: BaseException | None = None) -> str:
    """The first cause of an error, in a few words and without passwords.

    Args:
        outer: what was being handled when `error` was raised; it is not one of its causes.
    """
    while error.__context__ not in (None, outer):
        error = error.__context__
    return without_password(shorten(str(error) or type(error).__name__, 200))


def _bound_waiting(patience: int) -> None:
    """Wait for a server at most `patience` seconds, twice."""
    for name, value in (("TIMEOUT", patience), ("MAX_RETRIES", 1), ("BACKOFF_FACTOR", 1)):
        os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", str(value))


def _database(store: str) -> Path | None:
    """The file of a SQLite store; None for other stores."""
    if not store.startswith("sqlite:///") or ":memory:" in store:
        return None
    return Path(store.removeprefix("sqlite:///").partition("?")[0]).absolute()


def _create(store: str) -> None:
    """Create a SQLite store's tables, all of them and once: MLflow crashes if two processes do."""
    import mlflow

    database = _database(store)
    if database is None or database.exists():
        return
    with alone(database.with_name(f"{database.name}.lock")):
        if not database.exists():
            with replacing(database) as temporary:
                mlflow.MlflowClient(f"sqlite:///{temporary}").search_experiments(max_results=1)

"""The registered model of a project: its versions, their aliases, and the students in them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amtss.config.schema import Params
from amtss.errors import CheckpointError, RegistryError
from amtss.files import replacing
from amtss.models import checkpoint
from amtss.paths import Layout
from amtss.registry import store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
MEND = {CHAMPION: "run `amtss promote`", CHALLENGER: "run `amtss register`"}
"""What sets an alias."""
STUDENT = "artifacts/student"
"""Where its student is below a version's folder."""


@dataclass(frozen=True)
class Version:
    """A version of the registered model, and what was measured of its student."""

    number: int
    fingerprint: str
    """`checkpoint.fingerprint` of the student's folder."""
    parent: int | None
    """The version that an onboarding began from."""
    languages: tuple[str, ...]
    labels: tuple[str, ...]
    accuracy: dict[str, float]
    """Test accuracy in points, by language."""
    test: dict[str, str]
    """`corpus.test_fingerprint` of the rows that it was measured on, by language."""
    errors: dict[str, int]
    """What validation found wrong enough to stop a pipeline, by language."""
    commit: str
    lock: str
    """SHA-256 of dvc.lock."""
    dirty: str | None = None
    """Which of params.yaml and dvc.lock are not as in `commit`."""
    aliases: tuple[str, ...] = ()
    runtime: str = "pytorch"
    """What it answers with."""

    @property
    def average(self) -> float:
        """Mean accuracy over its languages."""
        return sum(self.accuracy.values()) / len(self.accuracy)


def name(params: Params) -> str:
    """The registered model's."""
    return f"amtss-{params.project}"


def find(params: Params, layout: Layout, reference: str | int) -> Version:
    """The version with an alias or a number.

    Raises:
        RegistryError: there is none, or it is none of amtss.
    """
    named = aliases(params, layout)
    text = str(reference)
    number = int(text) if text.isdecimal() else named.get(text)
    with answering(params, layout) as client:
        entities = _entities(params, client)
    for entity in entities:
        if int(entity.version) == number:
            return _version(params, entity, named)
    if text.isdecimal():
        what, there = f"version {text}", [each.version for each in entities]
    else:
        what, there = f"alias {text}", [f"{alias} ({at})" for alias, at in named.items()]
    mend = MEND[CHALLENGER] if not entities else MEND.get(text, "name one of them")
    raise RegistryError(f"{name(params)}: expected {what}, found "
                        f"{', '.join(map(str, there)) or 'none'}; {mend}")


def versions(params: Params, layout: Layout) -> list[Version]:
    """All that amtss has registered, oldest first."""
    named = aliases(params, layout)
    with answering(params, layout) as client:
        return [_version(params, entity, named) for entity in _entities(params, client)
                if "fingerprint" in entity.tags]


def aliases(params: Params, layout: Layout) -> dict[str, int]:
    """Alias -> number of its version; empty where nothing has been registered."""
    with answering(params, layout) as client:
        return {alias: int(at) for each in models(params, client)
                for alias, at in each.aliases.items()}


def point(params: Params, layout: Layout, alias: str, number: int | None) -> None:
    """Set `alias` on version `number`, or take it away."""
    with answering(params, layout) as client:
        if number is None:
            client.delete_registered_model_alias(name(params), alias)
        else:
            client.set_registered_model_alias(name(params), alias, str(number))


def mark(params: Params, layout: Layout, number: int) -> None:
    """Write down that amtss itself made version `number` champion."""
    with answering(params, layout) as client:
        client.set_registered_model_tag(name(params), CHAMPION, str(number))


def marked(params: Params, layout: Layout) -> int | None:
    """The version that amtss itself made champion last."""
    with answering(params, layout) as client:
        numbers = [int(each.tags[CHAMPION]) for each in models(params, client)
                   if CHAMPION in each.tags]
        return numbers[0] if numbers else None


def fetch(params: Params, layout: Layout, number: int, fingerprint: str | None, to: Path) -> None:
    """Write a version's student to the folder `to`, whole and verified.

    Raises:
        RegistryError: it is not the student `fingerprint`, or no longer what was registered.
    """
    version = find(params, layout, number)
    if fingerprint not in (None, version.fingerprint):
        raise RegistryError(f"{name(params)} version {number}: expected the student {fingerprint}, "
                            f"found {version.fingerprint}; name that student's version")
    with replacing(to) as temporary:
        got = _download(params, layout, version, temporary)
        for path in got.iterdir():
            path.rename(temporary / path.name)
        got.rmdir()


def _download(params: Params, layout: Layout, version: Version, to: Path) -> Path:
    """A version's student, verified, in a folder below `to`."""
    with answering(params, layout) as client:
        place = client.get_model_version_download_uri(name(params), str(version.number))
    from mlflow.artifacts import download_artifacts

    try:
        folder = Path(download_artifacts(f"{place}/{STUDENT}", dst_path=str(to)))
        found = checkpoint.fingerprint(folder)
    except CheckpointError:
        found = "none"
    except store.failures() as error:
        found = store.cause(error)
    if found != version.fingerprint:
        raise RegistryError(f"{place}: expected the student {version.fingerprint} of version "
                            f"{version.number}, found: {found}; restore its files there, or "
                            f"delete version {version.number} in MLflow and run `amtss register` "
                            "again for a new one")
    return folder


def tags(version: Version) -> dict[str, str]:
    """What stands beside a version: each of its fields, as text or JSON."""
    told = asdict(version) | {"average": round(version.average, 2), "number": None, "aliases": None}
    return {key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for key, value in told.items() if value is not None}


def _version(params: Params, entity: "ModelVersion", named: dict[str, int]) -> Version:
    """`tags` read back.

    Raises:
        RegistryError: they are not there, or not what amtss writes.
    """
    number, tags = int(entity.version), entity.tags
    try:
        return Version(
            number=number, fingerprint=tags["fingerprint"],
            parent=json.loads(tags.get("parent", "null")),
            languages=tuple(json.loads(tags["languages"])),
            labels=tuple(json.loads(tags["labels"])), accuracy=json.loads(tags["accuracy"]),
            test=json.loads(tags["test"]), errors=json.loads(tags["errors"]),
            commit=tags["commit"], lock=tags["lock"], dirty=tags.get("dirty"),
            aliases=tuple(alias for alias, at in named.items() if at == number),
            runtime=tags.get("runtime", "pytorch"))
    except (KeyError, json.JSONDecodeError) as error:
        raise RegistryError(f"{name(params)} version {number}: expected the tags of `amtss "
                            f"register`, found other ones ({error}); name another version"
                            ) from error


def models(params: Params, client: "MlflowClient") -> list[Any]:
    """The registered model, or none yet."""
    return list(client.search_registered_models(f"name = '{name(params)}'"))


def _entities(params: Params, client: "MlflowClient") -> "list[ModelVersion]":
    found = client.search_model_versions(f"name = '{name(params)}'")
    return sorted(found, key=lambda entity: int(entity.version))


@contextmanager
def answering(params: Params, layout: Layout) -> "Iterator[MlflowClient]":
    """A client of the registry.

    Raises:
        RegistryError: the registry does not answer, or refuses what the body asks of it.
    """
    client = store.connect(params, layout)
    with reporting(name(params)):
        yield client


@contextmanager
def reporting(model: str) -> Iterator[None]:
    """Report what goes wrong in MLflow as one line.

    Raises:
        RegistryError: MLflow failed in the body.
    """
    try:
        yield
    except store.failures() as error:
        raise RegistryError(f"{model}: expected the model registry to answer, found: "
                            f"{store.cause(error)}; fix that, then try again") from error

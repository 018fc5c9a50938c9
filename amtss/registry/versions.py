"""The registered model of a project: its versions, their aliases, and the students in them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amtss.config.schema import Params
from amtss.errors import CheckpointError, RegistryError
from amtss.files import SEAL, replacing, seal
from amtss.models import checkpoint
from amtss.paths import Layout
from amtss.registry import store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
FIX = {CHAMPION: "run `amtss promote`", CHALLENGER: "run `amtss register`"}
"""The command that sets an alias."""
DECISION = "decision"
"""A version's tag, which `decide` writes."""
STUDENT = "artifacts/student"
"""Path of the student in a version's folder."""


@dataclass(frozen=True)
class Version:
    """A version of the registered model, and the figures of its student."""

    number: int
    fingerprint: str
    """`checkpoint.fingerprint` of the student's folder."""
    parent: int | None
    """The version that an onboarding started from; None for a student trained from the start."""
    languages: tuple[str, ...]
    labels: tuple[str, ...]
    accuracy: dict[str, float]
    """Test accuracy in points, by language; without those whose test has no labels."""
    test: dict[str, str]
    """`corpus.test_fingerprint` of the rows that it was evaluated on, by language."""
    errors: dict[str, int]
    """Number of errors in the validation of the data, by language."""
    commit: str
    lock: str
    """SHA-256 of dvc.lock."""
    dirty: str | None = None
    """Which of params.yaml and dvc.lock differ from `commit`; None for neither."""
    aliases: tuple[str, ...] = ()
    runtime: str = "pytorch"
    """`serving.runtime` when it was registered."""
    min_accuracy: float | None = None
    """`serving.min_accuracy` when it was registered."""
    floor: dict[str, float] | None = None
    """Test accuracy of the linear floor in points, by language with labels in train; None if it is
    unknown."""
    majority: dict[str, float] | None = None
    """Share of the most frequent label in a language's test, in points: what a constant answer
    would reach. None if it is unknown."""
    without_labels: dict[str, float | None] = field(default_factory=dict)
    """Languages that were learnt without labels. None where the test has labels; else the student's
    agreement with its teachers on test, in points."""
    decision: str | None = None
    """Whose decision made it champion, where it was not the rules': a rollback, or --force and the
    reason for it."""
    registered: datetime | None = field(default=None, compare=False)
    """When, in UTC."""

    @property
    def average(self) -> float:
        """Mean accuracy over its languages, as far as it is known."""
        return sum(self.accuracy.values()) / len(self.accuracy)


def name(params: Params) -> str:
    """Name of the project's registered model."""
    return f"amtss-{params.project}"


def find(params: Params, layout: Layout, reference: str | int) -> Version:
    """The version with this alias or number.

    Raises:
        RegistryError: there is none, or amtss has not registered it.
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
        what, existing = f"version {text}", [str(entity.version) for entity in entities]
    else:
        what, existing = f"alias {text}", [f"{alias} ({at})" for alias, at in named.items()]
    fix = FIX[CHALLENGER] if not entities else FIX.get(text, "name one of them")
    raise RegistryError(f"{name(params)}: expected {what}, found "
                        f"{', '.join(existing) or 'none'}; {fix}")


def versions(params: Params, layout: Layout) -> list[Version]:
    """All versions that amtss has registered, oldest first.

    Raises:
        RegistryError: the registry does not answer.
    """
    named = aliases(params, layout)
    with answering(params, layout) as client:
        return [_version(params, entity, named) for entity in _entities(params, client)
                if "fingerprint" in entity.tags]


def aliases(params: Params, layout: Layout) -> dict[str, int]:
    """Alias -> number of its version; empty if nothing is registered."""
    with answering(params, layout) as client:
        return {alias: int(number) for model in models(params, client)
                for alias, number in model.aliases.items()}


def point(params: Params, layout: Layout, alias: str, number: int | None) -> None:
    """Set `alias` on version `number`; None deletes the alias."""
    with answering(params, layout) as client:
        if number is None:
            client.delete_registered_model_alias(name(params), alias)
        else:
            client.set_registered_model_alias(name(params), alias, str(number))


def mark(params: Params, layout: Layout, number: int) -> None:
    """Record that amtss made version `number` champion."""
    with answering(params, layout) as client:
        client.set_registered_model_tag(name(params), CHAMPION, str(number))


def decide(params: Params, layout: Layout, version: Version, decision: str | None) -> None:
    """Record by what decision a version becomes champion; None if it was the rules'."""
    with answering(params, layout) as client:
        if decision is not None:
            client.set_model_version_tag(name(params), str(version.number), DECISION, decision)
        elif version.decision is not None:
            client.delete_model_version_tag(name(params), str(version.number), DECISION)


def marked(params: Params, layout: Layout) -> int | None:
    """The version that amtss made champion last; None if it made none."""
    with answering(params, layout) as client:
        numbers = [int(model.tags[CHAMPION]) for model in models(params, client)
                   if CHAMPION in model.tags]
        return numbers[0] if numbers else None


def fetch(params: Params, layout: Layout, number: int, fingerprint: str | None, to: Path) -> None:
    """Download a version's student to the folder `to` and verify it; `to` is written whole or not
    at all.

    Raises:
        RegistryError: the version holds another student than `fingerprint`, or its files are
            missing or altered.
    """
    version = find(params, layout, number)
    if fingerprint not in (None, version.fingerprint):
        raise RegistryError(f"{name(params)} version {number}: expected the student {fingerprint}, "
                            f"found {version.fingerprint}; name that student's version")
    with replacing(to) as temporary:
        student = _download(params, layout, version, temporary)
        for path in student.iterdir():
            path.rename(temporary / path.name)
        student.rmdir()


def _download(params: Params, layout: Layout, version: Version, to: Path) -> Path:
    """Download a version's student into a folder below `to` and verify it; that folder."""
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
    seal_old(folder)
    return folder


def seal_old(*folders: Path) -> None:
    """Seal what was registered before there were seals, once it has been verified."""
    for folder in folders:
        if folder.is_dir() and not (folder / SEAL).exists():
            seal(folder)


def tags(version: Version) -> dict[str, str]:
    """A version's fields as MLflow's tags: text or JSON."""
    fields = asdict(version) | {"average": round(version.average, 2)}
    del fields["number"], fields["aliases"], fields["registered"]  # MLflow has them itself
    return {key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for key, value in fields.items() if value is not None}


def _version(params: Params, entity: "ModelVersion", named: dict[str, int]) -> Version:
    """Read `tags` back.

    Raises:
        RegistryError: they are missing, or amtss has not written them.
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
            runtime=tags.get("runtime", "pytorch"),
            min_accuracy=json.loads(tags.get("min_accuracy", "null")),
            floor=json.loads(tags.get("floor", "null")),
            majority=json.loads(tags.get("majority", "null")),
            without_labels=json.loads(tags.get("without_labels", "{}")),
            decision=tags.get(DECISION),
            registered=datetime.fromtimestamp(entity.creation_timestamp / 1000, UTC))
    except (KeyError, json.JSONDecodeError) as error:
        raise RegistryError(f"{name(params)} version {number}: expected the tags of `amtss "
                            f"register`, found others ({error}); name another version"
                            ) from error


def models(params: Params, client: "MlflowClient") -> list[Any]:
    """The project's registered model in a list; an empty list if nothing is registered."""
    return list(client.search_registered_models(f"name = '{name(params)}'"))


def _entities(params: Params, client: "MlflowClient") -> "list[ModelVersion]":
    entities = client.search_model_versions(f"name = '{name(params)}'")
    return sorted(entities, key=lambda entity: int(entity.version))


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

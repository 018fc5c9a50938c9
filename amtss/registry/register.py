"""Register the evaluated student as a version of the project's model."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amtss import dvc_status, git, records
from amtss.config.schema import Params
from amtss.errors import RegistryError
from amtss.files import read_json, verify
from amtss.inference import export, facts
from amtss.locks import alone
from amtss.models import checkpoint
from amtss.paths import CORRECTIONS, LINEAGE, Layout
from amtss.registry import cards, store, tracking, versions
from amtss.registry.versions import CHALLENGER, CHAMPION, Version
from amtss.temporary import temporary_folder

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

REQUIREMENTS = ("mlflow", "numpy", "pandas", "pyarrow", "pydantic", "safetensors", "tokenizers")
"""Packages that every version needs to predict."""
PYTORCH = ("torch", "transformers")
ONNX = ("onnxruntime",)
"""Packages that each kind of runtime needs besides."""
LATER = ("promotion", "serving", "drift", "report")
"""Sections of params.yaml that the figures do not depend on."""


def register(params: Params, layout: Layout) -> tuple[Version, bool]:
    """Register the evaluated student, unless it is registered, and set the alias `challenger` on it
    unless it is the champion.

    Returns: the version, and whether it is new.

    Raises:
        RegistryError: the student has not been evaluated, or is not what its stages have written;
            the registry does not answer.
        AmtssError: a file of its stages is missing or altered.
    """
    student = _evaluated(params, layout)
    _check_status(params, layout)
    with alone(layout.registry_lock):
        known = [version for version in versions.versions(params, layout)
                 if (version.fingerprint, version.runtime, version.min_accuracy)
                 == (student.fingerprint, student.runtime, student.min_accuracy)]
        number = known[-1].number if known else _create(params, layout, student)
        if versions.aliases(params, layout).get(CHAMPION) != number:
            versions.point(params, layout, CHALLENGER, number)
        return versions.find(params, layout, number), not known


def _evaluated(params: Params, layout: Layout) -> Version:
    """`artifacts/student` and its figures, as a version without a number.

    Raises:
        RegistryError: the figures are of another student.
        AmtssError: a file is missing or altered.
    """
    fingerprint = checkpoint.fingerprint(layout.student)
    metrics = records.metrics(layout)
    measured = metrics["measured"]
    if measured["student"] != fingerprint:
        raise RegistryError(f"{layout.metrics}: expected figures of the student {fingerprint}, "
                            f"found {measured['student']}; run `dvc repro`")
    verify(layout.student, "dvc repro distil")
    languages, accuracy = tuple(measured["test"]), metrics["student"]["accuracy"]
    floor, without_labels = metrics["floor"]["accuracy"], metrics.get("without_labels", {})
    config = read_json(layout.student / "config.json", records.Student, "dvc repro distil",
                       ours=False)
    return Version(
        number=0, fingerprint=fingerprint,
        parent=metrics["onboarded"]["version"] if "onboarded" in metrics else None,
        languages=languages, labels=tuple(config["id2label"].values()),
        accuracy={code: accuracy[code] for code in languages if code in accuracy},
        test=measured["test"],
        errors={code: records.validation(layout, code)["errors"] for code in languages},
        commit=git.head(layout.root), lock=tracking.lock(layout),
        dirty=", ".join(git.changed(layout.root, (*LINEAGE, CORRECTIONS))) or None,
        runtime=params.serving.runtime, min_accuracy=params.serving.min_accuracy,
        floor={code: floor[code] for code in languages if code in floor},
        majority=metrics.get("majority"),
        without_labels={code: found and found["agreement"]
                        for code, found in without_labels.items()})


def _check_status(params: Params, layout: Layout) -> None:
    """Check that DVC takes the figures, and all that they were made of, for those of dvc.lock.

    What is merely missing here does not count: DVC has it. Without a dvc.lock the stages were run
    by hand.

    Raises:
        RegistryError: something has changed.
        AmtssError: DVC does not answer.
    """
    if not (layout.root / "dvc.lock").is_file():
        return
    status = dvc_status.status(layout.root, "--with-deps", "evaluate", wait=True)
    changes = [f"{change} of {stage}" for stage, differences in status.items()
               for change in dvc_status.changes(
                   [part for part in differences if isinstance(part, dict)])]
    if layout.settings.is_file():  # it says which keys have changed, and so which figures
        settings = read_json(layout.settings, dict[str, Any], "dvc repro settings")
        changes = [change for change in changes if change != "params.yaml of settings"]
        changes += [f"{key} in params.yaml" for key, value in params.model_dump(mode="json").items()
                    if key not in LATER and value != settings.get(key)]
    if changes:
        raise RegistryError(f"dvc.lock: expected what `dvc repro` has made, found changed: "
                            f"{', '.join(changes[:3])}; run `dvc repro`, or if the results are "
                            "right as they are, `dvc commit`")


def _create(params: Params, layout: Layout, student: Version) -> int:
    """Log the student in a run of its own and create a version from it; the version's number."""
    import mlflow

    code = Path(__file__).parents[1]  # shipped whole: half a megabyte, without bytecode
    needed = sorted(REQUIREMENTS + (PYTORCH if params.serving.runtime == "pytorch" else ONNX))
    with versions.answering(params, layout) as client:
        tracking.end_killed(client, store.experiment(client, params, store.uri(layout)), layout)
    with (_artifacts(params, layout, student) as artifacts,
          versions.answering(params, layout) as client,
          mlflow.start_run(run_name="register", tags=tracking.process(layout)) as run):
        tags = versions.tags(student)
        if layout.report.is_dir():
            mlflow.log_artifacts(str(layout.report), "report")
            tags["report"] = f"runs:/{run.info.run_id}/report/report.html"
        logged = mlflow.pyfunc.log_model(
            name="student", python_model=str(code / "inference" / "mlflow_model.py"),
            artifacts=artifacts, code_paths=[str(code)],
            signature=_signature(student.min_accuracy or 0.0),
            input_example=_example(student),
            pip_requirements=[f"{package}=={installed(package).split('+')[0]}"
                              for package in needed])
        if not versions.models(params, client):
            client.create_registered_model(versions.name(params))
        version = client.create_model_version(
            versions.name(params), logged.model_uri, run.info.run_id, tags,
            description=_description(student), model_id=logged.model_id)
        return int(version.version)


@contextmanager
def _artifacts(params: Params, layout: Layout, student: Version) -> Iterator[dict[str, str]]:
    """Folders that a version holds: the student, its card, and its ONNX export if that is its
    runtime."""
    known = facts.gather(params, layout, layout.student)
    config = read_json(layout.student / "config.json", records.Student, "dvc repro distil",
                       ours=False)
    with temporary_folder(layout.artifacts, "register") as folder:
        cards.write(params, student, config["max_tokens"], known, folder / cards.FOLDER)
        folders = {"student": str(layout.student.resolve()),
                   cards.FOLDER: str(folder / cards.FOLDER)}
        if params.serving.runtime != "pytorch":
            folders["onnx"] = str(folder / "onnx")
            export.export_onnx(layout.student, Path(folders["onnx"]), params.serving.runtime,
                               facts=known)
        yield folders


def _description(version: Version) -> str:
    """For MLflow's pages, in Markdown."""
    rows = "\n".join(f"| {code} | {figure:.2f} |" for code, figure in version.accuracy.items())
    rows += "".join(f"\n| {code}, without labels | agrees with its teachers: {figure:.2f} |"
                    for code, figure in version.without_labels.items() if figure is not None)
    return (f"One student for {len(version.languages)} languages and {len(version.labels)} labels; "
            f"{version.average:.2f} points of test accuracy on average. Its report is an artifact "
            f"of its source run. Its runtime is {version.runtime}; its figures are PyTorch's, fp32."
            f"\n\n| language | accuracy |\n| --- | ---: |\n{rows}\n")


def _signature(min_accuracy: float) -> "ModelSignature":
    """What a version takes and answers.

    Args:
        min_accuracy: what it answers with where a request asks for nothing else; 0 for all.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Map

    return ModelSignature(
        Schema([ColSpec(DataType.string, "text"),
                *(ColSpec(DataType.string, name, required=False) for name in ("pair", "lang"))]),
        Schema([ColSpec(DataType.string, "label", required=False),
                ColSpec(DataType.double, "score"), ColSpec(Map(DataType.double), "probabilities"),
                *(ColSpec(kind, name, required=False) for name, kind in (
                    ("lang", DataType.string), ("lang_probability", DataType.double),
                    ("best", DataType.string)))]),
        ParamSchema([ParamSpec("lang", DataType.string, ""),
                     ParamSpec("min_accuracy", DataType.double, min_accuracy)]))


def _example(version: Version) -> Any:
    """A batch of every language, and the parameter."""
    import pandas as pd

    return (pd.DataFrame({"text": ["hello"] * len(version.languages), "lang": version.languages}),
            {"lang": version.languages[0]})

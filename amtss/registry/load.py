"""`amtss.load_student`: a student from a folder, or a version from the model registry."""

import re
import tempfile
from pathlib import Path

from amtss.config.schema import Params
from amtss.errors import CheckpointError, RegistryError
from amtss.inference.load import load_folder
from amtss.inference.predictor import Predictor
from amtss.models import checkpoint
from amtss.paths import Layout
from amtss.registry import store, versions
from amtss.registry.versions import CHALLENGER, FIX
from amtss.temporary import temporary_folder

REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(/(?P<number>\d+)|@(?P<alias>[^/@]+))")


def load_student(source: str | Path) -> Predictor:
    """Load a student for prediction.

    Args:
        source: the folder of a trained student (`artifacts/student`) or of an ONNX export
            (`artifacts/export/onnx`), or a version in the model registry by its alias
            (`models:/amtss-demo@champion`) or number (`models:/amtss-demo/3`). The registry is at
            MLFLOW_TRACKING_URI, or else in `mlflow.db` of the working directory. A version whose
            `serving.runtime` is ONNX is loaded by onnxruntime.

    Raises:
        CheckpointError: there is no student in the folder.
        AmtssError: its files are altered.
        RegistryError: there is no such version, or its files are not what was registered.
    """
    if not str(source).startswith("models:"):
        return load_folder(Path(source))
    with temporary_folder(Path(tempfile.gettempdir()), "amtss") as folder:
        return load_folder(_download(str(source), folder))


def fetch(params: Params, layout: Layout, reference: str, runtime: str | None, to: Path
          ) -> tuple[str, Path]:
    """Download a version of the project to the folder `to`.

    Args:
        reference: its number or an alias.
        runtime: `pytorch` or `onnx`; None for its own.

    Returns: which version answers, in a few words, and the folder of its student or its export.

    Raises:
        RegistryError: there is no such version, its files are not what was registered, or it has no
            export.
    """
    name = versions.name(params)
    if not store.exists(layout):
        raise RegistryError(f"{name}: expected version {reference}, found no versions; "
                            f"{FIX[CHALLENGER]}")
    version = versions.find(params, layout, reference)
    folder = _download(f"models:/{name}/{version.number}", to, runtime)
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    kind = "its student" if folder.name == "student" else "its ONNX export"
    return f"version {version.number}{aliases} of {name} answers, by {kind}", folder


def _download(source: str, to: Path, runtime: str | None = None) -> Path:
    """Download a version's artifacts; the folder of its export or of its student, whichever runs in
    `runtime`, by default the export if it has one."""
    match = REGISTERED.fullmatch(source)
    if match is None:
        raise RegistryError(f"{source}: expected models:/NAME@ALIAS or models:/NAME/NUMBER, found "
                            "neither; correct the source")
    name, layout = match["name"], Layout()
    with versions.reporting(name):
        client = store.reader(layout)
        version = (client.get_model_version_by_alias(name, match["alias"]) if match["alias"]
                   else client.get_model_version(name, match["number"]))
        place = client.get_model_version_download_uri(name, version.version)
        from mlflow.artifacts import download_artifacts

        folder = Path(download_artifacts(f"{place}/artifacts", dst_path=str(to),
                                         tracking_uri=store.uri(layout)))
    expected = version.tags.get("fingerprint", "of `amtss register`")
    try:
        found = checkpoint.fingerprint(folder / "student")
    except CheckpointError:
        found = "none"
    if found != expected:
        raise RegistryError(f"{source}: expected the student {expected}, found {found}; restore "
                            f"its files in {place}, or name another version")
    versions.seal_old(folder / "student", folder / "onnx")
    exported = (folder / "onnx").is_dir()
    if runtime == "onnx" and not exported:
        raise RegistryError(f"{source}: expected a version with an ONNX export, found the student "
                            "alone; leave out --runtime, or run `amtss export --format onnx "
                            f"--version {version.version}`")
    return folder / "onnx" if exported and runtime != "pytorch" else folder / "student"

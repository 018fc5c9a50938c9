"""The folder that `docker build` makes a server's image from."""

import platform
import re
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

import amtss
from amtss.errors import AmtssError
from amtss.files import replacing, write_text
from amtss.inference.onnx_predictor import OnnxPredictor

NEEDED = ("numpy", "onnxruntime", "pydantic", "safetensors", "starlette", "tokenizers",
          "typing-extensions", "uvicorn")
"""Packages that `amtss.inference.server` imports."""
DOCKERFILE = """\
# amtss {version}: an exported student in onnxruntime. docker build -t amtss FOLDER
FROM python:{python}-slim-bookworm
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt && useradd --uid 10001 amtss
COPY --chown=10001 amtss/ amtss/
COPY --chown=10001 model/ model/
USER 10001
ENV OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8080
HEALTHCHECK CMD ["python", "-c", "from urllib.request import urlopen; \\
urlopen('http://127.0.0.1:8080/health', timeout=2)"]
CMD ["python", "-m", "amtss.inference.server", "model", "--host", "0.0.0.0", "--port", "8080"]
"""


def write(export: Path, to: Path) -> None:
    """Write the ONNX export in a folder, the code that serves it, the versions of the packages that
    are installed here, and a Dockerfile to the folder `to`.

    Raises:
        AmtssError: there is no export, it is altered, or `to` is something other than such a
            folder.
    """
    OnnxPredictor(export)  # raises if it cannot be served
    if to.exists() and not _is_image(to) and not (to.is_dir() and not any(to.iterdir())):
        raise AmtssError(f"{to}: expected a new or empty folder or an earlier image's, found "
                         "something else; name another in --output")
    with replacing(to) as temporary:
        shutil.copytree(export, temporary / "model")
        shutil.copytree(Path(amtss.__file__).parent, temporary / "amtss",
                        ignore=shutil.ignore_patterns("__pycache__"))
        write_text(temporary / "requirements.txt", "".join(
            f"{name}=={version}\n" for name, version in sorted(requirements().items())))
        write_text(temporary / "Dockerfile", DOCKERFILE.format(
            version=amtss.__version__, python=platform.python_version()))


def _is_image(folder: Path) -> bool:
    return (folder / "Dockerfile").is_file() and (folder / "model" / "model.onnx").is_file()


def requirements() -> dict[str, str]:
    """Name -> installed version of the packages in `NEEDED` and of all that these need."""
    found: dict[str, str] = {}
    waiting = list(NEEDED)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            installed = distribution(name)
        except PackageNotFoundError as error:
            raise AmtssError(f"{name}: expected it to be installed, found none; run `pip install "
                             f"{name}`") from error
        found[name] = installed.version.partition("+")[0]
        needs = [Requirement(line) for line in installed.requires or ()]
        waiting += [need.name for need in needs
                    if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found

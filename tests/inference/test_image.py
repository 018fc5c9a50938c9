"""The server runs from the folder that an image is made from, with what the image installs."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.training import LANGUAGES, distilled

from amtss.errors import AmtssError, CheckpointError
from amtss.inference import image
from amtss.inference.export import export_onnx
from amtss.inference.limits import BYTES, ROWS
from amtss.inference.onnx_predictor import OnnxPredictor

pytestmark = pytest.mark.slow
CHILD = """
import runpy, sys
from importlib.metadata import packages_distributions

allowed = {line.partition("==")[0] for line in open("requirements.txt")}
refused = {module for module, names in packages_distributions().items()
           if not {name.lower().replace("_", "-") for name in names} & allowed} - {"amtss"}
assert {"torch", "transformers", "mlflow", "pandas", "datasets"} <= refused

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"{name} is not in requirements.txt")

sys.meta_path.insert(0, Blocker())
runpy.run_module("amtss.inference.server", run_name="__main__", alter_sys=True)
"""
"""Serves as the image does; no package can be imported that requirements.txt does not name."""
MIXED = [{"text": f"{code}pay1 {code}ship2", "lang": code} for code in LANGUAGES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = distilled(tmp_path_factory.mktemp("image"))
    export_onnx(project.layout.student, project.layout.root / "onnx", "onnx")
    image.write(project.layout.root / "onnx", project.layout.root / "image")
    return project.layout.root / "image"


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
        "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen([sys.executable, "-c", CHILD, "model", "--port", port], cwd=folder,
                          env=environment) as process:
        while process.poll() is None:
            try:
                ask(f"http://127.0.0.1:{port}/health")
                break
            except urllib.error.URLError:
                time.sleep(0.05)
        assert process.poll() is None, "the server has ended: see stderr"
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def ask(url: str, body: bytes | None = None) -> tuple[int, Any]:
    """Status and JSON of an answer."""
    try:
        with urllib.request.urlopen(url, body, timeout=60) as answer:  # noqa: S310 - http
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_it_answers_as_the_export_does(folder: Path, address: str) -> None:
    status, told = ask(f"{address}/invocations",
                       json.dumps({"dataframe_records": MIXED}).encode())
    expected = OnnxPredictor(folder / "model").predict([row["text"] for row in MIXED],
                                                       [row["lang"] for row in MIXED])
    assert status == 200
    for row, answer in zip(told["predictions"], expected, strict=True):
        assert row["label"] == answer.label
        assert row["probabilities"] == pytest.approx(answer.probabilities, abs=2e-6)


def test_languages_are_recognised_and_unsure_texts_have_no_label(folder: Path, address: str
                                                                 ) -> None:
    request = {"dataframe_records": [{"text": row["text"]} for row in MIXED],
               "params": {"min_accuracy": 1.0}}
    status, told = ask(f"{address}/invocations", json.dumps(request).encode())
    expected = OnnxPredictor(folder / "model").predict([row["text"] for row in MIXED],
                                                       min_accuracy=1.0)
    assert status == 200
    assert [(row["lang"], row["best"], row["label"]) for row in told["predictions"]] == [
        (answer.language, answer.best, answer.label) for answer in expected]
    assert [answer.language for answer in expected] == [*LANGUAGES]


@pytest.mark.parametrize(("body", "status", "says"), [
    (b"{", 400, "request: expected a JSON object, found: "),
    (b"[]", 400, "request: expected a JSON object, found []; correct it"),
    (b"caf\xe9", 400, "request: expected UTF-8"),
    (b'{"a":' * 100_000, 400, "request: expected a JSON object, found too many brackets"),
    (b'{"rows": []}', 400, "request: expected JSON such as"),
    (b'{"dataframe_records": ["hi"]}', 400, "request: expected JSON such as"),
    (b'{"dataframe_records": [{"lang": "en"}]}', 400, "row 1: expected a `text`, found keys lang"),
    (b'{"dataframe_records": [{"text": "a", "lang": "xx"}]}', 400, "row 1: lang: expected one of"),
    (b'{"dataframe_records": [{"text": "\\ud800", "lang": "en"}]}', 400, "row 1: text: expected"),
    (b'{"dataframe_records": [{"text": "a"}], "params": {"lang": 3}}', 400,
     "params: expected text"),
    (b'{"dataframe_records": [{"text": "a"}], "params": {"min_accuracy": 7}}', 400,
     "min_accuracy: expected a share"),
    (b'{"dataframe_records": [{"text": "a"}], "params": {"min_accuracy": "x"}}', 400,
     "min_accuracy: expected a share"),
    (json.dumps({"dataframe_records": [{}] * (ROWS + 1)}).encode(), 400, "rows: expected at most"),
    (b" " * (BYTES + 1), 413, f"request: expected at most {BYTES} bytes, found more")])
def test_what_it_refuses_is_one_line(address: str, body: bytes, status: int, says: str) -> None:
    found, told = ask(f"{address}/invocations", body)
    assert (found, told["error_code"]) == (status, "BAD_REQUEST")
    assert told["message"].startswith(says)
    assert "\n" not in told["message"]


def test_the_image_runs_as_nobody_in_particular(folder: Path) -> None:
    text = (folder / "Dockerfile").read_text()
    lines = text.splitlines()
    assert f"FROM python:{sys.version.split()[0]}-slim-bookworm" in lines
    assert lines.index("USER 10001") < next(at for at, line in enumerate(lines)
                                            if line.startswith("CMD"))
    assert not [*folder.rglob("__pycache__")]
    for line in (folder / "requirements.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        assert version, name


def test_it_is_written_again_but_over_nothing_else(folder: Path, tmp_path: Path) -> None:
    to = tmp_path / "image"
    shutil.copytree(folder, to)
    image.write(folder / "model", to)
    (to / "Dockerfile").unlink()
    with pytest.raises(AmtssError, match="image: expected a new or empty folder or an earlier"):
        image.write(folder / "model", to)
    with pytest.raises(CheckpointError, match=r"expected an export with model\.onnx, found none"):
        image.write(tmp_path, tmp_path / "other")
    assert [*tmp_path.iterdir()] == [to]

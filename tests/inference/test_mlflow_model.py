import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel, scoring_server
from starlette.testclient import TestClient
from support.predictions import answers, questions
from support.registered import database, evaluated
from support.training import LANGUAGES, Project

from amtss.files import seal
from amtss.inference import serving
from amtss.inference.jsonl import Question
from amtss.registry import register, store, versions
from amtss.student.recognition import FILE


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A student that is champion."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", database())
        made = evaluated(tmp_path_factory.mktemp("served"), project=f"s-{uuid.uuid4().hex}")
        register.register(made.params, made.layout)
        versions.point(made.params, made.layout, "champion", 1)
        yield made


@pytest.fixture(scope="module")
def uri(project: Project) -> str:
    return f"models:/{versions.name(project.params)}@champion"


@pytest.fixture(scope="module")
def served(project: Project, uri: str) -> PyFuncModel:
    store.connect(project.params, project.layout)
    return mlflow.pyfunc.load_model(uri)


def rows(batch: list[Question]) -> list[dict[str, Any]]:
    return [{"text": each.text, "lang": each.language} for each in batch]


def agree(project: Project, batch: list[Question], found: list[dict[str, Any]]) -> None:
    """`found` is what `amtss predict` answers to `asked`."""
    expected = answers(project.layout.student, batch)
    assert [each["label"] for each in found] == [each["label"] for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=2e-6)
        assert one["score"] == one["probabilities"][one["label"]]


class TestServed:
    def test_a_batch_of_all_languages(self, project: Project, served: PyFuncModel) -> None:
        batch = questions(project)
        agree(project, batch, served.predict(pd.DataFrame(rows(batch))))

    def test_the_parameter(self, project: Project, served: PyFuncModel) -> None:
        for code in LANGUAGES:
            texts = pd.DataFrame({"text": ["enpay1", "frship2 frship1"]})
            agree(project, [Question(text, code) for text in texts["text"]],
                  served.predict(texts, params={"lang": code}))

    def test_the_column_wins(self, project: Project, served: PyFuncModel) -> None:
        batch = pd.DataFrame({"text": ["enpay1"] * 3, "lang": ["fr", None, ""]})
        agree(project, [Question("enpay1", code) for code in ("fr", "ru", "ru")],
              served.predict(batch, params={"lang": "ru"}))

    def test_without_a_language(self, project: Project, served: PyFuncModel) -> None:
        batch = questions(project)[:9]
        found = served.predict(pd.DataFrame({"text": [each.text for each in batch]}))
        agree(project, batch, found)
        assert [each["lang"] for each in found] == [each.language for each in batch]
        assert all(0.5 < each["lang_probability"] <= 1.0 for each in found)
        given = served.predict(pd.DataFrame({"text": ["enpay1"] * 2, "lang": ["auto", "fr"]}))
        assert [each.get("lang") for each in given] == ["en", None]

    def test_abstains(self, project: Project, served: PyFuncModel) -> None:
        batch = pd.DataFrame(rows(questions(project)[:9]))
        everything = served.predict(batch, params={"min_accuracy": 0.01})
        assert all(each["best"] == each["label"] for each in everything)
        nothing = served.predict(batch, params={"min_accuracy": 0.999})
        assert [each["label"] for each in nothing] == [None] * 9
        assert [each["best"] for each in nothing] == [each["label"] for each in everything]
        with pytest.raises(MlflowException, match="min_accuracy: expected a share from 0 to 1"):
            served.predict(batch, params={"min_accuracy": 95.0})

    def test_a_student_of_earlier_code_must_be_told(self, project: Project, tmp_path: Path) -> None:
        from amtss.inference.mlflow_model import Served

        folder = Path(shutil.copytree(project.layout.student, tmp_path / "student"))
        (folder / FILE).unlink()
        seal(folder)
        model = Served()
        model.load_context(mlflow.pyfunc.PythonModelContext({"student": str(folder)}, None))
        with pytest.raises(MlflowException, match=r"^lang: expected one of en, fr, ru, found none i"
                           r"n row 1; name one of them in the column or the parameter `lang`$"):
            model.predict(None, pd.DataFrame({"text": ["a"]}))

    def test_pairs(self, project: Project, served: PyFuncModel) -> None:
        batch = pd.DataFrame({"text": ["enpay1"] * 2, "pair": ["enship2 enship1", None]})
        agree(project, [Question("enpay1", "en", "enship2 enship1"), Question("enpay1", "en")],
              served.predict(batch, params={"lang": "en"}))

    def test_many_threads(self, project: Project, served: PyFuncModel) -> None:
        batch = questions(project)
        with ThreadPoolExecutor(8) as threads:
            for found in threads.map(lambda _: served.predict(pd.DataFrame(rows(batch))), range(8)):
                agree(project, batch, found)

    @pytest.mark.parametrize(("columns", "params", "message"), [
        ({"text": ["a", "b"], "lang": ["en", "ko"]}, None,
         r"^lang: expected one of en, fr, ru, found 'ko' in row 2; name one of them in the column "
         r"or the parameter `lang`$"),
        ({"text": ["a"]}, {"lang": "KO "}, "found 'KO ' in row 1"),
        ({"text": ["a", None], "lang": ["en", "en"]}, None,
         r"^text: expected text, found none in row 2; fill it in or leave the row out$"),
        ({"text": ["a", 3], "lang": ["en", "en"]}, None, "^text: expected text, found 3 in row 2"),
        ({"text": ["a", "b"], "lang": [["en"], "en"]}, None, "lang"),
        ({"text": ["a"], "lang": "en", "pair": pd.Series(["\ud83d"], dtype=object)}, None,
         "^pair: expected text, found half of a surrogate pair"),
        ({"lang": ["en"]}, None, r"missing inputs \['text'\]")])
    def test_refused(self, served: PyFuncModel, columns: dict[str, Any],
                     params: dict[str, str] | None, message: str) -> None:
        with pytest.raises(MlflowException, match=message) as refused:
            served.predict(pd.DataFrame(columns), params=params)
        assert refused.value.get_http_status_code() == 400


@pytest.fixture(scope="module")
def requests(served: PyFuncModel) -> TestClient:
    """What sends requests to the application that `mlflow models serve` runs."""
    return TestClient(scoring_server.init(served), raise_server_exceptions=False)


def records(*rows: Any, **others: Any) -> str:
    return json.dumps({"dataframe_records": rows, **others})


NINES = "9" * 5000
ROW = {"text": "a", "lang": "en"}


class TestRequests:
    @pytest.mark.parametrize(("body", "message"), [
        (records(ROW | {"text": "x \ud83d"}), "can't encode character '\\ud83d' in position 2"),
        (records(ROW | {"pair": "\udc00"}), "can't encode character '\\udc00' in position 0"),
        (json.dumps({"inputs": {"text": ["x \ud83d"]}, "params": {"lang": "en"}}),
         "'\\ud83d'"),
        (records({"text": "x"}, params={"lang": "\ud83d"}),
         "lang: expected one of en, fr, ru, found '\\ud83d' in row 1; name one of them in the "
         "column or the parameter `lang`"),
        (b'{"dataframe_records": [{"text": "\xe9"}]}', "UnicodeDecodeError('utf-8'"),
        (records(ROW, ROW | {"text": 3}), "text: expected text, found 3 in row 2; quote it"),
        (records(ROW | {"text": True}), "text: expected text, found True in row 1; quote it"),
        (records(ROW | {"text": None}), "text: expected text, found none in row 1; fill it in or "
                                        "leave the row out"),
        (records(ROW, {"lang": "en"}), "text: expected text, found none in row 2; fill it in or "
                                       "leave the row out"),
        (records(ROW | {"text": [["a"]]}), "text: expected text, found [['a']] in row 1; quote it"),
        (records(ROW | {"text": {"a": 1}}), "text: expected text, found {'a': 1} in row 1; quote"),
        (records(ROW | {"lang": 3}), "lang: expected text, found 3 in row 1; quote it"),
        (records(ROW | {"lang": "ko"}), "lang: expected one of en, fr, ru, found 'ko' in row 1; "
                                        "name one of them in the column or the parameter `lang`"),
        (records({"text": "a"}, params=["en"]), "Parameters must be a dictionary. Got type 'list'"),
        (records({"text": "a"}, params={"lang": 3}), "'lang': string"),
        (records({"lang": "en"}), "Model is missing inputs ['text']."),
        (records(), "Model is missing inputs ['text']."),
        (records(None), "Model is missing inputs ['text']."),
        ('{"inputs": ["a"]}', "Model is missing inputs ['text']."),
        ('{"inputs": {"text": ["a", "b"], "lang": ["en"]}}', "same length"),
        (f'{{"dataframe_records": [{{"text": {NINES}, "lang": "en"}}]}}', "4300 digits"),
        (f'{{"inputs": {{"text": [{NINES}]}}}}', "4300 digits"),
        (records(ROW | {"text": 10**29}), "expected text, found 100000000000000000000000000000 in"),
        ('{"dataframe_records": [{"text": 1e999, "lang": "en"}]}', "expected text, found inf in"),
        ("[" * 100_000, "found: too many brackets inside each other; correct it"),
        ('{"dataframe_records": ' + "[" * 100_000 + "]" * 100_000 + "}", "found: too many"),
        (records(*[{"text": "a", "lang": "ko"}] * (serving.ROWS + 1)),
         "rows: expected at most 10000 in a request, found 10001; send them in several"),
        ("{}", "a JSON dictionary with exactly one of the input fields"),
        ("", "Ensure that input is a valid JSON formatted string"),
    ], ids=lambda value: str(value)[:60])
    def test_a_bad_one_is_one_line(self, requests: TestClient, body: str | bytes, message: str
                                   ) -> None:
        answer = requests.post("/invocations", content=body,
                               headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        found = answer.json()
        assert message in found["message"]
        assert len(found["message"]) <= serving.LENGTH
        assert "\n" not in found["message"]
        assert "stack_trace" not in found

    def test_a_long_one(self, requests: TestClient) -> None:
        body = records(ROW | {"text": "a" * 2**22})
        answer = requests.post("/invocations", content=body,
                               headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["message"] == ("request: expected at most 4194304 bytes, found "
                                            f"{len(body)}; send its rows in several")

    @pytest.mark.parametrize(("kind", "body", "status", "message"), [
        ("", records(ROW), 415, "only supports the following content types"),
        ("text/html", "a", 415, "only supports the following content types"),
        ("text/csv", 'text,lang\n"a\n', 400, "Error tokenizing data"),
        ("application/vnd.apache.parquet", "a", 400, "Failed to parse input"),
    ])
    def test_other_forms(self, requests: TestClient, kind: str, body: str, status: int, message: str
                         ) -> None:
        answer = requests.post("/invocations", content=body,
                               headers={"Content-Type": kind} if kind else {})
        assert answer.status_code == status
        assert message in answer.text
        assert "stack_trace" not in answer.text

    @pytest.mark.parametrize("body", [
        records(ROW | {"text": "\ud83d\ude00"}), records(ROW | {"text": "", "other": [1]}),
        records(ROW | {"text": "a\0b"}), records(ROW, params=None), records(ROW | {"pair": None}),
        '{"instances": [{"text": "Error: a", "lang": "en"}]}'])
    def test_a_good_one(self, requests: TestClient, body: str) -> None:
        answer = requests.post("/invocations", content=body,
                               headers={"Content-Type": "application/json"})
        assert answer.status_code == 200
        assert len(answer.json()["predictions"]) == 1

    def test_a_table_may_have_any_number_of_rows(self, served: PyFuncModel) -> None:
        table = pd.DataFrame({"text": ["a"] * (serving.ROWS + 1), "lang": "ko"})
        with pytest.raises(MlflowException, match=r"^lang: expected one of .*, found 'ko'"):
            served.predict(table)


def test_one_language_needs_no_name(project: Project) -> None:
    from amtss.inference.mlflow_model import Served

    model = Served()
    model.load_context(mlflow.pyfunc.PythonModelContext(
        {"student": str(project.layout.student)}, None))
    model.predictor.languages = ["en"]
    model.predictor.recogniser = None
    agree(project, [Question("enpay1", "en")],
          model.predict(None, pd.DataFrame({"text": ["enpay1"]})))


@pytest.fixture(scope="module")
def light(project: Project) -> str:
    """A version of the same student that onnxruntime answers for."""
    project.set(serving={"runtime": "onnx", "min_accuracy": 0.999})
    version, _ = register.register(project.params, project.layout)
    return f"models:/{versions.name(project.params)}/{version.number}"


@pytest.mark.slow
def test_onnx_without_torch(project: Project, light: str) -> None:
    batch = questions(project)
    done = subprocess.run(
        [sys.executable, "-c", BLOCKING + LOADING, light, json.dumps(rows(batch))],
        capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[0])
    assert {each["label"] for each in found} == {None}  # its own `min_accuracy`
    agree(project, batch, [each | {"label": each["best"]} for each in found])


BLOCKING = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "onnx"):
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
"""
LOADING = """
import json, sys
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(model.predict(pd.DataFrame(json.loads(sys.argv[2])))))
import amtss
print(amtss.__file__)
"""


@pytest.mark.slow
class TestElsewhere:
    def test_answers_with_its_own_code(self, project: Project, uri: str, tmp_path: Path) -> None:
        batch = questions(project)[:6]
        # -S and the path again: libraries are found, but nothing that is installed as editable.
        done = subprocess.run(
            [sys.executable, "-S", "-c", LOADING, uri, json.dumps(rows(batch))], cwd=tmp_path,
            capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")})
        found, module = done.stdout.splitlines()
        agree(project, batch, json.loads(found))
        assert module.endswith("/code/amtss/__init__.py")

    def test_the_server(self, server: int, project: Project) -> None:
        batch = questions(project)
        status, reply = post(server, {"dataframe_records": rows(batch)})
        assert status == 200
        agree(project, batch, reply["predictions"])
        for code in LANGUAGES:
            texts = [each.text for each in batch[:5]]
            status, reply = post(server, {"inputs": {"text": texts}, "params": {"lang": code}})
            assert status == 200
            agree(project, [Question(text, code) for text in texts], reply["predictions"])

    @pytest.mark.parametrize(("body", "message"), [
        ({"dataframe_records": [{"text": "a", "lang": "ko"}]},
         "lang: expected one of en, fr, ru, found 'ko' in row 1; name one of them in the column or "
         "the parameter `lang`"),
        ({"inputs": {"text": ["a"]}, "params": {"lang": "ko"}}, "found 'ko' in row 1"),
        ({"dataframe_records": [{"text": None, "lang": "en"}]},
         "text: expected text, found none in row 1; fill it in or leave the row out"),
        ({"dataframe_split": {"columns": ["text", "lang"], "data": [["a", "en"], [None, "en"]]}},
         "text: expected text, found none in row 2"),
        ({"dataframe_records": [{"lang": "en"}]}, "text"),
        ({"dataframe_records": [{"text": 3, "lang": "en"}]}, "text"),
        ({"texts": ["a"]}, "dataframe_split"),
        ("[" * 100_000, "too many brackets inside each other"),
        (f'{{"inputs": {{"text": [{NINES}]}}}}', "4300 digits")],
        ids=lambda value: str(value)[:60])
    def test_the_server_refuses(self, server: int, body: Any, message: str) -> None:
        status, reply = post(server, body)
        assert status == 400
        assert message in reply["message"]


@pytest.fixture(scope="module")
def server(project: Project, uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of `mlflow models serve`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with open(log, "w") as out:
        started = subprocess.Popen(
            [Path(sys.executable).parent / "mlflow", "models", "serve", "-m", uri,
             "--env-manager", "local", "--port", str(port)], stdout=out, stderr=out,
            start_new_session=True, env=os.environ | {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
    try:
        _wait(port, log)
        yield port
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def _wait(port: int, log: Path) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    pytest.fail(f"the server does not answer: {log.read_text()}")


def post(port: int, body: Any) -> tuple[int, Any]:
    """Status and JSON of the answer."""
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST", "/invocations",
                           body if isinstance(body, str) else json.dumps(body),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.load(answer)

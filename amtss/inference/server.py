"""A server for an ONNX export, without torch, transformers and MLflow: what an image runs.

    python -m amtss.inference.server FOLDER --host 0.0.0.0 --port 8080

It takes requests and gives answers as `mlflow models serve` does.
"""

import argparse
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import shorten
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from amtss.errors import AmtssError, DataError
from amtss.inference import jsonl
from amtss.inference.answers import answer
from amtss.inference.limits import BYTES, LENGTH, ROWS
from amtss.inference.onnx_predictor import OnnxPredictor

EXAMPLE = '{"dataframe_records": [{"text": "..."}], "params": {"min_accuracy": 0.95}}'


class TooLongError(DataError):
    """A request of more bytes than are read."""


def application(folder: Path) -> Starlette:
    """`POST /invocations` predicts, `GET /health` answers while the process does.

    Raises:
        AmtssError: there is no export in `folder`, or it is altered.
    """
    predictor = OnnxPredictor(folder)

    async def invocations(request: Request) -> JSONResponse:
        body = await _body(request)
        return JSONResponse({"predictions": await run_in_threadpool(predict, predictor, body)})

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"languages": predictor.languages, "labels": predictor.labels})

    return Starlette(
        routes=[Route("/invocations", invocations, methods=["POST"]), Route("/health", health)],
        exception_handlers={TooLongError: _refuse(413), DataError: _refuse(400),
                            AmtssError: _refuse(500)})


async def _body(request: Request) -> bytes:
    """The request's body.

    Raises:
        TooLongError: it is longer than `BYTES`; the rest of it is not read.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BYTES:
            raise TooLongError(f"request: expected at most {BYTES} bytes, found more; send its "
                               "rows in several")
    return bytes(body)


def predict(predictor: OnnxPredictor, body: bytes) -> list[dict[str, Any]]:
    """An answer for each row of a request, in order.

    Raises:
        DataError: the request is not as it should be; the message names the row.
    """
    rows, params = _read(body)
    min_accuracy = params.get("min_accuracy") or None
    if not isinstance(min_accuracy, int | float | None):
        raise DataError("min_accuracy: expected a share, found something else; write 0.95 for 95%")
    asked = [jsonl.question(row, f"row {number}", params.get("lang"), None)
             for number, row in enumerate(rows, start=1)]
    list(jsonl.answerable(asked, predictor, jsonl.stop))
    predictions = predictor.predict(
        [question.text for question in asked], [question.language for question in asked],
        [question.pair for question in asked], min_accuracy)
    return [answer(prediction, min_accuracy is not None) for prediction in predictions]


def _read(body: bytes) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of a request and its parameters, `lang` and `min_accuracy`."""
    try:
        request = jsonl.parse(body.decode("utf-8"), "request")
    except UnicodeDecodeError:
        raise DataError("request: expected UTF-8, found other bytes; encode it so") from None
    rows, params = request.get("dataframe_records"), request.get("params") or {}
    if (not isinstance(rows, list) or not isinstance(params, dict)
            or not all(isinstance(row, dict) for row in rows)):
        raise DataError(f"request: expected JSON such as {EXAMPLE}, found something else; correct "
                        "it")
    if not isinstance(params.get("lang"), str | None):
        raise DataError("params: expected text for `lang`, found something else; correct it")
    if len(rows) > ROWS:
        raise DataError(f"rows: expected at most {ROWS} in a request, found {len(rows)}; send them "
                        "in several")
    return rows, params


def _refuse(status: int) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    """Answer an error with one line, in MLflow's form."""
    async def refuse(request: Request, error: Exception) -> JSONResponse:
        code = "INTERNAL_ERROR" if status == 500 else "BAD_REQUEST"
        message = shorten(str(error), LENGTH, placeholder=" ...")
        return JSONResponse({"error_code": code, "message": message}, status)

    return refuse


def main() -> None:
    """Serve an export until the process is told to end."""
    parser = argparse.ArgumentParser(description="Serve an ONNX export of amtss over HTTP.")
    parser.add_argument("folder", type=Path, help="what `amtss export --format onnx` has written")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    asked = parser.parse_args()
    try:
        served = application(asked.folder)
    except AmtssError as error:
        raise SystemExit(f"amtss: {error}") from None
    uvicorn.run(served, host=asked.host, port=asked.port, log_level="warning", access_log=False,
                server_header=False)


if __name__ == "__main__":
    main()

"""What MLflow's scoring server answers to requests that are not as they should be: one line and a
status from 400 to 499."""

import json
import sys
from collections.abc import Callable
from contextvars import ContextVar
from textwrap import shorten
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, ErrorCode

from amtss.errors import first_line
from amtss.inference.limits import BYTES, LENGTH, ROWS

SERVER = "mlflow.pyfunc.scoring_server"
_serving = ContextVar("_serving", default=False)
"""Whether it is the server that asks for predictions, and not a program with a table."""


def guard() -> None:
    """Refuse bad requests in one line, if this process is MLflow's scoring server.

    The server itself answers 500 to some of them (deep JSON, numbers of thousands of digits, no
    Content-Type), takes any length, and shows tracebacks and whole requests in its errors.
    """
    server: Any = sys.modules.get(SERVER)
    if server is not None and not hasattr(server.invocations, "guarded"):
        server.invocations = _guarded(server.invocations, server.InvocationsResponse)


def too_many(rows: int) -> str | None:
    """The error of a request of so many rows; None if it has no more than the server answers."""
    if not _serving.get() or rows <= ROWS:
        return None
    return f"rows: expected at most {ROWS} in a request, found {rows}; send them in several"


def _guarded(invocations: Callable[..., Any], response: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(data: bytes, content_type: str | None, *others: Any) -> Any:
        if len(data) > BYTES:
            message = (f"request: expected at most {BYTES} bytes, found {len(data)}; send its rows "
                       "in several")
            return response(json.dumps({"error_code": "BAD_REQUEST", "message": message}), 413,
                            "application/json")
        serving = _serving.set(True)
        try:
            return invocations(data, content_type or "none", *others)
        except MlflowException as error:
            raise MlflowException(_one_line(error.message), ErrorCode.Value(error.error_code)
                                  ) from None
        except RecursionError:
            raise _refused("too many brackets inside each other") from None
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise _refused(first_line(error)) from None
        finally:
            _serving.reset(serving)

    guarded.guarded = True  # type: ignore[attr-defined]
    return guarded


def _refused(found: str) -> MlflowException:
    return MlflowException(_one_line(
        "request: expected JSON such as {\"dataframe_records\": [{\"text\": \"...\", \"lang\": "
        f"\"...\"}}]}}, found: {found}; correct it"), BAD_REQUEST)


def _one_line(message: str) -> str:
    """A message without the request that MLflow puts before it, or behind it, and not too long: it
    shows the whole request in some."""
    for mark in ("\nError: ", "'. Error: "):
        message = message.partition(mark)[2] or message
    return shorten(message.partition("\nInput: ")[0], LENGTH, placeholder=" ...")

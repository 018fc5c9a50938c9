"""The student as MLflow serves it: a model from code, which MLflow runs to load a version."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from textwrap import shorten
from threading import Lock
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from amtss.errors import AmtssError, DataError
from amtss.inference import serving
from amtss.inference.answers import answer
from amtss.inference.load import load_folder
from amtss.inference.predictor import AUTO


class Served(PythonModel):
    """Predictions for texts of any mix of languages, as `amtss predict` gives them."""

    def load_context(self, context: PythonModelContext) -> None:
        onnx = context.artifacts.get("onnx")
        self.predictor = load_folder(Path(onnx or context.artifacts["student"]))
        # The server calls from many threads, which PytorchPredictor does not allow.
        self.one_at_a_time: AbstractContextManager[Any] = nullcontext() if onnx else Lock()
        serving.guard()

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame,
                params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """A record per row, in order: label, score, the probabilities of all labels, and `lang`
        with `lang_probability` where the language was not given. With `min_accuracy`, `best` is the
        most probable label, and `label` is None where that is not sure enough.

        Args:
            model_input: column `text`, and optionally `pair` and `lang`.
            params: `lang` is the language of rows that name none, by default recognised text by
                text. `min_accuracy` is by default that of `serving` in params.yaml; 0 answers all.

        Raises:
            MlflowException: a text is missing or none, a language is not served, or a server is
                asked too much at once (HTTP 400); or the model is damaged (HTTP 500).
        """
        if message := serving.too_many(len(model_input)):
            raise _refused(message)
        texts = _column(model_input, "text")
        if None in texts:
            raise _refused(f"text: expected text, found none in row {texts.index(None) + 1}; fill "
                           "it in or leave the row out")
        pairs = _column(model_input, "pair")
        params = params or {}
        languages = self._languages(_column(model_input, "lang"), params.get("lang"))
        min_accuracy = params.get("min_accuracy") or None
        try:
            with self.one_at_a_time:
                predictions = self.predictor.predict(texts, languages, pairs, min_accuracy)
        except DataError as error:
            raise _refused(str(error)) from None
        except AmtssError as error:
            raise MlflowException(str(error), INTERNAL_ERROR) from None
        return [answer(prediction, min_accuracy is not None) for prediction in predictions]

    def _languages(self, column: list[str | None], default: str | None) -> list[str]:
        served = self.predictor.languages
        languages = [language or default or AUTO for language in column]
        for row, language in enumerate(languages, start=1):
            if language not in served and (language != AUTO or not self.predictor.recognises):
                found = "none" if language == AUTO else shorten(ascii(language), 80)
                raise _refused(f"lang: expected one of {', '.join(served)}, found {found} in row "
                               f"{row}; name one of them in the column or the parameter `lang`")
        return languages


def _column(table: pd.DataFrame, name: str) -> list[Any]:
    """Values of a column, text or None; all None where there is no such column."""
    values = [None if pd.api.types.is_scalar(value) and pd.isna(value) else value
              for value in table.get(name, [None] * len(table))]
    for row, value in enumerate(values, start=1):
        if not isinstance(value, str | None):
            raise _refused(f"{name}: expected text, found "
                           f"{shorten(repr(value), 80)} in row {row}; quote it")
    return values


def _refused(message: str) -> MlflowException:
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)


mlflow.models.set_model(Served())

"""Adaptive multi-teacher single-student distillation for multilingual text classification.

The public API is what `__all__` names. Everything else is private to this project and may change
with every commit. A name is imported when it is first used, so that `import amtss` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amtss.config.params import load_params
    from amtss.config.schema import Params
    from amtss.errors import AmtssError
    from amtss.inference.predictor import Prediction, Predictor
    from amtss.registry.load import load_student

__version__ = "0.1.0"
__all__ = ["AmtssError", "Params", "Prediction", "Predictor", "load_params", "load_student"]
_MODULES = {
    "AmtssError": "amtss.errors", "Params": "amtss.config.schema",
    "Prediction": "amtss.inference.predictor", "Predictor": "amtss.inference.predictor",
    "load_params": "amtss.config.params", "load_student": "amtss.registry.load"}
"""Public name -> the module that defines it."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

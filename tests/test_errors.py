import inspect

import pytest

from amtss import errors
from amtss.errors import AmtssError, first_line

CLASSES = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}


def test_the_docstring_draws_the_tree() -> None:
    assert set(CLASSES) == {"AmtssError", "ParamsError", "DataError", "CheckpointError",
                            "CacheError", "RegistryError", "AlteredError"}
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in CLASSES)


@pytest.mark.parametrize("name", ["ParamsError", "DataError", "CheckpointError", "CacheError",
                                  "RegistryError", "AlteredError"])
def test_every_error_is_an_amtss_error(name: str) -> None:
    assert issubclass(CLASSES[name], AmtssError)
    assert CLASSES[name].__doc__


@pytest.mark.parametrize(("message", "line"), [
    ("one", "one"), ("\n  one \ntwo\n", "one"), ("", "ValueError"), (" \n ", "ValueError")])
def test_first_line(message: str, line: str) -> None:
    assert first_line(ValueError(message)) == line
    assert first_line(ValueError()) == "ValueError"

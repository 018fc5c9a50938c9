import inspect

import pytest

from amtss import errors


def test_the_tree_is_what_the_docstring_draws() -> None:
    found = {name for name, each in vars(errors).items() if inspect.isclass(each)}
    assert found == {"AmtssError", "ParamsError", "DataError", "CheckpointError", "CacheError",
                     "RegistryError"}
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in found)


@pytest.mark.parametrize("name", ["ParamsError", "DataError", "CheckpointError", "CacheError",
                                  "RegistryError"])
def test_every_error_is_an_amtss_error(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.AmtssError)
    assert getattr(errors, name).__doc__

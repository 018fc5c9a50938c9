"""The project that a command works on."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amtss.config.schema import Params
    from amtss.paths import Layout


def load_project() -> "tuple[Params, Layout]":
    """The settings and the paths of the working directory's project."""
    from amtss.config import params  # imports pydantic, which `amtss --help` does without

    return params.load_project()

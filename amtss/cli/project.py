"""The project that a command works on, which no other process may write the same of meanwhile."""

from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import quote

from amtss import processes

if TYPE_CHECKING:
    from amtss.config.schema import Params
    from amtss.paths import Layout

locks = ExitStack()
"""Those that the running command holds; `main` lets go of them."""


def load_project(writes: str = "") -> "tuple[Params, Layout]":
    """The settings and the paths of the working directory's project.

    Args:
        writes: the stage whose results the command writes. If another process of this folder is
            writing them, as one that outlived its `dvc repro`, wait until it has ended.

    Raises:
        AmtssError: params.yaml is wrong, or the lock file cannot be written.
    """
    from amtss.config import params  # imports pydantic, which `amtss --help` does without

    loaded, layout = params.load_project()
    if writes and not processes.inside():  # whoever started torchrun holds the lock
        from amtss.files import refused
        from amtss.locks import alone

        path = layout.locks / quote(writes, safe="@")
        try:
            locks.enter_context(alone(path, f"{writes} is running in this folder already; waiting "
                                            "for its end"))
        except OSError as error:
            raise refused(path, error) from error
    return loaded, layout

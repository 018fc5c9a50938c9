"""The command line of a model's life: register, promote, roll back, export, onboard."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from amtss.config import Params
    from amtss.layout import Layout

app = typer.Typer()


def _project() -> "tuple[Params, Layout]":
    from amtss.layout import Layout
    from amtss.params import load

    layout = Layout(Path())
    return load(layout.params), layout


@app.command()
def register() -> None:
    """Make a version of the registered model from the evaluated student, alias `challenger`."""
    params, layout = _project()
    from amtss import registry

    version, new = registry.register(params, layout)
    print(f"{registry.name(params)} version {version.number}, "
          f"{'new' if new else 'registered before'}: {version.average:.2f} points of test accuracy "
          f"on average over {', '.join(version.languages)}; now {', '.join(version.aliases)}")

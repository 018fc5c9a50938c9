"""The command line of a model's life: register, promote, roll back, export, onboard."""

import typer

app = typer.Typer()

"""The command line: Typer only, no arithmetic and no logic of the stages."""

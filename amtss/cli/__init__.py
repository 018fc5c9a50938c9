"""The command line: Typer only. It loads settings, calls the package and prints."""

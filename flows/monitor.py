"""Flow `monitor`: whether new texts are still like the data that the champion was made for."""

from pathlib import Path

from prefect import flow

from flows import tasks, workspace
from flows.parameters import Files, Language, Overrides, Preset
from flows.workspace import OWN


@flow(name="monitor", flow_run_name="monitor {preset}")
def monitor(files: Files, preset: Preset = OWN,
            overrides: Overrides = {},  # noqa: B006 - never changed
            language: Language = "") -> None:
    """Compare the champion's answers to logs with those to held-out rows of its data. The run
    fails where a limit of the section `drift` is passed; its artifact `drift` says which.

    Raises:
        AmtssError: there are no such files.
        CommandError: a limit is passed, or the command failed.
    """
    with workspace.claimed(Path(), f"monitor-{preset}") as work:
        paths = work.matching(files)
        work.configure(preset, overrides)
        tasks.reproduce(work, "data")
        tasks.drift(work, paths, language)

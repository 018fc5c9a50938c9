"""Flow `onboard-language`: new languages, from data to champion."""

from pathlib import Path

from prefect import flow

from flows import pipeline, tasks, workspace
from flows.parameters import Concurrency, Languages, Overrides, Preset, Spread
from flows.workspace import OWN


@flow(name="onboard-language", flow_run_name="onboard {languages}")
def onboard_language(languages: Languages, preset: Preset = OWN,
                     overrides: Overrides = {},  # noqa: B006 - never changed
                     concurrency: Concurrency = None, spread: Spread = False) -> str:
    """Teach the champion new languages by Algorithm 1, register the result and promote it.

    Returns:
        The branch that has the run's params.yaml and dvc.lock.
    """
    with workspace.claimed(Path(), f"onboard-{preset}") as work:
        work.configure(preset, overrides)
        tasks.pin(work, languages)
        return pipeline.run(work, concurrency, spread, f"Onboard {', '.join(languages)}")

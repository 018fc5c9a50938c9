"""Flow `distill`: a preset, from its data to champion."""

from pathlib import Path

from prefect import flow

from flows import pipeline, workspace
from flows.parameters import Concurrency, Overrides, Preset, Spread


@flow(name="distill", flow_run_name="distill {preset}")
def distill(preset: Preset = "demo", overrides: Overrides = {},  # noqa: B006 - never changed
            concurrency: Concurrency = None, spread: Spread = False) -> str:
    """Run the whole pipeline with a preset, register the student and promote it if it passes.

    Returns:
        The branch that has the run's params.yaml and dvc.lock.
    """
    with workspace.claimed(Path(), preset) as work:
        work.configure(preset, overrides)
        return pipeline.run(work, concurrency, spread, f"Distil {preset}")

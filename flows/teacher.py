"""Flow `teacher`: one of another machine's run, in this machine's clone."""

import os
from pathlib import Path

from prefect import flow

from flows import pipeline, remote_teachers, workspace


@flow(name="teacher", flow_run_name="teacher {name}")
def teacher(name: str, reference: str) -> None:
    """Teach it, score by it, and hand both over by the DVC remote.

    Args:
        reference: where in git the run's params.yaml and dvc.lock are.
    """
    with workspace.taken(Path(), "teacher") as work:
        work.receive(reference)
        work.share(int(os.environ[remote_teachers.AT_ONCE]), alone=True)
        pipeline.visit(work, name)

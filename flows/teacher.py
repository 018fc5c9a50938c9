"""Flow `teacher`: one teacher of another machine's run, in this machine's clone."""

import os
from pathlib import Path

from prefect import flow

from flows import pipeline, remote_teachers, workspace


@flow(name="teacher", flow_run_name="teacher {name}")
def teacher(name: str, reference: str) -> None:
    """Fine-tune the teacher, compute its logits, and push both to the DVC remote.

    Args:
        reference: git reference of the run's params.yaml and dvc.lock.
    """
    with workspace.claimed(Path(), "teacher") as work:
        work.receive(reference)
        work.divide(int(os.environ[remote_teachers.AT_ONCE]), one=True)
        pipeline.teach_for_another(work, name)

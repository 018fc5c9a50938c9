"""Stage `teach@NAME`: make one teacher (section 2.1.1), of whatever kind it is."""

import shutil

from amtss import processes, records
from amtss.config.schema import Params
from amtss.data import corpus
from amtss.files import fingerprint, replacing, seal, write_json
from amtss.models import checkpoint
from amtss.paths import Layout
from amtss.teachers.kinds import kind_of
from amtss.teachers.task import Task
from amtss.teachers.trainer import EpochDone


def teach(params: Params, layout: Layout, name: str, on_epoch: EpochDone) -> None:
    """Write teacher `name`'s folder: its model and `teacher.json`.

    Killed at any moment and run again, it resumes from its last epoch and ends with the same bytes.

    Raises:
        AmtssError: an input is missing, altered or unfit.
    """
    labels = records.labels(layout)
    corpora = [corpus.load(layout, language) for language in params.taught_on(name)]
    taught = kind_of(params, name).teach(Task(params, layout, name, corpora, labels, on_epoch))
    if not processes.first():
        return
    with replacing(layout.teacher(name)) as folder:
        folder.mkdir()
        taught.save(folder)
        identity = checkpoint.fingerprint(folder)
        seal(folder)
        write_json(folder / "teacher.json", {
            "name": name, "kind": params.teachers[name].kind,
            "languages": params.taught_on(name), "labels": labels,
            "fingerprint": fingerprint(identity, taught.about.get("columns")),
            **taught.about})
    shutil.rmtree(layout.checkpoints(f"teach-{name}"), ignore_errors=True)

import subprocess
from pathlib import Path

import pytest
from support.project import Project

from amtss import experiments
from amtss.config.params import load_project
from amtss.errors import DataError


@pytest.fixture
def repository(project: Project) -> Project:
    """A project whose data nobody tracks."""
    subprocess.run(["git", "init", "-q"], cwd=project.root, check=True)
    return project


def track(*names: str) -> None:
    subprocess.run(["git", "add", *names], check=True)


def test_data_that_copies_would_lack_are_refused(repository: Project) -> None:
    with pytest.raises(DataError, match=r"^data: expected data that git or DVC tracks, because "
                       r"experiments run in copies of the project, found data/en/test\.jsonl and 5 "
                       r"more untracked; `git add data`, or for large files `dvc add data && git "
                       r"add data\.dvc`$"):
        experiments.check_committed(*load_project())
    track("data/fr")
    with pytest.raises(DataError, match=r"^data/en: .* and 2 more untracked; `git add data/en`"):
        experiments.check_committed(*load_project())


def test_data_that_git_or_dvc_tracks_are_not(repository: Project) -> None:
    track("data/fr")
    repository.write("data/en.dvc", "outs: []\n")
    track("data/en.dvc")
    experiments.check_committed(*load_project())


def test_corrections_are_data_too(repository: Project) -> None:
    track("data")
    path = load_project()[1].corrections("fr")
    repository.write(str(path), "split,id,key,old,new\n")
    with pytest.raises(DataError, match=r"^corrections: .* corrections/fr\.csv untracked; `git "):
        experiments.check_committed(*load_project())


def test_data_elsewhere_are_there_for_copies_too(repository: Project) -> None:
    elsewhere = repository.root.parent / f"{repository.root.name}-elsewhere"
    Path("data").rename(elsewhere)
    repository.params(lambda params: params["data"].update(path=str(elsewhere)))
    experiments.check_committed(*load_project())

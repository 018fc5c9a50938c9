import subprocess
from pathlib import Path

import pytest

from amtss import git
from amtss.errors import AmtssError

FILES = ("params.yaml", "dvc.lock")


def run(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, text=True,
                          capture_output=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with both files committed and one that is not."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@b")
    run(tmp_path, "init", "-q")
    for name in (*FILES, "other.txt"):
        (tmp_path / name).write_text("one\n")
    git.commit(tmp_path, FILES, "The first")
    return tmp_path


def test_outside_git(tmp_path: Path) -> None:
    assert not git.inside(tmp_path)
    assert git.head(tmp_path) == ""
    assert git.changed(tmp_path, FILES) == []
    git.commit(tmp_path, FILES, "nothing")
    assert not list(tmp_path.iterdir())


def test_before_the_first_commit(tmp_path: Path) -> None:
    run(tmp_path, "init", "-q")
    assert git.inside(tmp_path)
    assert git.head(tmp_path) == ""


def test_in_a_folder_of_a_repository(repository: Path) -> None:
    (repository / "below").mkdir()
    assert git.inside(repository / "below")
    assert git.head(repository / "below") == run(repository, "rev-parse", "HEAD")
    (repository / "below" / "params.yaml").write_text("one\n")
    assert git.changed(repository / "below", FILES) == ["params.yaml"]


def test_commits_these_files_alone(repository: Path) -> None:
    assert run(repository, "show", "--name-only", "--format=%s", "HEAD").split("\n") == [
        "The first", "", "dvc.lock", "params.yaml"]
    run(repository, "add", "other.txt")
    (repository / "params.yaml").write_text("two\n")
    git.commit(repository, FILES, "The second")
    assert run(repository, "show", "--name-only", "--format=%s", "HEAD").split("\n") == [
        "The second", "", "params.yaml"]
    assert run(repository, "status", "--porcelain") == "A  other.txt"


def test_without_changes_there_is_no_commit(repository: Path) -> None:
    before = git.head(repository)
    git.commit(repository, FILES, "The same")
    assert git.head(repository) == before


def test_a_refusal_is_one_line(repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho first >&2\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    (repository / "params.yaml").write_text("two\n")
    with pytest.raises(AmtssError, match=r"^git: expected to commit params\.yaml and dvc\.lock, "
                                         r"found: not today; fix that and run the same command "
                                         r"again$"):
        git.commit(repository, FILES, "refused")


@pytest.mark.parametrize(("edited", "changed"), [
    ((), []), (("params.yaml",), ["params.yaml"]), (("dvc.lock",), ["dvc.lock"]),
    (("dvc.lock", "params.yaml"), ["params.yaml", "dvc.lock"]), (("other.txt",), [])])
def test_changed_in_the_order_asked_for(repository: Path, edited: tuple[str, ...],
                                        changed: list[str]) -> None:
    for file in edited:
        (repository / file).write_text("two\n")
    assert git.changed(repository, FILES) == changed


@pytest.mark.parametrize("spoil", ["edit", "delete", "untrack", "ignore", "stage"])
def test_changed(repository: Path, spoil: str) -> None:
    assert git.changed(repository, FILES) == []
    lock = repository / "dvc.lock"
    if spoil == "edit":
        lock.write_text("two\n")
    elif spoil == "delete":
        lock.unlink()
    elif spoil == "stage":
        lock.write_text("two\n")
        run(repository, "add", "dvc.lock")
    else:
        run(repository, "rm", "-q", "--cached", "dvc.lock")
        (repository / ".gitignore").write_text("dvc.lock\n" * (spoil == "ignore"))
        run(repository, "commit", "-q", "-m", "less")
        run(repository, "config", "status.showUntrackedFiles", "no")
    assert git.changed(repository, FILES) == ["dvc.lock"]


def test_untracked_files(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    for name in ("mine/fr.csv", "mine/en.csv", "large/fr.csv"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("a\n")
    Path("large.dvc").write_text("outs: []\n")
    run(repository, "add", "mine/en.csv", "large.dvc")
    paths = [Path("mine/fr.csv"), repository / "mine/en.csv", Path("large/fr.csv"),
             Path("../elsewhere.csv")]
    assert git.untracked(Path(), paths) == [Path("mine/fr.csv")]
    run(repository, "rm", "-q", "--cached", "large.dvc")
    assert git.untracked(Path(), paths) == [Path("mine/fr.csv"), Path("large/fr.csv")]


def test_nothing_is_untracked_outside_git(tmp_path: Path) -> None:
    assert git.untracked(tmp_path, [tmp_path / "a.csv"]) == []


def test_refs(repository: Path) -> None:
    run(repository, "update-ref", "refs/exps/ab/cd/ablation-own-0", "HEAD")
    assert git.refs(repository, "refs/exps") == {"ablation-own-0"}
    assert git.refs(repository, "refs/none") == set()

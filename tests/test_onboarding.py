import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.pipeline import Pipeline
from support.project import LENIENT
from support.registered import database, unregistered
from support.training import LABELS, Project, table
from support.warm import BIN, programs

from amtss import onboarding
from amtss.config.params import Params, load_params
from amtss.config.schema import ProbeTeacher
from amtss.errors import AmtssError, CheckpointError, DataError, ParamsError, RegistryError
from amtss.onboarding import Request
from amtss.paths import Layout
from amtss.registry import register, versions
from amtss.registry.versions import CHAMPION

pytestmark = pytest.mark.slow
ROWS = {"train": 12, "validation": 6, "test": 6}


def write_source(project: Project, code: str, labels: tuple[str, ...] = LABELS) -> None:
    """A language's JSONL files, where params.yaml looks for them."""
    for split, rows in ROWS.items():
        path = project.layout.root / "data" / code / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        made = table(code, split, rows).to_pylist()
        path.write_text("".join(json.dumps(
            {"text": row["text"], "label": labels[LABELS.index(row["label"])]}) + "\n"
            for row in made))


def without_labels(project: Project, rows: int = 40) -> Project:
    """Korean has logs alone."""
    shutil.rmtree(project.layout.root / "data" / "ko")
    path = project.layout.root / "data" / "ko" / "logs.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps({"text": f"{number} won"}) + "\n"
                            for number in range(rows)))
    project.set(data={"splits": {"unlabelled": "logs"}})
    return project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with an evaluated student and rows in Korean, in a registry without versions."""
    made = unregistered(tmp_path / "project", monkeypatch, data={
        "path": str(tmp_path / "project" / "data"), "files": "{language}/{split}.jsonl"})
    write_source(made, "ko")
    monkeypatch.chdir(made.layout.root)
    return made


@pytest.fixture
def champion(project: Project) -> Project:
    """The same with its student as champion."""
    version, _ = register.register(project.params, project.layout)
    versions.point(project.params, project.layout, CHAMPION, version.number)
    return project


def prepared(project: Project, *codes: str, **asked: Any) -> Params:
    return onboarding.prepare(project.layout, Request(codes, **asked))


class TestPrepare:
    def test_pins_the_champion(self, champion: Project) -> None:
        made = prepared(champion, "ko", changes=("continuation.max_epochs=3",))
        assert load_params(champion.layout.params) == made
        assert made.onboarding is not None
        version = versions.find(made, champion.layout, CHAMPION)
        assert (made.onboarding.version, made.onboarding.fingerprint) == (
            version.number, version.fingerprint)
        assert made.languages == (*version.languages, "ko")
        assert made.continuation.max_epochs == 3
        assert made.taught_on("multilingual") == version.languages

    def test_or_the_version_that_is_named(self, champion: Project) -> None:
        versions.point(champion.params, champion.layout, CHAMPION, None)
        made = prepared(champion, "ko", version=1)
        assert made.onboarding is not None
        assert made.onboarding.version == 1

    def test_where_the_data_is_and_what_the_teacher_starts_from(self, champion: Project) -> None:
        shutil.move("data/ko", "data/korean")
        Path("some/folder").mkdir(parents=True)
        made = prepared(champion, "ko", data="korean", teacher="some/folder")
        assert made.data.configs == {"ko": "korean"}
        assert made.teachers["ko"].checkpoint == "some/folder"

    def test_a_linear_teacher(self, champion: Project) -> None:
        made = prepared(champion, "ko", teacher="linear")
        assert made.teachers["ko"].kind == "linear"
        assert made.taught_on("ko") == made.scored_by("ko") == ("ko",)

    def test_a_probe_and_a_teacher_that_is_taught_already(self, champion: Project) -> None:
        Path("some/encoder").mkdir(parents=True)
        made = prepared(champion, "ko", teacher="probe:some/encoder", changes=(
            'teachers.ko.prefix="query: "', "teachers.multilingual.scores=[en, fr, ru, ko]"))
        probe = made.teachers["ko"]
        assert isinstance(probe, ProbeTeacher)
        assert (probe.checkpoint, probe.prefix) == ("some/encoder", "query: ")
        assert "ko" in made.scored_by("multilingual")
        assert "ko" not in made.taught_on("multilingual")

    def test_without_labels_teachers_of_others_score_it(self, champion: Project) -> None:
        made = prepared(without_labels(champion), "ko")
        assert set(made.teachers) == {"en", "fr", "ru", "multilingual"}
        assert made.scored_by("multilingual") == ("en", "fr", "ru", "ko")
        assert made.taught_on("multilingual") == ("en", "fr", "ru")

    def test_or_a_new_one_does(self, champion: Project) -> None:
        Path("some/encoder").mkdir(parents=True)
        made = prepared(without_labels(champion), "ko", teacher="probe:some/encoder")
        assert made.taught_on("ko") == ("en", "fr", "ru")
        assert made.scored_by("ko") == ("en", "fr", "ru", "ko")

    def test_goes_on_from_where_it_was(self, champion: Project) -> None:
        asked = {"changes": ("continuation.max_epochs=3",)}
        first = prepared(champion, "ko", **asked)
        text = champion.layout.params.read_bytes()
        assert prepared(champion, "ko", **asked) == first
        assert champion.layout.params.read_bytes() == text

    def test_not_with_other_settings(self, champion: Project) -> None:
        prepared(champion, "ko")
        with pytest.raises(ParamsError, match="expected the settings that this onboarding started"):
            prepared(champion, "ko", changes=("continuation.max_epochs=3",))




def gone(project: Project) -> None:
    """Take the registered student's files away."""
    for path in Path(database().removeprefix("sqlite:///")).parent.rglob("model.safetensors"):
        if project.student == path.read_bytes():
            path.unlink()


NOTHING: Callable[[Project], Any] = lambda project: None  # noqa: E731
CASES: dict[str, tuple[Callable[[Project], Any], dict[str, Any], type[AmtssError], str]] = {
    "there already": (NOTHING, {"languages": ("fr",)}, ParamsError,
                      "expected a language that version 1 of .* does not serve, found 'fr'"),
    "no code": (NOTHING, {"languages": ("../../x",)}, ParamsError,
                r"--lang: expected a language code .*, found '\.\./\.\./x'"),
    "no code either": (NOTHING, {"languages": ("KO ",)}, ParamsError,
                       "--lang: expected a language code .*, found 'KO '"),
    "twice": (NOTHING, {"languages": ("ko", "ko")}, ParamsError,
              "--lang: expected each language once, found ko ko"),
    "one folder for two": (NOTHING, {"languages": ("ko", "pl"), "data": "x"}, ParamsError,
                           "--data: expected one --lang with it, found 2"),
    "no data": (NOTHING, {"languages": ("pl",)}, DataError,
                r"pl/train\.jsonl: expected pl's split 'train', found no file"),
    "other labels": (lambda project: write_source(project, "ko", ("chat", "pay", "gift")), {},
                     DataError, "ko/train: expected the labels of version 1, .*, found gift"),
    "a teacher's name": (
        lambda project: project.set(teachers={"ko": {"languages": ["en"]}}), {}, ParamsError,
        r"teachers\.ko: expected no teacher of that name, found one of en"),
    "no such version": (NOTHING, {"version": 7}, RegistryError, "expected version 7, found 1"),
    "no champion": (lambda project: versions.point(project.params, project.layout, CHAMPION, None),
                    {}, RegistryError, "expected alias champion, found"),
    "unknown key": (NOTHING, {"changes": ("continuation.epochs=3",)}, ParamsError,
                    r"continuation\.epochs: unknown key"),
    "wrong type": (NOTHING, {"changes": ("continuation.max_epochs=many",)}, ParamsError,
                   r"continuation\.max_epochs: expected a valid integer, found 'many'"),
    "labels in another order": (
        NOTHING, {"changes": (f"data.labels=[{', '.join(reversed(LABELS))}]",)}, ParamsError,
        "data.labels: expected those of version 1 in their order, "),
    "longer texts": (NOTHING, {"changes": ("student.max_length=99",)}, ParamsError,
                     r"student\.max_length: expected at most 16, .* found 99; lower it"),
    "another project": (NOTHING, {"changes": ("project=other",)}, ParamsError,
                        "--set: project: expected no change of it"),
    "another origin": (NOTHING, {"changes": ("onboarding.version=2",)}, ParamsError,
                       "--set: onboarding: expected no change of it"),
    "other languages": (
        NOTHING, {"changes": ("languages=[en, fr, ru, ko, pl]",
                              "teachers.multilingual.scores=[all]")}, ParamsError,
        "--set: languages: expected no change of it"),
    "no such checkpoint": (NOTHING, {"teacher": "none/such"}, CheckpointError,
                           "^none/such: expected a folder or a copy in the hub's cache"),
    "no such encoder": (NOTHING, {"teacher": "probe:none/such"}, CheckpointError,
                        "^none/such: expected a folder or a copy in the hub's cache"),
    "no labels and no teacher of several languages": (
        lambda project: without_labels(project).set(distil={"teachers": ["en", "fr", "ru"]}), {},
        ParamsError, "--lang ko: expected, as there are no labels, a teacher that can score texts "
                     "of a language untaught .*, found en, fr, ru; add one by --teacher probe:"),
    "no labels and a linear teacher": (
        lambda project: without_labels(project), {"teacher": "linear"}, ParamsError,
        "--teacher: expected, as there are no labels, one that can score a language untaught"),
    "no labels and few texts": (
        lambda project: without_labels(project, rows=19), {}, DataError,
        "ko/unlabelled: expected at least 20 different texts"),
    "a language left out": (
        lambda project: project.set(
            languages=["en", "fr", "ru", "pl"], teachers={"pl": {"languages": ["pl"]}}), {},
        ParamsError, "--lang: expected pl too, which params.yaml has"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_changes_nothing(champion: Project, case: str) -> None:
    change, asked, error, message = CASES[case]
    change(champion)
    before = champion.layout.params.read_bytes()
    named = versions.aliases(champion.params, champion.layout)
    with pytest.raises(error, match=message) as raised:
        onboarding.prepare(champion.layout, Request(**{"languages": ("ko",)} | asked))
    assert "\n" not in str(raised.value)
    assert champion.layout.params.read_bytes() == before
    assert versions.aliases(champion.params, champion.layout) == named
    assert len(versions.versions(champion.params, champion.layout)) == 1


def test_files_of_the_version_are_gone(champion: Project) -> None:
    before = champion.layout.params.read_bytes()
    gone(champion)
    with pytest.raises(RegistryError, match=r"expected the student .* of version 1, found"):
        prepared(champion, "ko")
    assert champion.layout.params.read_bytes() == before


def test_nothing_is_registered(project: Project) -> None:
    with pytest.raises(RegistryError, match="expected alias champion, found none"):
        prepared(project, "ko")


def test_the_registry_is_unreachable(champion: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    before = champion.layout.params.read_bytes()
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:9"):
        prepared(champion, "ko")
    assert champion.layout.params.read_bytes() == before


class Life:
    """A real project under git and DVC, whose first student is champion of its own registry."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline, self.root = pipeline, pipeline.root
        pipeline.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{self.root}/mlflow.db"

    def copy(self, root: Path) -> "Life":
        """Another checkout with its own copy of the registry's tables."""
        return Life(self.pipeline.copy(root))

    def start(self, *codes: str, path: Path | None = None) -> "subprocess.Popen[str]":
        command = [str((path or BIN) / "amtss"), "onboard-language",
                   *(word for code in codes for word in ("--lang", code))]
        with open(self.root / "log", "a", encoding="utf-8") as log:
            return subprocess.Popen(command, cwd=self.root, env=self.pipeline.environment,
                                    text=True, stdout=log, stderr=log, start_new_session=True)

    def onboard(self, *codes: str, path: Path | None = None) -> str:
        """Onboard to the end; what DVC and amtss have said."""
        before = len(self.log)
        assert self.start(*codes, path=path or programs()).wait() == 0, self.log[before:]
        return self.log[before:]

    @property
    def log(self) -> str:
        path = self.root / "log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def kill_when(self, done: Callable[[], bool], *codes: str) -> None:
        """Start, and kill -9 all of it as soon as `done`."""
        process = self.start(*codes)
        while not done():
            assert process.poll() is None, self.log
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        with suppress(ProcessLookupError):  # for DVC an orphan that is not reaped yet is running
            while True:
                os.killpg(process.pid, 0)
                time.sleep(0.01)

    def state(self) -> dict[str, Any]:
        """What an onboarding leaves behind."""
        read = load_params(self.root / "params.yaml")
        made = Layout(self.root)
        os.environ["MLFLOW_TRACKING_URI"] = self.pipeline.environment["MLFLOW_TRACKING_URI"]
        return {"params": made.params.read_bytes(),
                "student": (made.student / "model.safetensors").read_bytes(),
                "versions": [(each.number, each.fingerprint, each.parent, each.languages)
                             for each in versions.versions(read, made)],
                "aliases": versions.aliases(read, made)}


@pytest.fixture(scope="module")
def life(reproduced: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Life:
    made = Life(reproduced.copy(tmp_path_factory.mktemp("life") / "project"))
    made.pipeline.set(made.pipeline.params | {
        "promotion": {"max_average_drop": 100.0, "max_language_drop": 100.0, **LENIENT},
        "continuation": {"max_epochs": 3, "vocabulary": 300, "batch_size": 8}})
    made.pipeline.repro()
    made.pipeline.commit()
    for command in ("register", "promote"):
        made.pipeline.run("amtss", command)
    return made


@pytest.mark.timeout(900)
def test_a_chain_of_onboardings(life: Life, tmp_path: Path,
                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # state() sets it
    undisturbed = life.copy(tmp_path / "undisturbed")
    said = undisturbed.onboard("es", path=BIN)
    ran = set(re.findall(r"Running stage '([^']+)'", said))
    assert {"data@es", "validate@es", "teach@es", "score@es", "fetch", "distil"} <= ran
    assert not {each for each in ran if re.search("@(en|fr|ko|multilingual)$", each)}
    assert "Table 4" in said
    assert "Before and after" in said
    assert "Table 5" in said
    state = undisturbed.state()
    assert [(number, parent) for number, _, parent, _ in state["versions"]] == [(1, None), (2, 1)]
    assert state["aliases"] == {"champion": 2, "previous": 1}
    made = load_params(undisturbed.root / "params.yaml")
    assert made.newcomers == ("es",)
    version = versions.find(made, Layout(undisturbed.root), 2)
    assert version.commit == undisturbed.pipeline.run("git", "rev-parse", "HEAD").strip()
    assert undisturbed.pipeline.run("git", "status", "--porcelain", "params.yaml",
                                    "dvc.lock") == ""

    # killed at every step, and run again
    killed, layout = life.copy(tmp_path / "killed"), Layout(tmp_path / "killed")
    before = layout.params.read_bytes()
    for done in (lambda: layout.params.read_bytes() != before,
                 lambda: layout.corpus("es").exists(),
                 lambda: layout.checkpoints("teach-es").exists(),
                 lambda: layout.logits("es", "es").exists(),
                 lambda: (layout.registered / "student").exists(),
                 lambda: (layout.checkpoints("distil") / "epoch-0001").exists(),
                 lambda: "Running stage 'evaluate'" in killed.log,
                 lambda: "Table 4" in killed.log,
                 lambda: "version 2, new" in killed.log):
        killed.kill_when(done, "es")
    killed.onboard("es")
    assert killed.state() == state

    # a second one goes on from the first
    undisturbed.onboard("pl")
    chain = undisturbed.state()
    assert [(number, parent, codes) for number, _, parent, codes in chain["versions"]] == [
        (1, None, ("en", "fr", "ko")), (2, 1, ("en", "fr", "ko", "es")),
        (3, 2, ("en", "fr", "ko", "es", "pl"))]
    assert chain["aliases"] == {"champion": 3, "previous": 2}

    # and each can be made again from its commit
    for number, commit in ((2, "HEAD~1"), (3, "HEAD")):
        again = undisturbed.copy(tmp_path / f"again-{number}")
        again.pipeline.run("git", "checkout", "-q", "--force", commit)
        again.pipeline.run("dvc", "checkout", "--force")
        shutil.rmtree(again.root / "artifacts" / "student")
        again.pipeline.run("dvc", "repro", "--force", "--downstream", "fetch")
        assert again.state()["student"] == (state if number == 2 else chain)["student"]

"""`hub.check` turns every answer of the hub into one line, and its cache is read."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from huggingface_hub import constants
from support import hub
from support.project import Project

from amtss import hub as own

pytestmark = pytest.mark.slow
ROBERTA, COMMIT = "FacebookAI/roberta-large", hub.pinned()["FacebookAI/roberta-large"]
ASK = """
import json, sys
from amtss import hub
from amtss.errors import AmtssError
for kind, name, revision in json.load(sys.stdin):
    try:
        print(hub.check(kind, name, revision))
    except AmtssError as error:
        print(type(error).__name__, error)
"""
LOAD = """
import sys
from transformers import AutoModelForSequenceClassification
from amtss.models import checkpoint
from amtss.tokenization import tokenizer
for name in sys.argv[1:4]:
    print(type(checkpoint.load(AutoModelForSequenceClassification, name, "", head=False,
                               revision="main")).__name__,
          type(tokenizer.load_tokenizer(name)).__name__)
"""


class Case(NamedTuple):
    """A model or data set, and the line that `check` must print for it."""

    kind: str
    name: str
    revision: str | None
    says: str


ANSWERED = [
    Case("model", ROBERTA, None, "None"),
    Case("model", ROBERTA, COMMIT, "None"),
    Case("dataset", "facebook/xnli", "main", "None"),
    Case("model", str(Path(__file__).parent), "none", "None"),  # a folder
    Case("model", "nobody/nothing", None,
         "CheckpointError nobody/nothing: expected a folder or a model of the hub, found neither, "
         "or a private one; correct the checkpoint in params.yaml, or `hf auth login`"),
    Case("dataset", "not a name", None,
         "DataError not a name: expected a folder or a dataset of the hub, found neither, or a "
         "private one; correct data.hub in params.yaml, or `hf auth login`"),
    Case("model", ROBERTA, "v9",
         f"CheckpointError {ROBERTA}: expected the revision 'v9', found no branch, tag or commit "
         rf"of that name; take one of http://127\.0\.0\.1:\d+/{ROBERTA}/commits/main"),
    Case("dataset", "facebook/xnli", "0" * 40,
         "DataError facebook/xnli: expected the revision '0{40}', found no branch, .*commits/main"),
    Case("model", "gated/asked", None,
         "CheckpointError gated/asked: expected a model that you may read, found a gated one; ask "
         r"for access at http://127\.0\.0\.1:\d+/gated/asked, then `hf auth login` or set HF_TO.*"),
    Case("dataset", "gated/refused", "main",
         "DataError gated/refused: expected a dataset that you may read, found a gated one; ask "
         "for access at .*/datasets/gated/refused, then `hf auth login` or set HF_TOKEN"),
    Case("model", "token/wrong", None,
         "CheckpointError token/wrong: expected a copy in the hub's cache or an answer from .*, "
         "found neither: .*401 .*; fix the network or the token, or name a local folder in .*"),
    Case("dataset", "down/now", "main",
         "DataError down/now: expected a copy of revision 'main' in the hub's cache or an answer "
         "from .*, found neither: .*503 .*; fix the network or the token, or name a local .*"),
]
SILENT = [
    Case("model", ROBERTA, COMMIT,
         f"CheckpointError {ROBERTA}: expected a copy of revision '{COMMIT}' in the hub's cache or "
         r"an answer from http://127\.0\.0\.1:9, found neither: .*Connection refused; fix the .*"),
    Case("dataset", "facebook/xnli", None,
         "DataError facebook/xnli: expected a copy in the hub's cache or an answer from .*"),
]
OFFLINE = [
    Case("model", ROBERTA, None,
         f"CheckpointError {ROBERTA}: expected a folder or a copy in the hub's cache, found "
         "neither, and HF_HUB_OFFLINE is set; unset it, or correct the checkpoint in params.yaml"),
    Case("dataset", "facebook/xnli", "v9", "DataError facebook/xnli: .* revision 'v9' in .*"),
]


def ask(cases: list[Case], **environment: str) -> list[str]:
    """What `check` prints for each case, in a process with this environment."""
    done = subprocess.run([sys.executable, "-c", ASK], input=json.dumps([c[:3] for c in cases]),
                          env=os.environ | environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize(("cases", "environment"), [
    (ANSWERED, {"HF_HUB_OFFLINE": "0"}),
    (SILENT, {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}),
    (OFFLINE, {"HF_HUB_OFFLINE": "1"})], ids=["answered", "silent", "offline"])
def test_every_answer_is_one_line(tmp_path: Path, cases: list[Case],
                                  environment: dict[str, str]) -> None:
    with hub.served() as address:
        lines = ask(cases, **{"HF_ENDPOINT": address, "HF_HUB_CACHE": str(tmp_path)} | environment)
    for case, line in zip(cases, lines, strict=True):
        assert re.fullmatch(case.says, line), line


def test_what_is_cached_needs_no_hub(tmp_path: Path) -> None:
    hub.fill(tmp_path)
    xnli = Case("dataset", "facebook/xnli", hub.pinned()["facebook/xnli"], "")
    for environment, cases in (
        ({"HF_HUB_OFFLINE": "1"}, [Case("model", ROBERTA, "main", ""), xnli]),
        ({"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"},
         [Case("model", ROBERTA, None, ""), xnli]),
    ):
        assert set(ask(cases, HF_HUB_CACHE=str(tmp_path), **environment)) == {"None"}


def test_where_a_models_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--FacebookAI--roberta-large" / "snapshots" / COMMIT
    assert own.folder(ROBERTA, COMMIT) is own.commit(ROBERTA, COMMIT) is None
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").touch()
    assert (own.folder(ROBERTA, COMMIT), own.commit(ROBERTA, COMMIT)) == (snapshot, COMMIT)
    assert (own.folder(str(snapshot), None), own.commit(str(snapshot), None)) == (snapshot, None)


def test_a_checkpoint_comes_from_the_hub(tmp_path: Path) -> None:
    with hub.served() as address:
        done = subprocess.run(
            [sys.executable, "-c", LOAD, *hub.pinned()], capture_output=True, text=True, check=True,
            env=os.environ | {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0",
                              "HF_HUB_CACHE": str(tmp_path)})
    assert done.stdout.split() == [
        "XLMRobertaForSequenceClassification", "XLMRobertaTokenizer",
        "RobertaForSequenceClassification", "RobertaTokenizer",
        "CamembertForSequenceClassification", "CamembertTokenizer"]


def test_a_data_set_comes_from_the_hub(project: Project) -> None:
    def xnli(params: dict[str, object]) -> None:
        params["data"] = hub.XNLI.data.model_dump(mode="json", exclude={"seed", "sample"})

    project.params(xnli)
    with hub.served() as address:
        environment = os.environ | {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0",
                                    "HF_HUB_CACHE": str(project.root / "hub")}
        assert project.amtss("data", "fr", env=environment) == (0, "", "")
    offline = os.environ | {"HF_HUB_CACHE": str(project.root / "hub")}
    assert project.amtss("data", "en", env=offline) == (0, "", "")

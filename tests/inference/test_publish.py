"""Exports are pushed by the real client to the tests' own hub, and loaded from there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from support import hub
from support.project import run
from support.training import begun, write_checkpoint

from amtss.errors import AmtssError
from amtss.files import seal
from amtss.inference import export, publish
from amtss.tokenization import tokenizer

pytestmark = pytest.mark.slow
PUSH = """
import sys
from pathlib import Path
from amtss.errors import AmtssError
from amtss.inference import publish
folder, *asked = sys.argv[1:]
for repository in asked:
    try:
        publish.check(repository)
        print(publish.push(Path(folder), repository, private=repository.endswith("private")))
    except AmtssError as error:
        print(error)
"""
LOAD = """
import sys
from transformers import AutoModelForSequenceClassification, AutoTokenizer
for name in sys.argv[1:]:
    model = AutoModelForSequenceClassification.from_pretrained(name)
    asked = AutoTokenizer.from_pretrained(name)("frpay1 frship2", return_tensors="pt")
    print(*model(**asked).logits[0].tolist())
"""


def child(code: str, *arguments: str, **environment: str) -> list[str]:
    """The lines that a process prints; the client reads its environment when it is imported."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True,
                          env=os.environ | {"HF_HUB_OFFLINE": "0"} | environment, check=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of transformers."""
    root = tmp_path_factory.mktemp("pushed")
    source = write_checkpoint(root / "checkpoint", "xlm-roberta")
    student = root / "student"
    begun(source, root / "start", ["en", "fr"], max_length=12).save_pretrained(student)
    tokenizer.load_tokenizer(str(source)).save_pretrained(student)
    seal(student)
    export.export(student, "fr", root / "fr", place="me/shop")
    return root / "fr"


def test_what_was_pushed_is_loaded_from_the_hub(exported: Path, tmp_path: Path) -> None:
    with hub.served() as address:
        there = {"HF_ENDPOINT": address, "HF_HUB_CACHE": str(tmp_path)}
        names = ["me/shop", "me/private", "me/shop"]
        assert child(PUSH, str(exported), *names, HF_TOKEN=hub.TOKEN, **there) == [
            f"{address}/{name}" for name in names]
        assert child(PUSH, str(exported), "large/shop", HF_TOKEN=hub.TOKEN,
                     HF_HUB_DISABLE_XET="1", **there) == [f"{address}/large/shop"]
        logits = child(LOAD, str(exported), "me/shop", "large/shop", **there)
        assert len(logits) == 3
        assert len(set(logits)) == 1
    card, = tmp_path.glob("models--me--shop/snapshots/*/config.json")
    assert card.read_bytes() == (exported / "config.json").read_bytes()
    assert 'model="me/shop"' in ModelCard.load(exported / "README.md").text


def test_what_the_hub_refuses_is_one_line(exported: Path, tmp_path: Path) -> None:
    with hub.served() as address:
        there = {"HF_ENDPOINT": address, "HF_HUB_CACHE": str(tmp_path), "HF_HOME": str(tmp_path)}
        lines = child(PUSH, str(exported), "readonly/shop", "public/private", HF_TOKEN=hub.TOKEN,
                      **there)
        lines += child(PUSH, str(exported), "me/shop", HF_TOKEN="hf_wrong", **there)
        lines += child(PUSH, str(exported), "me/shop", **there)
    closed = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": hub.TOKEN}
    lines += child(PUSH, str(exported), "me/shop", **closed)
    lines += child(PUSH, str(exported), "me/shop", HF_HUB_OFFLINE="1", HF_TOKEN=hub.TOKEN)
    expected = [
        "readonly/shop: expected the hub to take the export, found: 403 .*rights to create .*; "
        r"\S+/fr is written, so fix the token or the network, then run the same command again",
        "public/private: expected a private repository, found a public one; make it private on .*",
        "me/shop: expected the hub to take the export, found: 401 .*; .*",
        "me/shop: expected a token of the hub that may write there, found none; `hf auth login`, "
        "or set HF_TOKEN",
        r"me/shop: expected the hub to take the export, found: .*Connection refused; .*",
        "me/shop: expected to be able to ask the hub, found HF_HUB_OFFLINE set; unset it"]
    assert len(lines) == len(expected)
    for line, says in zip(lines, expected, strict=True):
        assert re.fullmatch(says, line), line


@pytest.mark.parametrize("name", ["shop", "me/", "me/a/b", "../etc/passwd", "me/sh op", "me/-x",
                                  "https://huggingface.co/me/shop", "me/é"])
def test_what_is_no_repository_is_refused_before_anything_is_written(
        name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AmtssError, match="expected OWNER/NAME"):
        publish.check(name)
    assert run("export", "--lang", "fr", "--push-to-hub", name) == 1
    assert capfd.readouterr().err.startswith("amtss: --push-to-hub: expected OWNER/NAME")
    assert not [*tmp_path.iterdir()]


def test_private_without_a_repository(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("export", "--lang", "fr", "--private") == 1
    assert "--private: expected --push-to-hub with it" in capfd.readouterr().err

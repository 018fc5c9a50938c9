import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.project import Project, run

from amtss.data import corpus
from amtss.errors import CheckpointError
from amtss.paths import Layout
from amtss.tokenization import encoding
from amtss.tokenization import tokenizer as tokenization

AGAIN = """
import sys
from pathlib import Path
from amtss.data import corpus
from amtss.paths import Layout
from amtss.tokenization.tokenizer import train_tokenizer
corpora = [corpus.load(Layout(Path(".")), code) for code in ("en", "fr")]
train_tokenizer(corpora, 300).save_pretrained("again")
"""


@pytest.fixture
def corpora(project: Project) -> list[corpus.Corpus]:
    for code in ("en", "fr"):
        assert run("data", code) == 0
    return [corpus.load(Layout(), code) for code in ("en", "fr")]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_training_is_deterministic(corpora: list[corpus.Corpus]) -> None:
    for name in ("one", "two"):
        tokenization.train_tokenizer(corpora, 300).save_pretrained(name)
    assert digests(Path("one")) == digests(Path("two"))


def test_training_is_the_same_in_another_process(corpora: list[corpus.Corpus]) -> None:
    tokenization.train_tokenizer(corpora, 300).save_pretrained("one")
    subprocess.run([sys.executable, "-c", AGAIN], check=True, capture_output=True)
    assert digests(Path("one")) == digests(Path("again"))


def test_the_form_is_xlm_r_s(corpora: list[corpus.Corpus]) -> None:
    tokenizer = tokenization.train_tokenizer(corpora, 300)
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.cls_token_id) == (1, 3, 0)
    assert len(tokenizer) <= 300
    one = tokenizer("where is", add_special_tokens=False)["input_ids"]
    two = tokenizer("bonjour", add_special_tokens=False)["input_ids"]
    assert tokenizer("where is")["input_ids"] == [0, *one, 2]
    assert tokenizer("where is", "bonjour")["input_ids"] == [0, *one, 2, 2, *two, 2]
    assert set(tokenizer("where is")) == {"input_ids", "attention_mask"}


def test_its_own_corpus_has_no_unknown_tokens(corpora: list[corpus.Corpus]) -> None:
    tokenizer = tokenization.train_tokenizer(corpora, 300)
    for texts in corpora:
        read = encoding.tokenise(tokenizer, texts["train"], 64)
        assert len(read) == len(texts["train"])
        assert tokenizer.unk_token_id not in np.concatenate(read.ids)
    assert tokenizer.unk_token_id in tokenizer("漢字")["input_ids"]


def test_case_and_width_are_normalised(corpora: list[corpus.Corpus]) -> None:
    tokenizer = tokenization.train_tokenizer(corpora, 300)
    assert tokenizer("HELLO ﬁ")["input_ids"] == tokenizer("hello fi")["input_ids"]


def test_texts_are_cut_at_max_length(corpora: list[corpus.Corpus]) -> None:
    tokenizer = tokenization.train_tokenizer(corpora, 300)
    read = encoding.tokenise(tokenizer, corpora[0]["test"], 8)
    assert read.lengths.max() == 8
    assert len(read) == len(corpora[0]["test"])


def test_what_is_written_can_be_read(corpora: list[corpus.Corpus]) -> None:
    tokenizer = tokenization.train_tokenizer(corpora, 300)
    tokenizer.save_pretrained("saved")
    read = tokenization.load_tokenizer("saved")
    assert read("où est", "hello")["input_ids"] == tokenizer("où est", "hello")["input_ids"]


def test_its_bytes_do_not_say_how_it_was_loaded(corpora: list[corpus.Corpus], tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """A student is known by its bytes: offline it has to be the same one."""
    from huggingface_hub import constants

    tokenization.train_tokenizer(corpora, 300).save_pretrained(tmp_path / "artifacts")
    for offline in (True, False):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        loaded = tokenization.load_tokenizer(str(tmp_path / "artifacts"))
        loaded.save_pretrained(tmp_path / str(offline))
    assert digests(tmp_path / "True") == digests(tmp_path / "False")
    config = json.loads((tmp_path / "True" / "tokenizer_config.json").read_text())
    assert not {"is_local", "local_files_only"} & set(config)


@pytest.mark.parametrize(("name", "match"), [
    ("artifacts/tokenizer", "artifacts/tokenizer: expected a tokenizer's folder, found none; run"),
    ("./nowhere", r"\./nowhere: expected a folder or a model of the hub, found .*; correct the"),
    ("nobody/nothing", "nobody/nothing: expected a folder or a copy in .*, or correct the chec"),
])
def test_no_tokenizer(project: Project, name: str, match: str) -> None:
    with pytest.raises(CheckpointError, match=match):
        tokenization.load_tokenizer(name)


def test_a_config_alone_is_no_tokenizer(project: Project) -> None:
    project.write("given/config.json", json.dumps({"model_type": "xlm-roberta"}))
    with pytest.raises(CheckpointError, match="given: expected a tokenizer, found"):
        tokenization.load_tokenizer("given")

"""Small projects with real corpora, real teachers and real files, for the tests of training."""

import json
import random
import shutil
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from amtss.config import yaml
from amtss.config.params import load_params
from amtss.config.schema import Params
from amtss.data import corpus
from amtss.distillation import algorithm1
from amtss.distillation import baseline as tiny
from amtss.evaluation import floor
from amtss.files import SEAL, read_json, seal, write_json
from amtss.logits import score as scoring
from amtss.models import checkpoint
from amtss.paths import SPLITS, Layout
from amtss.student import start
from amtss.teachers import teach as teaching
from support.shared import once

if TYPE_CHECKING:
    from amtss.distillation.lesson import Lesson
    from amtss.student.model import StudentModel

LABELS = ("chat", "pay", "ship")
LANGUAGES = ("en", "fr", "ru")
HANGUL = {ord(letter): 0xAC00 + 97 * index
          for index, letter in enumerate(string.ascii_lowercase + string.digits)}
"""Korean is written in a script that no other language has."""
ROWS = {"train": 48, "validation": 24, "test": 24}
SMALL = {"layers": 1, "width": 32, "heads": 2, "feed_forward": 64, "vocabulary": 300}


def table(code: str, split: str, rows: int, pairs: bool = False) -> pa.Table:
    """Texts of `code`: most words tell the label, some tell another one."""
    draw = random.Random(f"{code}-{split}")
    labels = [LABELS[index % len(LABELS)] for index in range(rows)]
    texts = []
    for label in labels:
        words = [f"{code}{label}{draw.randrange(4)}" for _ in range(draw.randint(1, 4))]
        words += [f"{code}{draw.choice(LABELS)}{draw.randrange(4)}"
                  for _ in range(draw.randint(0, 3))]
        draw.shuffle(words)
        text = " ".join(words)
        texts.append(text.translate(HANGUL) if code == "ko" else text)
    columns: dict[str, Any] = {"id": [f"{code}-{split}-{i}" for i in range(rows)], "text": texts}
    if pairs:
        columns["pair"] = [" ".join(reversed(text.split()[:2])) for text in texts]
    known = [None] * rows if split == "unlabelled" else labels
    return pa.table(columns | {"label": pa.array(known, pa.string())})


def write_corpus(layout: Layout, code: str, rows: Mapping[str, int] = ROWS,
                 pairs: bool = False, **changed: pa.Table) -> None:
    """`code`'s corpus; `changed` splits stand in for the generated ones."""
    tables = {split: table(code, split, rows[split], pairs) for split in SPLITS if split in rows}
    corpus.write(layout, code, tables | changed, LABELS)


def settings(**changed: Any) -> dict[str, Any]:
    """A params.yaml of three languages, three teachers of one language and one of all."""
    values: dict[str, Any] = {
        "project": "small", "languages": list(LANGUAGES),
        "data": {"source": "files"}, "validation": {"warn_truncated": 1.0},
        "teaching": {"epochs": 4, "patience": 4, "batch_size": 8, "learning_rate": 1.0e-2,
                     "max_length": 16, "precision": "fp32"},
        "teachers": {**{code: {"languages": [code], "architecture": SMALL} for code in LANGUAGES},
                     "multilingual": {"languages": ["all"], "architecture": SMALL}},
        "scoring": {"batch_size": 16, "precision": "fp32"},
        "student": {"architecture": SMALL, "max_length": 16},
        "distil": {"top_k": 2, "max_epochs": 5, "batch_size": 8, "learning_rate": 1.0e-2,
                   "precision": "fp32", "mixing": "arithmetic", "kd_weight": 0.5},
        "evaluation": {"bootstrap": 100}}
    return merged(values, changed)


def merged(into: dict[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """`into` with `changed` over it, key by key; None takes a key away."""
    result = dict(into)
    for key, value in changed.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


class Project:
    """A project's folder and its stages, called as the command line calls them."""

    def __init__(self, root: Path, **changed: Any) -> None:
        self.layout = Layout(root)
        self.settings = settings()
        self.set(**changed)

    def set(self, **changed: Any) -> Params:
        """Change params.yaml."""
        self.settings = merged(self.settings, changed)
        self.layout.root.mkdir(parents=True, exist_ok=True)
        self.layout.params.write_text(yaml.dump(self.settings))
        write_json(self.layout.gate_keys, {"labels": LABELS})
        return self.params

    @property
    def params(self) -> Params:
        return load_params(self.layout.params)

    def write(self, *codes: str, pairs: bool = False) -> "Project":
        """Corpora; Russian has chat logs without labels."""
        for code in codes or LANGUAGES:
            logs = {"unlabelled": 20} if code == "ru" and not pairs else {}
            write_corpus(self.layout, code, ROWS | logs, pairs)
        return self

    def teach(self, *names: str) -> list[tuple[int, dict[str, float]]]:
        """Fine-tune; what each epoch reported."""
        reported: list[tuple[int, dict[str, float]]] = []
        for name in names or tuple(self.params.teachers):
            teaching.teach(self.params, self.layout, name,
                           lambda epoch, figures: reported.append((epoch, figures)))
        return reported

    def score(self, *names: str) -> None:
        for name in names or tuple(self.params.teachers):
            scoring.score(self.params, self.layout, name)

    def floor(self) -> None:
        floor.teach(self.params, self.layout)

    def start(self) -> None:
        start.start(self.params, self.layout)

    def distil(self, **changed: Any) -> list[dict[str, Any]]:
        """Distil with `changed` settings of `distil`; its history."""
        self.set(distil=changed)
        algorithm1.distil(self.params, self.layout, lambda row: None)
        return self.history("distil")

    def baseline(self) -> list[dict[str, Any]]:
        tiny.baseline(self.params, self.layout, lambda row: None)
        return self.history("baseline")

    def register(self) -> None:
        """Lay the student where `amtss fetch` would."""
        shutil.rmtree(self.layout.registered, ignore_errors=True)
        shutil.copytree(self.layout.student, self.layout.registered / "student")
        seal(self.layout.registered)

    def onboard(self, *new: str, version: int = 1, **continuation: Any) -> None:
        """Set params.yaml to onboard `new` to the registered student."""
        folder = self.layout.registered / "student"
        old = read_json(folder / "config.json", dict[str, Any], "fetch", ours=False)["languages"]
        self.set(
            languages=[*old, *new], continuation=continuation,
            teachers={"multilingual": {"languages": list(LANGUAGES)},
                      **{code: {"languages": [code], "architecture": SMALL} for code in new}},
            onboarding={"version": version, "fingerprint": checkpoint.fingerprint(folder),
                        "languages": list(new)})

    def history(self, stage: str) -> list[dict[str, Any]]:
        text = (self.layout.training(stage) / "history.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def about(self, teacher: str) -> dict[str, Any]:
        """Its teacher.json."""
        return read_json(self.layout.teacher(teacher) / "teacher.json", dict[str, Any], "teach")

    @property
    def student(self) -> bytes:
        return (self.layout.student / "model.safetensors").read_bytes()

    def corpora(self) -> list[corpus.Corpus]:
        return [corpus.load(self.layout, code) for code in self.params.languages]

    def gold(self, code: str, split: str) -> NDArray[np.int64]:
        return corpus.load(self.layout, code).label_ids(split, LABELS)


def _scored(root: Path) -> None:
    """Corpora, teachers, logits and the student's tokenizer."""
    project = Project(root).write()
    project.teach()
    project.score()
    project.floor()
    project.start()


def _distilled(root: Path) -> None:
    """The same with a student and X-LM-Tiny."""
    project = scored(root)
    project.distil()
    project.baseline()


def scored(root: Path, **changed: Any) -> Project:
    """A copy in `root` of a project whose teachers have scored everything."""
    shutil.copytree(once("scored", _scored), root, dirs_exist_ok=True)
    return Project(root, **changed)


def distilled(root: Path, **changed: Any) -> Project:
    """A copy in `root` of a project with a student and X-LM-Tiny."""
    shutil.copytree(once("distilled", _distilled), root, dirs_exist_ok=True)
    return Project(root, **changed)


def _joined(root: Path) -> None:
    """A registered student, and teachers' logits for two languages it has not seen.

    Polish is written in the others' script.
    """
    project = scored(root)
    project.distil(max_epochs=16, top_k=3)
    project.register()
    project.onboard("ko", "pl")
    for code in ("ko", "pl"):
        write_corpus(project.layout, code, ROWS | {"train": 160})
    project.teach("ko", "pl")
    project.score("ko", "pl")


def onboarding(root: Path, *new: str, **continuation: Any) -> Project:
    """A copy in `root` of a project with a registered student, to onboard `new` (ko, pl) to it."""
    shutil.copytree(once("joined", _joined), root, dirs_exist_ok=True)
    project = Project(root)
    project.onboard(*new, **continuation)
    project.floor()
    project.start()
    return project


def prepared(project: Project, heads: Sequence[str] = LANGUAGES) -> "Lesson":
    """What a training begins with."""
    from amtss.distillation.lesson import prepare

    return prepare(project.params, project.layout, heads, project.params.pool, "distil")


def untimed(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a history without what no two runs share."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def rewrite_logits(project: Project, teacher: str, code: str, split: str,
                   values: NDArray[np.floating]) -> None:
    """Put `values` for one split into a cache file, as though the teacher had said so."""
    from amtss.logits import cache as logits_cache
    from amtss.logits.cache import Logits

    path = project.layout.logits(teacher, code)
    origin = logits_cache.origin_of(project.params, project.layout, teacher, code)
    splits = dict(logits_cache.read(path, origin, teacher))
    splits[split] = Logits(splits[split].keys, values.astype(np.float32))
    logits_cache.write(path, origin, splits)


KINDS = ("bert", "camembert", "roberta", "xlm-roberta")


def write_checkpoint(folder: Path, kind: str, *, labels: Sequence[str] | None = None,
                     layers: int = 2, width: int = 32, seed: int = 0, positions: int = 64,
                     texts: Sequence[str] = ()) -> Path:
    """A checkpoint as the hub has them: config.json, model.safetensors, the tokenizer's own files.

    Args:
        labels: of a classifier; None writes a masked language model, without a classifier's head.
    """
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForMaskedLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    folder.mkdir(parents=True)
    texts = texts or [text for code in LANGUAGES
                      for text in table(code, "train", 200)["text"].to_pylist()]
    write_json(folder / "config.json", {"model_type": kind})
    if kind == "bert":
        _word_pieces(folder, texts)
    elif kind == "roberta":
        _byte_pairs(folder, texts)
    else:
        _pieces(folder, texts)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=2, intermediate_size=2 * width,
        max_position_embeddings=positions + tokenizer.pad_token_id + 1,
        type_vocab_size=2 if kind == "bert" else 1, pad_token_id=tokenizer.pad_token_id)
    if labels is not None:
        config.update({"id2label": dict(enumerate(labels)),
                       "label2id": {label: i for i, label in enumerate(labels)}})
    torch.manual_seed(seed)
    make = AutoModelForMaskedLM if labels is None else AutoModelForSequenceClassification
    model = make.from_config(config)
    with torch.no_grad():  # as initialised, logits of all texts would be nearly the same
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "LayerNorm" not in name:
                parameter.mul_(8.0)
    model.save_pretrained(folder)
    return folder


def fill(folder: Path, value: float, ending: str) -> None:
    """Fill all tensors of a model's folder whose names end so with `value`, and seal it again."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    chosen = [name for name in tensors if name.endswith(ending)]
    assert chosen
    save_file(tensors | {name: np.full_like(tensors[name], value) for name in chosen}, path,
              metadata={"format": "pt"})
    if (folder / SEAL).exists():
        seal(folder)


def begun(source: Path, folder: Path, codes: Sequence[str], **changed: Any) -> "StudentModel":
    """A student of `codes` that starts with layers of the checkpoint `source`."""
    from amtss.config.schema import Architecture, Student
    from amtss.student import start
    from amtss.student.model import build_student
    from amtss.tokenization.tokenizer import load_tokenizer

    sizes = read_json(source / "config.json", dict[str, Any], "write_checkpoint", ours=False)
    given = Student(checkpoint=str(source), start="layers", architecture=Architecture(
        layers=changed.pop("layers", 2), width=sizes["hidden_size"], heads=2,
        feed_forward=2 * sizes["hidden_size"]), **changed)
    tokenizer = load_tokenizer(str(source))
    start.write_weights(given, str(source), np.arange(len(tokenizer)), tokenizer.pad_token_id,
                        folder)
    return build_student(given, list(codes), list(LABELS), len(tokenizer),
                         tokenizer.pad_token_id, folder)


def _word_pieces(folder: Path, texts: Sequence[str]) -> None:
    from tokenizers import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer()
    tokenizer.train_from_iterator(texts, vocab_size=300, show_progress=False)
    tokenizer.save_model(str(folder))
    write_json(folder / "tokenizer_config.json", {"do_lower_case": True})


def _byte_pairs(folder: Path, texts: Sequence[str]) -> None:
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts, vocab_size=300, show_progress=False,
                                  special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.save_model(str(folder))


def _pieces(folder: Path, texts: Sequence[str]) -> None:
    """sentencepiece.bpe.model, as XLM-R and CamemBERT bring it."""
    from sentencepiece import SentencePieceTrainer

    SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=300, hard_vocab_limit=False, split_by_unicode_script=False,
        split_by_number=False, minloglevel=2)
    (folder / "sentencepiece.bpe.vocab").unlink()


class StoppedError(Exception):
    """What a test stops a training with."""


@contextmanager
def stopping_after(epochs: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """An `on_epoch` that stops the training in this context after `epochs`."""
    def stop(row: dict[str, Any]) -> None:
        if row["epoch"] == epochs:
            raise StoppedError(f"after {epochs}")

    with pytest.raises(StoppedError, match="after"):
        yield stop


def gpt2(folder: Path) -> Path:
    """A decoder, whose tokenizer has no padding token."""
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    folder.mkdir(parents=True)
    write_json(folder / "config.json", {"model_type": "gpt2"})
    _byte_pairs(folder, table("en", "train", 200)["text"].to_pylist())
    tokenizer = AutoTokenizer.from_pretrained(folder, eos_token="</s>", bos_token="<s>",
                                              unk_token="<unk>", pad_token=None)
    tokenizer.save_pretrained(folder)
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2,
                               n_positions=64)).save_pretrained(folder)
    return folder

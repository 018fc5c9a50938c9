"""What every side of `training.py` works on: some rows of a project, its teachers, a new student.

Shapes: N examples, B of a batch, S tokens, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import Meter
from numpy.typing import NDArray
from torch import Tensor

from amtss import records
from amtss.config import yaml
from amtss.config.params import load_params
from amtss.config.schema import Params
from amtss.data import corpus
from amtss.data.corpus import Corpus
from amtss.distillation.examples import Examples, examples
from amtss.models import hardware
from amtss.paths import SPLITS, Layout
from amtss.student.model import StudentModel, build_student
from amtss.tokenization import encoding, tokens
from amtss.tokenization.tokenizer import load_tokenizer

TEACHING_BATCH = 128
"""Texts per batch when a peer's teacher computes its logits before the training."""


def cut(project: Path, folder: Path, rows: int, changes: dict[str, Any]) -> None:
    """Write a project with some rows of a finished one, with its teachers and tokenizer.

    Args:
        rows: training rows of a language, 0 for all; other splits are cut in proportion.
        changes: to `distil` in params.yaml.
    """
    source, target = Layout(project), Layout(folder)
    params = load_params(source.params)
    values = params.model_dump(mode="json")
    values["distil"] |= changes
    folder.mkdir(parents=True)
    target.params.write_text(yaml.dump(values), encoding="utf-8")
    target.artifacts.mkdir()
    for path in (source.gate_keys, source.tokenizer, source.teacher("")):
        (target.artifacts / path.name).symlink_to(path.resolve())
    for language in params.languages:
        whole = corpus.load(source, language)
        tables = {split: whole[split].drop_columns("key") for split in SPLITS
                  if split in whole.splits}
        share = rows / len(tables["train"]) if rows else 1.0
        corpus.write(target, language, {split: _drawn(table, share)
                                        for split, table in tables.items()}, whole.labels)


def _drawn(table: Any, share: float) -> Any:
    """A random share of the rows, in the table's order."""
    chosen = np.random.default_rng(0).permutation(len(table))[:round(share * len(table))]
    return table.take(np.sort(chosen))


@dataclass(frozen=True)
class Task:
    """One job: from a project's texts and teachers to a trained student."""

    root: Path
    meter: Meter
    epochs: list[tuple[float, float]] = field(default_factory=list)
    """At each epoch's end: CPU-seconds so far without validation, and validation accuracy."""

    @cached_property
    def params(self) -> Params:
        return load_params(self.layout.params)

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    @property
    def languages(self) -> list[str]:
        return list(self.params.languages)

    @cached_property
    def labels(self) -> list[str]:
        return records.labels(self.layout)

    @cached_property
    def corpora(self) -> list[Corpus]:
        return [corpus.load(self.layout, language) for language in self.languages]

    @cached_property
    def tokenizer(self) -> Any:
        return load_tokenizer(str(self.layout.tokenizer))

    def examples(self, split: str) -> Examples:
        """A split of all languages as the student reads it, one language after the other."""
        cache = encoding.Cache(self.layout.tokens(), self.tokenizer, self.params.student.max_length)
        return examples(cache, self.corpora, (split,), self.labels)

    def student(self) -> StudentModel:
        """A new student, with the same weights on every side."""
        torch.manual_seed(self.params.distil.seed)
        pretrained = self.params.student.start != "random"
        return build_student(self.params.student, self.languages, self.labels,
                             len(self.tokenizer), self.tokenizer.pad_token_id,
                             self.layout.start if pretrained else None)

    def validate(self, model: StudentModel, validation: Examples) -> None:
        """Measure the model on the validation rows and add an epoch."""
        with self.meter.part("validation"):
            right = self.right(model, validation)
        self.reached(self.average(right, validation))

    def right(self, model: StudentModel, data: Examples) -> NDArray[np.bool_]:
        """Which examples the model labels correctly. *Shape:* (N,)"""
        right = np.empty(len(data.labels), dtype=bool)
        precision = hardware.resolve(self.params.distil.precision)
        model.eval()
        with torch.inference_mode():
            for rows in tokens.batches(data.tokens.lengths, 256):
                ids, mask = data.tokens.padded(rows, self.tokenizer.pad_token_id)
                with hardware.autocast(precision):
                    logits = model(torch.from_numpy(ids), torch.from_numpy(mask),
                                   torch.from_numpy(data.language[rows]))
                right[rows] = logits.argmax(dim=-1).numpy() == data.labels[rows]
        model.train()
        return right

    def average(self, right: NDArray[np.bool_], data: Examples) -> float:
        """Accuracy in percent, the mean over languages."""
        return 100 * float(np.mean([right[data.of(index)].mean()
                                    for index in range(len(self.languages))]))

    def reached(self, accuracy: float) -> None:
        """Add an epoch with its accuracy."""
        self.epochs.append((self.meter.so_far(), accuracy))


def groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters with weight decay, and biases and layer norms without it."""
    return [{"params": [p for p in model.parameters() if (p.dim() > 1) == decayed],
             "weight_decay": weight_decay * decayed} for decayed in (True, False)]


Encoded = dict[str, list[list[int]]]


def encoded(tokenizer: Any, texts: Corpus, length: int) -> Encoded:
    """A language's training rows as a tokenizer returns them."""
    table = texts["train"]
    pairs = table["pair"].to_pylist() if "pair" in table.column_names else None
    return dict(tokenizer(table["text"].to_pylist(), pairs, truncation=True, max_length=length))


@dataclass(frozen=True)
class Taught:
    """A teacher and the training rows of its language, in its own tokens."""

    model: Any
    tokenizer: Any
    columns: list[int]
    encoded: Encoded

    def padded(self, rows: Sequence[int] | NDArray[np.int64], to: int | None = None) -> Any:
        """Inputs for the rows, padded to `to` tokens or else to the longest row. *Shape:* (B, S)"""
        columns = {key: [column[row] for row in rows] for key, column in self.encoded.items()}
        return dict(self.tokenizer.pad(columns, padding="max_length" if to else True,
                                       max_length=to, return_tensors="pt"))

    def logits(self, batch: dict[str, Tensor]) -> Tensor:
        """*Shape:* (B, C)"""
        logits: Tensor = self.model(**batch).logits
        return logits[:, self.columns]


def teachers(task: Task) -> dict[str, Taught]:
    """Language -> its own teacher, loaded as users of transformers load it."""
    from transformers import AutoModelForSequenceClassification

    teachers = {}
    for name, texts in zip(task.params.pool, task.corpora, strict=True):
        folder = task.layout.teacher(name)
        tokenizer = load_tokenizer(str(folder))
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        columns = records.teacher(task.layout, name)["columns"]
        length = task.params.training_of(name).max_length
        teachers[texts.language] = Taught(model, tokenizer, columns,
                                          encoded(tokenizer, texts, length))
    return teachers


def captured(taught: Taught) -> Tensor:
    """Logits of all training rows, in batches of similar length. *Shape:* (N, C)"""
    lengths = np.array([len(ids) for ids in taught.encoded["input_ids"]])
    logits = torch.empty(len(lengths), len(taught.columns))
    with torch.no_grad():
        for rows in tokens.batches(lengths, TEACHING_BATCH):
            logits[torch.from_numpy(rows)] = taught.logits(taught.padded(rows))
    return logits

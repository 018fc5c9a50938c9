"""A new language's head and a new language's embeddings, added to a registered student.

Shapes: V tokens before, V' after, N texts, C classes, d the encoder's width.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from amtss.errors import CheckpointError
from amtss.models import checkpoint
from amtss.student.model import StudentConfig, StudentModel
from amtss.tokenization.tokens import Tokens

SEEN = 5
"""Texts that a token must stand in for its labels to be known."""
NEAREST = 10
"""Tokens whose embeddings a new one starts from."""
TABLE = "word_embeddings.weight"
CHUNK = 256
"""New tokens compared with all old ones at once."""


def load(folder: Path, languages: Sequence[str], labels: Sequence[str],
         length: int) -> StudentModel:
    """The registered student of `languages`, that others are to be added to.

    Args:
        length: tokens of the longest text that it is to learn.

    Raises:
        CheckpointError: there is none, or one of other labels, other languages or shorter texts.
    """
    student = checkpoint.load(StudentModel, str(folder), "run `dvc repro -f fetch`")
    assert isinstance(student, StudentModel)
    _check(folder, "the labels", list((student.config.id2label or {}).values()), list(labels),
           "data.labels")
    _check(folder, "the languages", sorted(student.config.languages), sorted(languages),
           "languages or onboarding.languages")
    if length > student.config.max_tokens:
        raise CheckpointError(f"{folder}: expected a student of texts of {length} tokens, found "
                              f"{student.config.max_tokens}; lower student.max_length in "
                              "params.yaml")
    return student


def _check(folder: Path, what: str, found: list[str], expected: list[str], key: str) -> None:
    if found != expected:
        raise CheckpointError(f"{folder}: expected a student with {what} {', '.join(expected)}, "
                              f"found {', '.join(found)}; mend {key} in params.yaml")


def extend(student: StudentModel, languages: Sequence[str], tokens: int) -> StudentModel:
    """The same student with heads for `languages` and embeddings for `tokens` token ids or more.

    A new head starts as the mean of those there are. New embeddings are the mean embedding until
    `acquaint` knows better. Logits for the old languages stay.
    """
    embeddings = _embeddings(student)  # a checkpoint's may be more than its tokenizer's ids
    made = StudentModel(_config(student.config, languages, max(tokens, len(embeddings))))
    weights = student.state_dict()
    kept = {name: weights[name] for name in weights if not name.endswith(TABLE)}
    made.load_state_dict(kept, strict=False)
    heads = [student.heads[each] for each in student.config.languages]
    with torch.no_grad():
        _embeddings(made)[:] = embeddings.mean(dim=0)
        _embeddings(made)[: len(embeddings)] = embeddings
        for language in languages:
            if language not in student.config.languages:
                _average(made.heads[language], heads)
    return made


def _config(config: StudentConfig, languages: Sequence[str], tokens: int) -> StudentConfig:
    made = StudentConfig.from_dict(config.to_dict())
    made.languages = list(languages)
    made.encoder.vocab_size = tokens
    return made


def _embeddings(student: StudentModel) -> torch.Tensor:
    """*Shape:* (V, d)"""
    return cast(nn.Embedding, student.get_input_embeddings()).weight


def _average(head: nn.Module, heads: Sequence[nn.Module]) -> None:
    for name, parameter in head.named_parameters():
        parameter.copy_(torch.stack([each.get_parameter(name) for each in heads]).mean(dim=0))


def acquaint(student: StudentModel, known: int, tokens: Tokens, targets: NDArray[np.float32],
             new: NDArray[np.bool_]) -> None:
    """Give new tokens the embeddings of old ones that speak for the same labels.

    What a token speaks for: how much more often than other texts do those with it have each label,
    by the teachers' soft targets. A new token's embedding is the mean of the `NEAREST` old ones'.

    Args:
        known: token ids from there on are new.
        tokens: of all training texts.
        targets: their soft targets. *Shape:* (N, C)
        new: which texts are of new languages. *Shape:* (N,)
    """
    table = _embeddings(student)
    of_old, count = profiles(tokens, targets, ~new, len(table))
    of_new, _ = profiles(tokens, targets, new, len(table))
    familiar = np.flatnonzero(count[:known] >= SEEN)
    if not len(familiar):
        return
    old = of_old[familiar]
    for start in range(known, len(table), CHUNK):
        mine = of_new[start:start + CHUNK]
        distance = ((mine ** 2).sum(axis=1)[:, None] + (old ** 2).sum(axis=1) - 2 * mine @ old.T)
        near = np.argpartition(distance, min(NEAREST, len(old)) - 1, axis=1)[:, :NEAREST]
        share = np.exp(-(np.take_along_axis(distance, near, 1) - distance.min(axis=1)[:, None]) / 2)
        share /= share.sum(axis=1, keepdims=True)
        with torch.no_grad():
            rows = table[torch.from_numpy(familiar[near])]
            mixed = torch.einsum("tk,tkd->td", torch.from_numpy(share).to(rows.dtype), rows)
            table[start:start + CHUNK] = mixed


def profiles(tokens: Tokens, targets: NDArray[np.float32], rows: NDArray[np.bool_],
             vocabulary: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Per token: the log-ratio of each label's share in texts with it to its share in all of
    `rows`, smoothed by `SEEN` texts; and the number of those texts.

    *Shapes:* (V', C) and (V',)
    """
    mass, count = np.zeros((vocabulary, targets.shape[1])), np.zeros(vocabulary, dtype=np.int64)
    firsts = np.searchsorted(tokens.starts, tokens.bounds)
    for ids, (first, last) in zip(tokens.ids, pairwise(firsts), strict=True):
        text = np.repeat(np.arange(first, last), tokens.lengths[first:last])
        there = rows[text]
        pairs = np.unique(text[there] * np.int64(vocabulary) + ids[there])
        text, token = pairs // vocabulary, pairs % vocabulary
        np.add.at(mass, token, targets[text])
        np.add.at(count, token, 1)
    share = np.maximum(targets[rows].mean(axis=0, dtype=np.float64), 1e-6)
    return np.log((mass + SEEN * share) / (count[:, None] + SEEN) / share), count

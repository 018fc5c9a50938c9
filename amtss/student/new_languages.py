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
from safetensors.torch import load_file
from torch import nn

from amtss.errors import CheckpointError
from amtss.models import checkpoint
from amtss.student.model import StudentConfig, StudentModel
from amtss.tokenization.tokens import Tokens

SEEN = 5
"""Texts that must contain a token for its profile to count; also the smoothing of profiles."""
NEAREST = 10
"""Old tokens whose embeddings a new token's starts from."""
TABLE = "word_embeddings.weight"
CHUNK = 256
"""New tokens compared with all old ones at once."""


def load(folder: Path, languages: Sequence[str], labels: Sequence[str],
         length: int) -> StudentModel:
    """The registered student of `languages`, before new ones are added.

    Args:
        length: number of tokens of the longest text to learn.

    Raises:
        CheckpointError: there is none, or it has other labels, other languages or shorter texts.
    """
    student = checkpoint.load(StudentModel, str(folder), "run `dvc repro -f fetch`",
                              ours=True)
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
                              f"found {', '.join(found)}; correct {key} in params.yaml")


def extend(student: StudentModel, languages: Sequence[str], tokens: int) -> StudentModel:
    """The same student with heads for `languages` and embeddings for at least `tokens` token ids.

    A new head starts as the mean of the existing heads, a new embedding as the mean embedding
    (the next two functions improve on that). Logits for the old languages stay the same.
    """
    embeddings = _embeddings(student)  # a table may have more rows than its tokenizer has tokens
    extended = StudentModel(_config(student.config, languages, max(tokens, len(embeddings))))
    weights = student.state_dict()
    kept = {name: weights[name] for name in weights if not name.endswith(TABLE)}
    extended.load_state_dict(kept, strict=False)
    heads = [student.heads[language] for language in student.config.languages]
    with torch.no_grad():
        _embeddings(extended)[:] = embeddings.mean(dim=0)
        _embeddings(extended)[: len(embeddings)] = embeddings
        for language in languages:
            if language not in student.config.languages:
                _set_to_mean(extended.heads[language], heads)
    return extended


def _config(config: StudentConfig, languages: Sequence[str], tokens: int) -> StudentConfig:
    extended = StudentConfig.from_dict(config.to_dict())
    extended.languages = list(languages)
    extended.encoder.vocab_size = tokens
    return extended


def _embeddings(student: StudentModel) -> torch.Tensor:
    """*Shape:* (V, d)"""
    return cast(nn.Embedding, student.get_input_embeddings()).weight


def _set_to_mean(head: nn.Module, heads: Sequence[nn.Module]) -> None:
    for name, parameter in head.named_parameters():
        parameter.copy_(torch.stack([other.get_parameter(name) for other in heads]).mean(dim=0))


def begin_embeddings(student: StudentModel, known: int, folder: Path) -> None:
    """Set new tokens' embeddings to those that the stage `start` has written.

    Args:
        known: number of old tokens; ids from there on are new.
    """
    (rows,) = load_file(folder / "model.safetensors").values()
    with torch.no_grad():
        _embeddings(student)[known:known + len(rows)] = rows


def initialise_embeddings(student: StudentModel, known: int, tokens: Tokens,
                          targets: NDArray[np.float32], new: NDArray[np.bool_]) -> None:
    """Set new tokens' embeddings from those of old tokens that indicate the same labels.

    A new token's embedding is the mean of those of the `NEAREST` old tokens by distance d between
    their `profiles`, weighted by exp(-d^2 / 2).

    Args:
        known: number of old tokens; ids from there on are new.
        tokens: of all training texts.
        targets: their soft targets. *Shape:* (N, C)
        new: which texts are of new languages. *Shape:* (N,)
    """
    table = _embeddings(student)
    old_profiles, count = profiles(tokens, targets, ~new, len(table))
    new_profiles, _ = profiles(tokens, targets, new, len(table))
    familiar = np.flatnonzero(count[:known] >= SEEN)
    if not len(familiar):
        return
    old = old_profiles[familiar]
    for start in range(known, len(table), CHUNK):
        own = new_profiles[start:start + CHUNK]
        distance = ((own ** 2).sum(axis=1)[:, None] + (old ** 2).sum(axis=1) - 2 * own @ old.T)
        near = np.argpartition(distance, min(NEAREST, len(old)) - 1, axis=1)[:, :NEAREST]
        share = np.exp(-(np.take_along_axis(distance, near, 1) - distance.min(axis=1)[:, None]) / 2)
        share /= share.sum(axis=1, keepdims=True)
        with torch.no_grad():
            rows = table[torch.from_numpy(familiar[near])]
            mixed = torch.einsum("tk,tkd->td", torch.from_numpy(share).to(rows.dtype), rows)
            table[start:start + CHUNK] = mixed


def profiles(tokens: Tokens, targets: NDArray[np.float32], rows: NDArray[np.bool_],
             vocabulary: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What labels each token indicates, and how many texts contain it.

    A profile is the log-ratio of each label's share in texts with the token to its share in all
    texts of `rows`, smoothed by `SEEN` texts.

    Args:
        rows: the texts to count. *Shape:* (N,)
        vocabulary: number of token ids.

    Returns: *Shapes:* (V', C) and (V',)
    """
    mass, count = np.zeros((vocabulary, targets.shape[1])), np.zeros(vocabulary, dtype=np.int64)
    firsts = np.searchsorted(tokens.starts, tokens.bounds)
    for ids, (first, last) in zip(tokens.ids, pairwise(firsts), strict=True):
        text = np.repeat(np.arange(first, last), tokens.lengths[first:last])
        counted = rows[text]
        pairs = np.unique(text[counted] * np.int64(vocabulary) + ids[counted])
        text, token = pairs // vocabulary, pairs % vocabulary
        np.add.at(mass, token, targets[text])
        np.add.at(count, token, 1)
    share = np.maximum(targets[rows].mean(axis=0, dtype=np.float64), 1e-6)
    return np.log((mass + SEEN * share) / (count[:, None] + SEEN) / share), count

"""A tokenizer without the pieces that the project's texts have no use for.

A text whose pieces are all kept is split as before: what is kept is all that the best split could
do with, in the order and with the scores it had. A piece that is left out falls apart into smaller
ones, at worst its characters; these all stay, so that no text has an unknown token that had none.
"""

import json
from collections.abc import Callable, Sequence
from itertools import compress, islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import Trimming
from amtss.data.corpus import Corpus
from amtss.errors import CheckpointError
from amtss.student.spelling import Ngrams
from amtss.tokenization.tokenizer import rebuilt, training_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BATCH = 10_000
"""Texts tokenised at once."""


def trim(tokenizer: "PreTrainedTokenizerBase", corpora: Sequence[Corpus],
         settings: Trimming) -> tuple["PreTrainedTokenizerBase", NDArray[np.int64]]:
    """`tokenizer` with the tokens that `corpora` use or may come to use, and the ids that those
    have had.

    Raises:
        CheckpointError: it is of a kind whose pieces hang on each other.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = state["model"]["type"]
    if kind not in ("Unigram", "WordPiece"):
        raise CheckpointError(f"student: expected a Unigram or WordPiece tokenizer to trim, found "
                              f"{kind}; set student.vocabulary: full in params.yaml")
    pieces = cast(list[str], tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))
    counts = _counts(tokenizer, corpora)
    used = _used(counts, settings)
    keeps = used | _needed(pieces, tokenizer.pad_token_id or 0, state)
    if settings.at_least > keeps.sum():
        others = _others(pieces, counts > 0, used, keeps)
        keeps[others[:settings.at_least - keeps.sum()]] = True
    kept = np.flatnonzero(keeps)
    only = _with_only(state, kept, list(compress(pieces, keeps)))
    return rebuilt(tokenizer, only, len(tokenizer) - len(kept)), kept


def _counts(tokenizer: "PreTrainedTokenizerBase", corpora: Sequence[Corpus]
            ) -> NDArray[np.int64]:
    """How often each language's texts use a token. *Shape:* (L, V)"""
    counts = np.zeros((len(corpora), len(tokenizer)), dtype=np.int64)
    for count, corpus in zip(counts, corpora, strict=True):
        every = training_texts([corpus])
        while some := list(islice(every, BATCH)):
            ids = tokenizer(some, add_special_tokens=False)["input_ids"]
            count += np.bincount(np.concatenate(ids).astype(np.int64), minlength=len(tokenizer))
    return counts


def _used(counts: NDArray[np.int64], settings: Trimming) -> NDArray[np.bool_]:
    """The commonest tokens of each language that make up `coverage` of its texts, as far as they
    stand `min_count` times in all languages' together. *Shape:* (V,)
    """
    covering = np.zeros(counts.shape[1], dtype=np.bool_)
    for count in counts:
        order = np.argsort(-count, kind="stable")
        before = np.cumsum(count[order]) - count[order]
        covering[order[before < settings.coverage * count.sum()]] = True
    return np.asarray(covering & (counts.sum(axis=0) >= settings.min_count))


def _others(pieces: list[str], spoken: NDArray[np.bool_], used: NDArray[np.bool_],
            kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Ids beyond `kept` whose pieces have no character that `used` ones have not, the likeliest
    to come first: those that are common, as a tokenizer has its commonest pieces first (Zipf's
    law), and spelt more like the pieces that one of the languages has `spoken` (*shape:* (L, V))
    than like pieces of any language. *Shape:* (M,)
    """
    characters = set("".join(compress(pieces, used)))
    others = np.array([index for index in np.flatnonzero(~kept)
                       if characters.issuperset(pieces[index])], dtype=np.int64)
    of_any = Ngrams(pieces)
    of_one = [Ngrams(compress(pieces, each)) for each in spoken]
    like = np.array([max(each.score(pieces[index]) for each in of_one)
                     - of_any.score(pieces[index]) for index in others])
    return others[np.argsort(np.log(others + 1) - like, kind="stable")]


def _needed(pieces: list[str], pad: int, state: dict[str, Any]) -> NDArray[np.bool_]:
    """Tokens without which texts would have unknown ones, or be read in another way. *Shape:* (V,)
    """
    known, spelt = set(pieces), _spelling(state["model"])
    needed = np.array([spelt(piece) == [piece] or not known.issuperset(spelt(piece))
                       for piece in pieces])
    needed[[each["id"] for each in state["added_tokens"]]] = True
    # Positions begin behind the padding's id, so that it must stay where it is.
    needed[:pad + 1] = True
    if state["model"]["type"] == "Unigram":
        # What an unknown character costs hangs on the lowest score.
        needed[int(np.argmin([score for _, score in state["model"]["vocab"]]))] = True
        if state["model"].get("byte_fallback"):
            needed |= [piece.startswith("<0x") for piece in pieces]
    return needed


def _spelling(model: dict[str, Any]) -> Callable[[str], list[str]]:
    """What a piece falls apart into at worst: pieces of one character each."""
    if model["type"] == "Unigram":
        return list
    mark = model["continuing_subword_prefix"]

    def spelt(piece: str) -> list[str]:
        inner = piece.removeprefix(mark) or piece
        first = piece[:len(piece) - len(inner) + 1]
        return [first, *(mark + character for character in inner[1:])]

    return spelt


def _with_only(state: dict[str, Any], kept: NDArray[np.int64], pieces: list[str]
               ) -> dict[str, Any]:
    """`state` with the tokens `kept`, called `pieces`, and no others; an id is a place in it."""
    model, place = state["model"], {piece: index for index, piece in enumerate(pieces)}
    if model["type"] == "Unigram":
        # Tokens beyond the model's own have been added.
        scores = [score for _, score in model["vocab"]] + [0.0] * len(state["added_tokens"])
        own: dict[str, Any] = {"vocab": [(piece, scores[index])
                                         for piece, index in zip(pieces, kept, strict=True)],
                               "unk_id": place[model["vocab"][model["unk_id"]][0]]}
    else:
        own = {"vocab": place}
    added = [each | {"id": place[each["content"]]} for each in state["added_tokens"]]
    return state | {"model": model | own, "added_tokens": added, "truncation": None,
                    "padding": None, "post_processor": _numbered(state["post_processor"], place)}


def _numbered(processor: dict[str, Any], place: dict[str, int]) -> dict[str, Any]:
    """What puts special tokens around a text, with their new ids."""
    made = dict(processor)
    if processor["type"] == "TemplateProcessing":
        made["special_tokens"] = {
            name: each | {"ids": [place[token] for token in each["tokens"]]}
            for name, each in processor["special_tokens"].items()}
    for key in ("cls", "sep"):  # BertProcessing, RobertaProcessing
        if key in processor:
            token, _ = processor[key]
            made[key] = (token, place[token])
    return made

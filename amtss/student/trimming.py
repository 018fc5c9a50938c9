"""A tokenizer without the pieces that the project's texts do not use.

Kept pieces keep their order and their scores, so that a text whose pieces are all kept is split as
before. A removed piece is split into smaller ones, at worst into its characters. Unless settings
leave out those of foreign scripts, all characters are kept, so that no text gets an unknown token
that it did not have.
"""

import json
import unicodedata
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
"""Number of texts tokenised at once."""


def trim(tokenizer: "PreTrainedTokenizerBase", corpora: Sequence[Corpus],
         settings: Trimming) -> tuple["PreTrainedTokenizerBase", NDArray[np.int64]]:
    """`tokenizer` with only the tokens that `corpora` use or may use later, and the former ids of
    those tokens.

    Raises:
        CheckpointError: its pieces depend on each other, as in BPE.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = state["model"]["type"]
    if kind not in ("Unigram", "WordPiece"):
        raise CheckpointError(f"student: expected a Unigram or WordPiece tokenizer to trim, found "
                              f"{kind}; set student.vocabulary: full in params.yaml")
    pieces = cast(list[str], tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))
    counts = token_counts(tokenizer, corpora)
    used = _used(counts, settings)
    foreign = _foreign(pieces, used) & (settings.characters == "scripts")
    keep = used | _needed(pieces, foreign, tokenizer.pad_token_id or 0, state)
    if settings.at_least > keep.sum():
        likely = _likely(pieces, counts > 0, used, keep)
        keep[likely[:settings.at_least - keep.sum()]] = True
    kept = np.flatnonzero(keep)
    trimmed = _with_only(state, kept, list(compress(pieces, keep)))
    return rebuilt(tokenizer, trimmed, len(tokenizer) - len(kept)), kept


def token_counts(tokenizer: "PreTrainedTokenizerBase", corpora: Sequence[Corpus]
                 ) -> NDArray[np.int64]:
    """How often each language's training texts use each token. *Shape:* (L, V)"""
    counts = np.zeros((len(corpora), len(tokenizer)), dtype=np.int64)
    for count, corpus in zip(counts, corpora, strict=True):
        texts = training_texts([corpus])
        while batch := list(islice(texts, BATCH)):
            ids = tokenizer(batch, add_special_tokens=False)["input_ids"]
            count += np.bincount(np.concatenate(ids).astype(np.int64), minlength=len(tokenizer))
    return counts


def _used(counts: NDArray[np.int64], settings: Trimming) -> NDArray[np.bool_]:
    """The most frequent tokens of each language that make up `coverage` of its texts, if all texts
    together have them at least `min_count` times. *Shape:* (V,)
    """
    covering = np.zeros(counts.shape[1], dtype=np.bool_)
    for count in counts:
        order = np.argsort(-count, kind="stable")
        before = np.cumsum(count[order]) - count[order]
        covering[order[before < settings.coverage * count.sum()]] = True
    return np.asarray(covering & (counts.sum(axis=0) >= settings.min_count))


def _likely(pieces: list[str], occurs: NDArray[np.bool_], used: NDArray[np.bool_],
            kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Ids of tokens that are not kept, those that future texts will most likely use first.

    A token is likely if it is frequent, and if it is spelt more like the pieces of one of the
    project's languages than like the whole vocabulary's. A tokenizer has its most frequent pieces
    first, so the id stands for the frequency (Zipf's law). Pieces with a character that no `used`
    piece has are left out.

    Args:
        occurs: which tokens each language's texts have. *Shape:* (L, V)
        used: *Shape:* (V,)
        kept: *Shape:* (V,)

    Returns: *Shape:* (M,)
    """
    characters = set("".join(compress(pieces, used)))
    others = np.array([index for index in np.flatnonzero(~kept)
                       if characters.issuperset(pieces[index])], dtype=np.int64)
    of_all = Ngrams(pieces)
    of_languages = [Ngrams(compress(pieces, tokens)) for tokens in occurs]
    similarity = np.array([max(language.score(pieces[index]) for language in of_languages)
                           - of_all.score(pieces[index]) for index in others])
    return others[np.argsort(np.log(others + 1) - similarity, kind="stable")]


def _needed(pieces: list[str], foreign: NDArray[np.bool_], pad: int,
            state: dict[str, Any]) -> NDArray[np.bool_]:
    """Tokens without which texts would get unknown tokens or be split differently. *Shape:* (V,)

    Args:
        foreign: characters that may become unknown. *Shape:* (V,)
    """
    known, characters_of = set(pieces), _splitter(state["model"])
    needed = np.array([characters_of(piece) == [piece]
                       or not known.issuperset(characters_of(piece)) for piece in pieces])
    needed &= ~foreign
    needed[[token["id"] for token in state["added_tokens"]]] = True
    # Positions begin behind the padding's id, so that id must not change.
    needed[:pad + 1] = True
    if state["model"]["type"] == "Unigram":
        # The cost of an unknown character depends on the lowest score.
        needed[int(np.argmin([score for _, score in state["model"]["vocab"]]))] = True
        if state["model"].get("byte_fallback"):
            needed |= [piece.startswith("<0x") for piece in pieces]
    return needed


def _foreign(pieces: list[str], used: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Single letters of scripts that no piece in `used` has. *Shape:* (V,)"""
    scripts = {_script(character) for piece in compress(pieces, used) for character in piece}
    letters = [piece.removeprefix("##") for piece in pieces]
    return np.array([len(letter) == 1 and _script(letter) not in {None, *scripts}
                     for letter in letters])


def _script(character: str) -> str | None:
    """The first word of a letter's name in Unicode, such as LATIN or CJK; None for no letter."""
    if not unicodedata.category(character).startswith("L"):
        return None
    return unicodedata.name(character, "").partition(" ")[0].partition("-")[0]


def _splitter(model: dict[str, Any]) -> Callable[[str], list[str]]:
    """A function that splits a piece into pieces of one character each."""
    if model["type"] == "Unigram":
        return list
    mark = model["continuing_subword_prefix"]

    def split(piece: str) -> list[str]:
        inner = piece.removeprefix(mark) or piece
        first = piece[:len(piece) - len(inner) + 1]
        return [first, *(mark + character for character in inner[1:])]

    return split


def _with_only(state: dict[str, Any], kept: NDArray[np.int64], pieces: list[str]
               ) -> dict[str, Any]:
    """`state` with only the tokens `kept`, whose texts are `pieces`; their new ids are 0, 1, ..."""
    model, place = state["model"], {piece: index for index, piece in enumerate(pieces)}
    if model["type"] == "Unigram":
        # Added tokens have the ids behind the model's own.
        scores = [score for _, score in model["vocab"]] + [0.0] * len(state["added_tokens"])
        own: dict[str, Any] = {"vocab": [(piece, scores[index])
                                         for piece, index in zip(pieces, kept, strict=True)],
                               "unk_id": place[model["vocab"][model["unk_id"]][0]]}
    else:
        own = {"vocab": place}
    added = [token | {"id": place[token["content"]]} for token in state["added_tokens"]]
    return state | {"model": model | own, "added_tokens": added, "truncation": None,
                    "padding": None, "post_processor": _renumbered(state["post_processor"], place)}


def _renumbered(processor: dict[str, Any], place: dict[str, int]) -> dict[str, Any]:
    """The post-processor, which adds special tokens to a text, with their new ids."""
    renumbered = dict(processor)
    if processor["type"] == "TemplateProcessing":
        renumbered["special_tokens"] = {
            name: special | {"ids": [place[token] for token in special["tokens"]]}
            for name, special in processor["special_tokens"].items()}
    for key in ("cls", "sep"):  # BertProcessing, RobertaProcessing
        if key in processor:
            token, _ = processor[key]
            renumbered[key] = (token, place[token])
    return renumbered

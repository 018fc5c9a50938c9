"""Tokenizers: trained on corpora in XLM-R's form, or loaded from a checkpoint."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from amtss import hub, records
from amtss.data.corpus import Corpus
from amtss.errors import CheckpointError, first_line
from amtss.files import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

Piece = tuple[str, float]
"""A piece of a unigram tokenizer, and its score (nats)."""
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
"""In XLM-R's order, so that the first four have its ids, 0 to 3."""
STEP = 1e-4
"""Difference between the scores of the characters that the unigram trainer adds at the end."""
LOADED = ("is_local", "local_files_only")
"""What transformers adds to a tokenizer's configuration when it loads it, offline or not."""
LEFT_OUT: Final = "left_out"
"""Key of a tokenizer's configuration: how many tokens trimming has removed."""


def train_tokenizer(corpora: Sequence[Corpus], size: int) -> "PreTrainedTokenizerBase":
    """A unigram tokenizer of at most `size` pieces for the training texts.

    Texts are normalised (NFKC, lower case), because people type like that in chats. Equal texts
    give equal tokenizers: training is single-threaded and its result made deterministic.
    """
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(),
         pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    vocabulary = [(piece, 0.0) for piece in SPECIAL]
    vocabulary += train_pieces(tokenizer, corpora, size - len(SPECIAL))
    tokenizer.model = models.Unigram(vocabulary[:size], unk_id=SPECIAL.index("<unk>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"])


def train_pieces(like: "Tokenizer", corpora: Sequence[Corpus], size: int) -> list[Piece]:
    """Unigram pieces and their scores (nats) for the training texts, the most likely first.

    At most `size`, or as many as there are characters.

    Args:
        like: the tokenizer whose normalizer and pre-tokenizer to use.
    """
    from tokenizers import Tokenizer, models, trainers

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = Tokenizer(models.Unigram())
    if like.normalizer is not None:
        tokenizer.normalizer = like.normalizer
    tokenizer.pre_tokenizer = like.pre_tokenizer
    normal = like.normalizer.normalize_str if like.normalizer is not None else str
    characters = {character for text in training_texts(corpora) for character in normal(text)}
    trainer = trainers.UnigramTrainer(  # it needs room for every character and the space's mark
        vocab_size=max(size, len(characters) + 1) + len(SPECIAL), special_tokens=SPECIAL,
        unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(training_texts(corpora), trainer)
    return _deterministic(json.loads(tokenizer.to_str())["model"]["vocab"][len(SPECIAL):])


def _deterministic(trained: list[Piece]) -> list[Piece]:
    """The trainer's pieces and scores, made independent of the order of its hash maps.

    That order decides in which order rare characters are added, each `STEP` above the lowest
    score, and the last digits of sums.
    """
    lowest = min((score for _, score in trained), default=0.0)
    steps = {piece: (score - lowest) / STEP for piece, score in trained if len(piece) == 1}
    added = sorted(piece for piece, step in steps.items() if abs(step - round(step)) < 1e-4)
    scores = dict(trained)
    scores |= dict(zip(added, sorted(scores[piece] for piece in added), strict=True))
    # With more digits, two runs would sometimes round to different values.
    rounded = [(piece, round(score, 5)) for piece, score in scores.items()]
    return sorted(rounded, key=lambda piece: (-piece[1], piece[0]))


def rebuilt(tokenizer: "PreTrainedTokenizerBase", state: dict[str, Any],
           left_out: int = 0) -> "PreTrainedTokenizerBase":
    """A tokenizer of the same class and settings as `tokenizer`, with another state.

    Args:
        state: the parsed tokenizer.json.
        left_out: how many of `tokenizer`'s tokens it lacks.
    """
    from tokenizers import Tokenizer

    left_out += tokenizer.init_kwargs.get(LEFT_OUT, 0)
    return type(tokenizer)(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)), **tokenizer.special_tokens_map,
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names, **({LEFT_OUT: left_out} if left_out else {}))


def trimmed_tokens(folder: Path) -> int:
    """How many tokens the tokenizer in a model's folder has lost by trimming."""
    about = read_json(folder / "tokenizer_config.json", records.Tokenizer, "dvc repro", ours=False)
    return about.get(LEFT_OUT, 0)


def training_texts(corpora: Iterable[Corpus]) -> Iterator[str]:
    """Training texts, labelled and unlabelled; of pairs both texts."""
    for corpus in corpora:
        for split in ("train", "unlabelled"):
            if split in corpus.splits:
                firsts, seconds = corpus.texts(split)
                yield from firsts
                yield from seconds or ()


def load_tokenizer(checkpoint: str, revision: str | None = None) -> "PreTrainedTokenizerBase":
    """The tokenizer of a hub id or a local folder.

    Raises:
        CheckpointError: there is none, the hub does not have it, or it needs code of its own.
    """
    from transformers import AutoTokenizer

    is_artifact = "artifacts" in Path(checkpoint).parts  # written by a stage, never a hub id
    fix = "run `dvc repro`" if is_artifact else "correct the checkpoint in params.yaml"
    if is_artifact and not Path(checkpoint).is_dir():
        raise CheckpointError(f"{checkpoint}: expected a tokenizer's folder, found none; {fix}")
    if not is_artifact:
        hub.check("model", checkpoint, revision)
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, revision=revision or "main")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint}: expected a tokenizer, found: "
                              f"{first_line(error)}; {fix}") from error
    # From a config.json alone, transformers makes a tokenizer of special tokens.
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
        raise CheckpointError(f"{checkpoint}: expected a tokenizer, found none but special tokens; "
                              f"{fix}")
    for key in LOADED:  # or a student's bytes would say how its tokenizer was loaded
        tokenizer.init_kwargs.pop(key, None)
    return tokenizer

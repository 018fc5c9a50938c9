"""Tokenizers: trained on a corpus, in XLM-R's form; grown; or taken from a checkpoint."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amtss import hub
from amtss.data.corpus import Corpus
from amtss.errors import CheckpointError
from amtss.files import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

Piece = tuple[str, float]
"""A piece of a unigram tokenizer, and its score (nats)."""
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
"""In XLM-R's order, so that their ids are 0 to 3 and the mask's."""
STEP = 1e-4
"""Between the scores of the characters that the unigram trainer adds at the end."""
LEFT_OUT = "left_out"
"""Where a tokenizer's configuration says how many tokens it has lost by trimming."""


def train_tokenizer(corpora: Sequence[Corpus], size: int) -> "PreTrainedTokenizerBase":
    """A unigram tokenizer of at most `size` pieces over the train and unlabelled texts.

    Texts are normalised (NFKC, lower case), as people type in chats. Single-threaded and
    settled, so that equal texts give equal tokenizers.
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
    own = [(piece, 0.0) for piece in SPECIAL] + pieces(tokenizer, corpora, size - len(SPECIAL))
    tokenizer.model = models.Unigram(own[:size], unk_id=SPECIAL.index("<unk>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"])


def pieces(like: "Tokenizer", corpora: Sequence[Corpus], size: int) -> list[Piece]:
    """At most `size` unigram pieces and their scores (nats) for the train and unlabelled texts, the
    likeliest first; more where there are more characters than that.

    Args:
        like: whose normalizer and pre-tokenizer the texts go through.
    """
    from tokenizers import Tokenizer, models, trainers

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = Tokenizer(models.Unigram())
    if like.normalizer is not None:
        tokenizer.normalizer = like.normalizer
    tokenizer.pre_tokenizer = like.pre_tokenizer
    normal = like.normalizer.normalize_str if like.normalizer is not None else str
    characters = {character for text in training_texts(corpora) for character in normal(text)}
    trainer = trainers.UnigramTrainer(  # it refuses to do with fewer than these and the space's
        vocab_size=max(size, len(characters) + 1) + len(SPECIAL), special_tokens=SPECIAL,
        unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(training_texts(corpora), trainer)
    return _settled(json.loads(tokenizer.to_str())["model"]["vocab"][len(SPECIAL):])


def _settled(own: list[Piece]) -> list[Piece]:
    """The trainer's pieces and scores, without what its hash maps leave to chance.

    That is the order in which it adds rare characters, each `STEP` above the lowest score, and
    the last digits of sums.
    """
    lowest = min((score for _, score in own), default=0.0)
    steps = {piece: (score - lowest) / STEP for piece, score in own if len(piece) == 1}
    added = sorted(piece for piece, step in steps.items() if abs(step - round(step)) < 1e-4)
    scores = dict(own) | dict(zip(added, sorted(dict(own)[piece] for piece in added), strict=True))
    # Coarse, or two runs would stand on two sides of a rounding now and then.
    settled = [(piece, round(score, 5)) for piece, score in scores.items()]
    settled.sort(key=lambda each: (-each[1], each[0]))
    return settled


def remade(tokenizer: "PreTrainedTokenizerBase", state: dict[str, Any],
           left_out: int = 0) -> "PreTrainedTokenizerBase":
    """A tokenizer of the same class and settings that works as `state`, its JSON, says.

    Args:
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
    return int(read_json(folder / "tokenizer_config.json", "dvc repro").get(LEFT_OUT, 0))


def training_texts(corpora: Iterable[Corpus]) -> Iterator[str]:
    """The texts that a tokenizer learns from: train's and the unlabelled, both of a pair."""
    for corpus in corpora:
        for split in ("train", "unlabelled"):
            if split in corpus.splits:
                firsts, seconds = corpus.texts(split)
                yield from firsts
                yield from seconds or ()


def load_tokenizer(checkpoint: str, revision: str | None = None) -> "PreTrainedTokenizerBase":
    """The tokenizer of a hub id or a local folder.

    Raises:
        CheckpointError: there is none, the hub does not serve it, or it needs code of its own.
    """
    from transformers import AutoTokenizer

    made = "artifacts" in Path(checkpoint).parts  # by a stage: never a hub id
    mend = "run `dvc repro`" if made else "mend the checkpoint in params.yaml"
    if made and not Path(checkpoint).is_dir():
        raise CheckpointError(f"{checkpoint}: expected a tokenizer's folder, found none; {mend}")
    if not made:
        hub.check("model", checkpoint, revision)
    try:
        found = AutoTokenizer.from_pretrained(checkpoint, revision=revision or "main")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint}: expected a tokenizer, found: "
                              f"{str(error).strip().splitlines()[0]}; {mend}") from error
    if len(found) <= len(set(found.all_special_tokens)):  # transformers' answer to a lone config
        raise CheckpointError(f"{checkpoint}: expected a tokenizer, found none but special tokens; "
                              f"{mend}")
    return found

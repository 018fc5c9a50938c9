"""Tokenizers: trained on a corpus, in XLM-R's form, or taken from a checkpoint."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from amtss.config import Params
from amtss.corpus import Corpus
from amtss.corpus import load as load_corpus
from amtss.errors import CheckpointError
from amtss.layout import Layout, replacing

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
"""In XLM-R's order, so that their ids are 0 to 3 and the mask's."""
STEP = 1e-4
"""Between the scores of the characters that the unigram trainer adds at the end."""


def vocabulary(params: Params, layout: Layout) -> None:
    """Write the tokenizer of the student and X-LM-Tiny: a checkpoint's, or trained on all corpora.

    Raises:
        CheckpointError: the checkpoint has none.
    """
    settings = params.student
    given = settings.tokenizer or settings.checkpoint
    corpora = [load_corpus(layout, language) for language in params.languages]
    tokenizer = load(given) if given else train(corpora, settings.architecture.vocabulary)
    with replacing(layout.tokenizer) as folder:
        tokenizer.save_pretrained(folder)


def train(corpora: Iterable[Corpus], size: int) -> "PreTrainedTokenizerBase":
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
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(),
         pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=SPECIAL, unk_token="<unk>",
                                      show_progress=False)
    tokenizer.train_from_iterator(_texts(corpora), trainer)
    found = json.loads(tokenizer.to_str())["model"]
    tokenizer.model = models.Unigram(_settled(found["vocab"]), unk_id=found["unk_id"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"])


def _settled(vocabulary: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """The trainer's pieces and scores, without what its hash maps leave to chance.

    That is the order in which it adds rare characters, each `STEP` above the lowest score, and
    the last digits of sums.
    """
    own = vocabulary[len(SPECIAL):]
    lowest = min((score for _, score in own), default=0.0)
    steps = {piece: (score - lowest) / STEP for piece, score in own if len(piece) == 1}
    added = sorted(piece for piece, step in steps.items() if abs(step - round(step)) < 1e-4)
    scores = dict(own) | dict(zip(added, sorted(dict(own)[piece] for piece in added), strict=True))
    settled = [(piece, round(score, 9)) for piece, score in scores.items()]
    settled.sort(key=lambda each: (-each[1], each[0]))
    return [(piece, 0.0) for piece in SPECIAL] + settled


def _texts(corpora: Iterable[Corpus]) -> Iterator[str]:
    for corpus in corpora:
        for split in ("train", "unlabelled"):
            if split in corpus.splits:
                firsts, seconds = corpus.texts(split)
                yield from firsts
                yield from seconds or ()


def load(checkpoint: str, revision: str | None = None) -> "PreTrainedTokenizerBase":
    """The tokenizer of a hub id or a local folder.

    Raises:
        CheckpointError: there is none, or it needs code of its own.
    """
    from transformers import AutoTokenizer

    made = "artifacts" in Path(checkpoint).parts  # by a stage: never a hub id
    mend = "run `dvc repro`" if made else "mend the checkpoint in params.yaml"
    if made and not Path(checkpoint).is_dir():
        raise CheckpointError(f"{checkpoint}: expected a tokenizer's folder, found none; {mend}")
    try:
        found = AutoTokenizer.from_pretrained(checkpoint, revision=revision or "main")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint}: expected a tokenizer, found: "
                              f"{str(error).strip().splitlines()[0]}; {mend}") from error
    if len(found) <= len(set(found.all_special_tokens)):  # transformers' answer to a lone config
        raise CheckpointError(f"{checkpoint}: expected a tokenizer, found none but special tokens; "
                              f"{mend}")
    return found

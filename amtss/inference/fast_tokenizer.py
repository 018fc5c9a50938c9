"""A student's tokenizer without transformers, from its tokenizer.json."""

from collections.abc import Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amtss.errors import CheckpointError, first_line
from amtss.files import read_text
from amtss.tokenization.tokens import Tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"


def load(folder: Path, command: str) -> "Tokenizer":
    """The tokenizer in a folder. It pads nothing, as batches of similar lengths are padded later.

    Args:
        command: writes the folder; for the message of an error.

    Raises:
        CheckpointError: the file is damaged.
        AmtssError: there is none.
    """
    from tokenizers import Tokenizer

    text = read_text(folder / FILE, command)
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # it raises nothing more precise
        raise CheckpointError(f"{folder / FILE}: expected a tokenizer, found: {first_line(error)}; "
                              f"run `{command}`") from error
    tokenizer.no_padding()
    return tokenizer


def encode(tokenizer: "Tokenizer", texts: Sequence[str], pairs: Sequence[str] | None) -> Tokens:
    """Token ids of texts, or of pairs; truncated where the tokenizer says so."""
    inputs = texts if pairs is None else list(zip(texts, pairs, strict=True))
    found = [encoding.ids for encoding in tokenizer.encode_batch_fast(inputs)]
    return Tokens((np.array([*chain.from_iterable(found)], dtype=np.int32),),
                  np.array([0, *accumulate(map(len, found))], dtype=np.int64))

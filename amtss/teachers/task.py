"""What a kind of teacher is given, and what it gives back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import Params
from amtss.data.corpus import Corpus
from amtss.paths import Layout

if TYPE_CHECKING:
    from amtss.teachers.trainer import EpochDone

Scorer = Callable[[Corpus, str], NDArray[np.float32]]
"""Logits of a corpus's split, a column for each of the project's labels. *Shape:* (N, C)"""


@dataclass(frozen=True)
class Task:
    """One teacher that is to be made."""

    params: Params
    layout: Layout
    name: str
    corpora: Sequence[Corpus]
    """Of the languages that it is taught on."""
    labels: list[str]
    on_epoch: "EpochDone"


class Taught(NamedTuple):
    """A teacher that has been made."""

    save: Callable[[Path], None]
    """Writes its files into a folder that exists."""
    about: dict[str, Any]
    """What teacher.json says of it: `architecture`, `layers`, `parameters`; `elsewhere`, bytes
    of weights that it needs and that are not in its folder, if any; what it cost: `examples`,
    `epochs`, `best_epoch`, `seconds`; and what its own scorer needs."""

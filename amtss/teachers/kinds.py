"""The kinds of teachers. A new kind is a module like these, an entry here, and its settings."""

from typing import Protocol

from amtss.config.schema import Params
from amtss.paths import Layout
from amtss.teachers import linear, probe, transformer
from amtss.teachers.task import Scorer, Task, Taught


class Kind(Protocol):
    """What the module of a kind has."""

    def teach(self, task: Task) -> Taught:
        """Make the teacher."""

    def scorer(self, params: Params, layout: Layout, name: str) -> Scorer:
        """Load the teacher that `teach` has made."""


KINDS: dict[str, Kind] = {"transformer": transformer, "linear": linear, "probe": probe}
"""By the `kind` of a teacher in params.yaml."""


def kind_of(params: Params, name: str) -> Kind:
    """The kind of teacher `name`."""
    return KINDS[params.teachers[name].kind]

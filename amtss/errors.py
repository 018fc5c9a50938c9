"""What a user can get wrong. Every message is one line: expected, found, where, and what mends it.

    AmtssError
    ├── ParamsError       params.yaml or a preset does not say what it must
    ├── DataError         a source, a corpus or its validation
    ├── CheckpointError   a model folder or hub checkpoint that cannot be used
    ├── CacheError        a logits cache that is missing, truncated, altered or stale
    └── RegistryError     the model registry, a version in it, or a promotion that is refused
"""


class AmtssError(Exception):
    """A mistake that its message tells how to mend; the CLI prints it without a traceback."""


class ParamsError(AmtssError):
    """params.yaml or a preset does not say what it must."""


class DataError(AmtssError):
    """A source, a corpus or its validation."""


class CheckpointError(AmtssError):
    """A model folder or hub checkpoint that cannot be used."""


class CacheError(AmtssError):
    """A logits cache that is missing, truncated, altered or stale."""


class RegistryError(AmtssError):
    """The model registry, a version in it, or a promotion that is refused."""

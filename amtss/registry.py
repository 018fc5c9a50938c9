"""The registered model of a project: its versions, their aliases, and the students in them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """A version of the registered model, and what was measured of its student."""

    number: int
    fingerprint: str
    """`checkpoint.fingerprint` of the student's folder."""
    parent: int | None
    """The version that an onboarding began from."""
    languages: tuple[str, ...]
    labels: tuple[str, ...]
    accuracy: dict[str, float]
    """Test accuracy in points, by language."""
    test: dict[str, str]
    """`corpus.test_fingerprint` of the rows that it was measured on, by language."""
    errors: dict[str, int]
    """What validation found wrong enough to stop a pipeline, by language."""
    commit: str
    lock: str
    """SHA-256 of dvc.lock."""
    aliases: tuple[str, ...] = ()

    @property
    def average(self) -> float:
        """Mean accuracy over its languages."""
        return sum(self.accuracy.values()) / len(self.accuracy)

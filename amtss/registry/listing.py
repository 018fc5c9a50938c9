"""The versions of the registered model as a table, for people."""

from collections.abc import Sequence

from amtss.config.schema import Params
from amtss.paths import Layout
from amtss.registry import store, versions
from amtss.registry.versions import Version
from amtss.table import NONE, Table, one_line


def known(params: Params, layout: Layout) -> list[Version]:
    """All versions that are registered, oldest first; no store is made where there is none.

    Raises:
        RegistryError: the registry does not answer.
    """
    return versions.versions(params, layout) if store.exists(layout) else []


def table(title: str, listed: Sequence[Version]) -> Table:
    """A row for each version: its aliases, and its accuracies beside those of its linear floor."""
    return Table(title, ("Version", "Alias", "Average", "Floor", "Test accuracy by language",
                         "Registered"), tuple(map(_row, listed)), (
        "Test accuracy in points. Floor: the average of the linear models of the same rows.",
        *(f"Version {version.number} became champion by decision: {one_line(version.decision)}"
          for version in listed if version.decision)))


def _row(version: Version) -> tuple[str, ...]:
    floor, registered = version.floor, version.registered
    return (str(version.number), ", ".join(version.aliases) or NONE, f"{version.average:.2f}",
            f"{sum(floor.values()) / len(floor):.2f}" if floor else NONE,
            ", ".join(f"{code} {version.accuracy[code]:.1f}" if code in version.accuracy else
                      f"{code} –" for code in version.languages),
            f"{registered:%Y-%m-%d %H:%M}" if registered else NONE)

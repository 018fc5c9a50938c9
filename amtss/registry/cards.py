"""The model card of a registered version, and the facts in it, from which its exports get theirs.
"""

from pathlib import Path

from amtss.config.schema import Params
from amtss.files import read_json, write_json
from amtss.inference import card
from amtss.inference.facts import Facts
from amtss.paths import Layout
from amtss.registry import versions
from amtss.registry.versions import Version

FOLDER, FACTS = "card", "facts.json"
"""In a version's artifacts, and in that folder."""


def write(params: Params, version: Version, max_tokens: int, facts: Facts, folder: Path) -> None:
    """Write the card and the facts of a version that is about to be registered."""
    card.write(folder, card.Model("student", version.labels, version.languages, max_tokens, facts,
                                  f"models:/{versions.name(params)}/N"))
    write_json(folder / FACTS, facts)


def fetch(params: Params, layout: Layout, number: int, to: Path) -> Facts | None:
    """The facts of a version, downloaded to the folder `to`; None if it was registered before there
    were cards.

    Raises:
        RegistryError: the registry does not answer.
        AmtssError: the facts are altered.
    """
    with versions.answering(params, layout) as client:
        from mlflow.artifacts import download_artifacts, list_artifacts

        place = client.get_model_version_download_uri(versions.name(params), str(number))
        names = [Path(entry.path).name for entry in list_artifacts(f"{place}/artifacts")]
        if FOLDER not in names:
            return None
        folder = Path(download_artifacts(f"{place}/artifacts/{FOLDER}", dst_path=str(to)))
    return read_json(folder / FACTS, Facts, "amtss register")

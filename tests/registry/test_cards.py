from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from support.registered import place, register, unregistered
from support.training import LANGUAGES

from amtss.files import read_json
from amtss.inference import facts
from amtss.inference.facts import Facts
from amtss.registry import cards


def test_a_version_has_a_card_and_its_exports_get_its_facts(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = unregistered(tmp_path / "project", monkeypatch, serving={"runtime": "onnx"})
    known = facts.known(project.layout, project.layout.student)
    register(project)
    folder = place(project) / "artifacts"
    card = ModelCard.load(folder / "card" / "README.md")
    assert card.data.language == list(LANGUAGES)
    assert f'load_student("models:/amtss-{project.params.project}/N")' in card.text
    assert ModelCard.load(folder / "onnx" / "README.md").data.library_name == "onnx"
    assert read_json(folder / "card" / cards.FACTS, dict[str, object], "")["languages"]
    project.layout.metrics.unlink()
    fetched = cards.fetch(project.params, project.layout, 1, tmp_path / "fetched")
    assert fetched is not None
    assert {key: fetched[key] for key in Facts.__annotations__ if key in fetched} == known

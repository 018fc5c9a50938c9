from pathlib import Path
from typing import Any

import pytest
import torch
from support.training import KINDS, LABELS, gpt2, write_checkpoint
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from amtss.errors import CheckpointError
from amtss.models import checkpoint
from amtss.models.classifier import MeanPooledClassifier, MeanPooledConfig, classifier_of

TEXTS = ["enpay1 enship2 enchat0 enpay3", "enchat1", "enship0 enship1"]
TASK: dict[str, Any] = {"id2label": dict(enumerate(LABELS)),
                        "label2id": {label: index for index, label in enumerate(LABELS)}}


def classifier(source: Path) -> MeanPooledClassifier:
    torch.manual_seed(0)
    encoder = checkpoint.load(AutoModel, str(source), "fix it", head=False)
    return classifier_of(encoder, 0.1, **TASK).eval()


def logits(model: torch.nn.Module, source: Path, **padding: Any) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(source)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    with torch.inference_mode():
        encoded = tokenizer(TEXTS, padding=True, return_tensors="pt", **padding)
        values: torch.Tensor = model(**encoded).logits
    return values


@pytest.mark.parametrize("kind", [*KINDS, "gpt2"])
def test_padding_changes_nothing(tmp_path: Path, kind: str) -> None:
    # neither through attention nor through the mean
    source = (gpt2(tmp_path / "hub") if kind == "gpt2"
              else write_checkpoint(tmp_path / "hub", kind))
    model = classifier(source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    with torch.inference_mode():
        alone = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in TEXTS])
    torch.testing.assert_close(logits(model, source), alone, atol=1e-5, rtol=1e-5)
    padded = logits(model, source, pad_to_multiple_of=32)
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_answers_the_same(tmp_path: Path, kind: str) -> None:
    source = write_checkpoint(tmp_path / "hub", kind)
    model = classifier(source)
    model.save_pretrained(tmp_path / "saved")
    again = checkpoint.load(AutoModelForSequenceClassification, str(tmp_path / "saved"), "fix it")
    assert type(again) is MeanPooledClassifier
    assert torch.equal(logits(again.eval(), source), logits(model, source))


def test_its_config(tmp_path: Path) -> None:
    classifier(write_checkpoint(tmp_path / "hub", "bert")).save_pretrained(tmp_path / "saved")
    config = AutoConfig.from_pretrained(tmp_path / "saved")
    assert isinstance(config, MeanPooledConfig)
    assert config.encoder.model_type == "bert"
    assert tuple(config.id2label.values()) == LABELS
    assert config.num_hidden_layers == 2


def test_its_encoder_can_be_had_alone(tmp_path: Path) -> None:
    # so that a student can start from it
    source = write_checkpoint(tmp_path / "hub", "bert")
    classifier(source).save_pretrained(tmp_path / "saved")
    config = AutoConfig.from_pretrained(tmp_path / "saved").encoder
    encoder = checkpoint.load(AutoModel, str(tmp_path / "saved"), "fix it", config=config,
                              add_pooling_layer=False)
    original = AutoModel.from_pretrained(source, add_pooling_layer=False)
    torch.testing.assert_close(encoder.state_dict(), original.state_dict(), rtol=0, atol=0)


def test_labels_give_their_cross_entropy(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hub", "bert")
    model, tokenizer = classifier(source), AutoTokenizer.from_pretrained(source)
    output = model(**tokenizer(TEXTS, padding=True, return_tensors="pt"),
                   labels=torch.tensor([1, 0, 2]))
    expected = -output.logits.log_softmax(dim=1)[[0, 1, 2], [1, 0, 2]].mean()
    torch.testing.assert_close(output.loss, expected)


def test_an_encoder_that_lacks_weights(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hub", "bert")
    other = write_checkpoint(tmp_path / "other", "bert", layers=1)
    (source / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"expected a checkpoint with all weights, found none "
                                              r"of encoder\.layer\.1\..* more; fix it"):
        checkpoint.load(AutoModel, str(source), "fix it", head=False)

"""Texts' states by a frozen encoder: computed once, cached as safetensors files.

A file that is missing, truncated, altered or stale is computed again. Shapes: N texts, d the
encoder's width.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amtss import hub, processes, records
from amtss.config.schema import ProbeTeacher, Scoring
from amtss.data.corpus import Corpus
from amtss.errors import CheckpointError
from amtss.files import contents, fingerprint, replacing, visible
from amtss.models import checkpoint, hardware
from amtss.models.pooling import pooled
from amtss.teachers import forward
from amtss.tokenization import encoding, lengths
from amtss.tokenization.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FORMAT = "amtss-embeddings/1"
States = NDArray[np.float16]


@dataclass(frozen=True)
class Embeddings:
    """Files `{language}/{split}.safetensors` in `folder`, each with the tensor `states`.

    The header has their origin and a checksum. Only one process at a time may write.
    """

    folder: Path
    teacher: ProbeTeacher
    scoring: Scoring

    def fitted(self, corpora: Sequence[Corpus]) -> tuple["Embeddings", records.Lengths]:
        """The same with the length at which texts of `corpora` are cut, and how many are."""
        tokenizer = load_tokenizer(self.teacher.checkpoint, self.commit)
        read = lengths.settle(tokenizer, corpora, self.teacher.max_length, None,
                              self.teacher.checkpoint, self.teacher.prefix)
        return self.cut_at(read["max_length"]), read

    def cut_at(self, length: int) -> "Embeddings":
        """The same with another `max_length`."""
        return replace(self, teacher=self.teacher.model_copy(update={"max_length": length}))

    def of(self, corpus: Corpus, split: str) -> States:
        """The pooled state of each text of a split. *Shape:* (N, d)

        Raises:
            CheckpointError: the encoder cannot be loaded.
        """
        path = self.folder / corpus.language / f"{split}.safetensors"
        origin = self.origin | {"corpus": corpus.fingerprint}
        states = _read(path, origin)
        if states is None:
            states = self._encode(corpus, split)
            if processes.first():
                _write(path, states, origin)
        return states

    @cached_property
    def origin(self) -> dict[str, Any]:
        """All that states depend on besides the corpus."""
        teacher = self.teacher
        return {"format": FORMAT, "encoder": self._identity, "prefix": teacher.prefix,
                "pooling": teacher.pooling, "max_length": teacher.max_length,
                "precision": hardware.resolve(self.scoring.precision)}

    @cached_property
    def commit(self) -> str | None:
        """The commit of the hub's checkpoint; None for a local folder.

        Raises:
            CheckpointError: the hub does not have it.
        """
        source, revision = self.teacher.checkpoint, self.teacher.revision
        hub.check("model", source, revision)
        if not Path(source).is_dir() and hub.commit(source, revision) is None:
            self._load(revision)
        return hub.commit(source, revision)

    @cached_property
    def _identity(self) -> str:
        folder = Path(self.teacher.checkpoint)
        if folder.is_dir():
            return fingerprint(contents(visible(folder)))
        return f"{self.teacher.checkpoint}@{self.commit}"

    @cached_property
    def about(self) -> dict[str, Any]:
        """The encoder's architecture, layers, parameters, and bytes of its weights on disk; they
        are not read."""
        import torch
        from transformers import AutoConfig, AutoModel

        config = AutoConfig.from_pretrained(self.teacher.checkpoint, revision=self.commit or "main")
        with torch.device("meta"):
            model = AutoModel.from_config(config)
        folder = hub.folder(self.teacher.checkpoint, self.commit)
        weights = folder.glob("*.safetensors") if folder else ()
        return {"architecture": config.model_type, "layers": config.num_hidden_layers,
                "parameters": sum(parameter.numel() for name, parameter in model.named_parameters()
                                  if not name.startswith("pooler.")),
                "bytes": sum(path.stat().st_size for path in weights)}

    @cached_property
    def encoder(self) -> "PreTrainedModel":
        """Loaded only where a file has to be computed."""
        return self._load(self.commit)

    def _load(self, revision: str | None) -> "PreTrainedModel":
        from transformers import AutoModel

        source = self.teacher.checkpoint
        model = checkpoint.load(AutoModel, source, "correct the teacher's `checkpoint`", head=False,
                                revision=revision or "main")
        if model.config.is_encoder_decoder:
            raise CheckpointError(f"{source}: expected an encoder, found {model.config.model_type} "
                                  "with a decoder; correct the teacher's `checkpoint`")
        checkpoint.check_length(model, self.teacher.max_length or 0, source,
                                "lower the teacher's max_length")
        hardware.place(model)
        model.eval()
        return model

    def _encode(self, corpus: Corpus, split: str) -> States:
        tokenizer: PreTrainedTokenizerBase = load_tokenizer(self.teacher.checkpoint, self.commit)
        forward.set_padding(tokenizer, self.encoder)
        texts = encoding.tokenise(tokenizer, encoding.prefixed(corpus[split], self.teacher.prefix),
                                self.teacher.max_length)
        states = np.empty((len(texts), self.encoder.config.hidden_size), dtype=np.float16)
        largest = float(np.finfo(np.float16).max)
        title = f"{self.teacher.checkpoint} reads {corpus.language}/{split}"
        for rows, batch, output in forward.outputs(self.encoder, tokenizer, texts, self.scoring,
                                                   title):
            hidden_states = output.last_hidden_state.float()
            values = pooled(hidden_states, batch["attention_mask"], self.teacher.pooling)
            states[rows] = values.clamp(-largest, largest).cpu().numpy()
        return states


def _write(path: Path, states: States, origin: dict[str, Any]) -> None:
    from safetensors.numpy import save_file

    header = json.dumps(origin | {"checksum": fingerprint(states.data)})
    with replacing(path) as temporary:
        save_file({"states": states}, temporary, metadata={"amtss": header})


def _read(path: Path, origin: dict[str, Any]) -> States | None:
    """The states in a file; None unless it is whole and has this origin."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("amtss", "{}"))
            states: States = file.get_tensor("states")
    except (OSError, ValueError, SafetensorError):
        return None
    return states if header == origin | {"checksum": fingerprint(states.data)} else None

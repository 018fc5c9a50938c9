import json
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from support.training import (
    LABELS,
    LANGUAGES,
    ROWS,
    Project,
    merged,
    prepared,
    scored,
    stopping_after,
    table,
    untimed,
    write_checkpoint,
    write_corpus,
)
from transformers import AutoConfig, AutoModel

from amtss.config.schema import Architecture, Student
from amtss.distillation import algorithm1
from amtss.errors import CheckpointError, ParamsError
from amtss.evaluation import footprint
from amtss.inference import export
from amtss.inference.load import load_folder
from amtss.student import embeddings
from amtss.student.model import StudentModel, build_student
from amtss.student.static import StaticConfig, StaticEncoder
from amtss.tokenization.tokenizer import load_tokenizer

CODES = ["en", "fr", "ru"]
V, D, P, PAD, END = 40, 6, 50, 1, 2
STATIC = {"architecture": {"layers": 0, "width": 16, "pairs": 0}, "pooling": "mean"}


def encoder(dropout: float = 0.0, couples: int = 0, separator: int | None = None
            ) -> StaticEncoder:
    """One whose scores differ much."""
    torch.manual_seed(0)
    model = StaticEncoder(StaticConfig(V, D, dropout, PAD, couples, separator)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model


def student(couples: int = 0, **changed: object) -> StudentModel:
    torch.manual_seed(0)
    settings = Student.model_validate({
        "architecture": Architecture(layers=0, width=D, pairs=couples), "max_length": 16,
        **changed})
    model = build_student(settings, CODES, list(LABELS), V, PAD).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model


def texts(lengths: list[int], width: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(len(lengths))
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(2, V, mask.shape, generator=draw)
    return ids.masked_fill(mask == 0, PAD), mask


class TestEncoder:
    def test_shapes(self) -> None:
        ids, mask = texts([4, 9, 1])
        encoded = encoder()(ids, mask)
        assert encoded.last_hidden_state.shape == (3, 9, D)
        assert encoded.pooler_output.shape == (3, D)

    def test_a_state_is_the_weighted_mean(self) -> None:
        model, (ids, mask) = encoder(), texts([4, 9, 1])
        table = model.get_input_embeddings().weight.detach()
        states = model(ids, mask).pooler_output
        for row, length in enumerate([4, 9, 1]):
            own = table[ids[row, :length]]
            weights = own[:, -1].exp()
            torch.testing.assert_close(states[row], (weights[:, None] * own[:, :-1]).sum(dim=0)
                                       / weights.sum())

    def test_a_state_is_the_weighted_mean_of_tokens_and_pairs(self) -> None:
        model, (ids, mask) = encoder(couples=P), texts([4, 9, 1])
        table, couples = (rows.weight.detach() for rows in
                          (model.get_input_embeddings(), model.pairs))
        states = model(ids, mask).pooler_output
        for row, length in enumerate([4, 9, 1]):
            own = table[ids[row, :length]]
            places = [(31 * first + second) % P for first, second in pairwise(
                ids[row, :length].tolist())]  # 31 of 50 is the golden ratio
            wide = couples[places, :-1] @ model.widen.weight.T
            weights = torch.cat([own[:, -1], couples[places, -1]]).softmax(dim=0)
            torch.testing.assert_close(
                states[row], weights @ torch.cat([own[:, :-1], wide]))

    @pytest.mark.parametrize("couples", [0, P])
    def test_a_second_text_counts_differently(self, couples: int) -> None:
        model = encoder(couples=couples, separator=END)
        ids, mask = torch.tensor([[0, 8, 9, END, END, 8, 9, END]]), torch.ones(1, 8)
        table, second = model.get_input_embeddings().weight.detach(), model.second.detach()
        behind = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])[:, None]
        rows = table[ids[0]] * (1 + behind * torch.cat([second[:-1], torch.zeros(1)]))
        embeddings, scores = rows[:, :-1], rows[:, -1] + behind[:, 0] * second[-1]
        if couples:
            at = [(31 * one + other + 25 * int(further)) % P for (one, other), further in
                  zip(pairwise(ids[0].tolist()), behind[1:], strict=True)]
            own = model.pairs.weight.detach()[at]
            embeddings = torch.cat([embeddings, own[:, :-1] @ model.widen.weight.T])
            scores = torch.cat([scores, own[:, -1]])
        means = [rows[at, -1].add(at[0].gt(2) * second[-1]).softmax(dim=0) @ rows[at, :-1]
                 for at in (torch.arange(3), torch.arange(3, 8))]
        first, other = (mean / mean.norm() for mean in means)
        torch.testing.assert_close(
            model(ids, mask).pooler_output[0],
            scores.softmax(dim=0) @ embeddings + model.match.weight @ (first * other))
        padded = torch.cat([ids, torch.full((1, 3), PAD)], dim=1)
        torch.testing.assert_close(model(padded, (padded != PAD).long()).pooler_output,
                                   model(ids, mask).pooler_output)
        swapped = torch.tensor([[0, 8, END, END, 9, 8, 9, END]])
        assert not torch.allclose(model(ids, mask).pooler_output,
                                  model(swapped, mask).pooler_output)

    def test_a_new_one_tells_no_second_text_from_the_first(self) -> None:
        torch.manual_seed(0)
        with_one = StaticEncoder(StaticConfig(V, D, 0.0, PAD, separator=END)).eval()
        without = StaticEncoder(StaticConfig(V, D, 0.0, PAD)).eval()
        without.load_state_dict(with_one.state_dict(), strict=False)
        (ids, mask) = texts([4, 9, 1])
        torch.testing.assert_close(with_one(ids, mask).pooler_output,
                                   without(ids, mask).pooler_output)

    def test_equal_scores_give_the_plain_mean(self) -> None:
        model, (ids, mask) = encoder(), texts([5])
        with torch.no_grad():
            model.get_input_embeddings().weight[:, -1] = 3.0
        own = model.get_input_embeddings().weight[ids[0, :5], :-1]
        torch.testing.assert_close(model(ids, mask).pooler_output[0], own.mean(dim=0))

    def test_a_token_with_a_low_score_does_not_count(self) -> None:
        model, (ids, mask) = encoder(), texts([5])
        with torch.no_grad():
            model.get_input_embeddings().weight[ids[0, 4], -1] = -100.0
        torch.testing.assert_close(model(ids, mask).pooler_output,
                                   model(ids[:, :4], mask[:, :4]).pooler_output)

    def test_dropout_is_of_embeddings_only(self) -> None:
        model, (ids, mask) = encoder(dropout=0.5).train(), texts([5])
        with torch.no_grad():
            model.get_input_embeddings().weight[:, :-1] = 1.0
        hidden_states = model(ids, mask).last_hidden_state
        assert set(hidden_states.flatten().tolist()) == {0.0, 2.0}

    @pytest.mark.parametrize("couples", [0, P])
    def test_saves_and_opens_by_its_type(self, tmp_path: Path, couples: int) -> None:
        model, batch = encoder(couples=couples), texts([4, 9, 1])
        model.save_pretrained(tmp_path)
        read = AutoModel.from_pretrained(tmp_path).eval()
        assert isinstance(read, StaticEncoder)
        config = AutoConfig.from_pretrained(tmp_path)
        assert (config.vocab_size, config.hidden_size, config.pad_token_id) == (V, D, PAD)
        torch.testing.assert_close(read(*batch).pooler_output, model(*batch).pooler_output,
                                   rtol=0, atol=0)


class TestStudent:
    def test_size(self) -> None:
        size = V * (D + 1) + 3 * (D * D + D + D * 3 + 3)
        assert student().num_parameters() == size
        assert student(P).num_parameters() == size + P * 65 + 64 * D

    @given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 6),
           st.sampled_from([0, P]))
    def test_padding_does_not_matter(self, lengths: list[int], more: int, couples: int) -> None:
        model, (ids, mask) = student(couples), texts(lengths, 9 + more)
        language = torch.arange(len(lengths)) % 3
        logits = model(ids, mask, language)
        for row, length in enumerate(lengths):
            alone = model(ids[row:row + 1, :length], mask[row:row + 1, :length],
                          language[row:row + 1])
            torch.testing.assert_close(logits[row:row + 1], alone)

    @given(st.permutations(range(7)))
    def test_order_does_not_matter(self, order: list[int]) -> None:
        model, (ids, mask) = student(), texts([7], 7)
        torch.testing.assert_close(model.states(ids[:, order], mask), model.states(ids, mask))

    def test_order_matters_with_pairs(self) -> None:
        model, (ids, mask) = student(P), texts([7], 7)
        backwards = model.states(ids.flip(1), mask)
        assert (model.states(ids, mask) - backwards).abs().max() > 0.1

    @pytest.mark.parametrize("heads", ["own", "residual"])
    def test_saves_and_loads(self, tmp_path: Path, heads: str) -> None:
        model, (ids, mask) = student(heads=heads), texts([4, 9, 1])
        model.save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        assert config["encoder"]["model_type"] == "amtss-static"
        assert config["pooling"] == "mean"
        read = StudentModel.from_pretrained(tmp_path).eval()
        language = torch.arange(3)
        torch.testing.assert_close(read(ids, mask, language), model(ids, mask, language),
                                   rtol=0, atol=0)


@pytest.mark.slow
class TestTraining:
    @pytest.mark.parametrize("couples", [0, 500])
    def test_learns_and_moves_scores(self, tmp_path: Path, couples: int) -> None:
        project = scored(tmp_path, student=merged(STATIC, {"architecture": {"pairs": couples}}))
        history = project.distil(max_epochs=8, top_k=3)
        assert history[-1]["average"] > 60.0
        rows = load_file(project.layout.student / "model.safetensors")[
            f"encoder.{embeddings.NAME}"]
        assert rows.shape == (len(load_tokenizer(str(project.layout.tokenizer))), 17)
        assert rows[:, -1].abs().max() > 0.1

    @pytest.mark.parametrize("couples", [0, 500])
    def test_resumes_to_the_byte(self, tmp_path: Path, couples: int) -> None:
        settings = merged(STATIC, {"architecture": {"pairs": couples}})
        whole = scored(tmp_path / "whole", student=settings)
        whole.distil()
        cut = scored(tmp_path / "cut", student=settings)
        with stopping_after(2) as stop:
            algorithm1.distil(cut.params, cut.layout, stop)
        resumed = cut.distil()
        assert cut.student == whole.student
        assert untimed(resumed) == untimed(whole.history("distil"))

    @pytest.mark.parametrize("vocabulary", ["full", "trimmed"])
    def test_starts_with_a_checkpoint_s_table(self, tmp_path: Path, vocabulary: str) -> None:
        source = write_checkpoint(tmp_path / "big", "xlm-roberta")
        project = scored(tmp_path / "project", student=merged(STATIC, {
            "checkpoint": str(source), "start": "pca", "vocabulary": vocabulary,
            "trimming": {"coverage": 0.9, "at_least": 0}}))
        project.start()
        start = load_file(project.layout.start / "model.safetensors")[embeddings.NAME]
        own, full = (load_tokenizer(str(folder)) for folder in (project.layout.tokenizer, source))
        assert (len(own) < len(full)) == (vocabulary == "trimmed")
        rows = full.convert_tokens_to_ids(own.convert_ids_to_tokens(list(range(len(own)))))
        expected = embeddings.reduce(embeddings.read(str(source), None, np.array(rows)), 16)
        expected[own.pad_token_id] = 0
        assert start[:, :-1].equal(expected)
        assert not start[:, -1].any()
        read = prepared(project).learner.weights()
        torch.testing.assert_close(read[f"encoder.{embeddings.NAME}"], start)

    def test_x_lm_tiny_is_one_too(self, tmp_path: Path) -> None:
        project = scored(tmp_path, student=STATIC)
        project.distil(max_epochs=3)
        project.baseline()
        model = StudentModel.from_pretrained(project.layout.baseline)
        assert isinstance(model.encoder, StaticEncoder)
        assert model.config.languages == ["all"]


@pytest.fixture(scope="module", params=[0, 500])
def project(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Project:
    """One with a static student and X-LM-Tiny, with pairs or without."""
    project = scored(tmp_path_factory.mktemp("static"), student=merged(
        STATIC, {"architecture": {"pairs": request.param}}))
    project.distil(max_epochs=4)
    project.baseline()
    return project


@pytest.mark.slow
class TestTrained:
    @pytest.mark.parametrize(("format", "near"), [("onnx", 1e-5), ("onnx-int8", 0.1),
                                                  ("onnx-int4", 0.2)])
    def test_answers_in_onnx_as_in_pytorch(self, project: Project, tmp_path: Path,
                                           format: export.Format, near: float) -> None:
        export.export_onnx(project.layout.student, tmp_path / "onnx", format)
        texts = table("fr", "test", 24)["text"].to_pylist()
        codes = [LANGUAGES[index % 3] for index in range(24)]
        expected, answers = (load_folder(folder).predict(texts, codes)
                             for folder in (project.layout.student, tmp_path / "onnx"))
        for one, other in zip(expected, answers, strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=near)

    def test_is_no_transformers_checkpoint(self, project: Project, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"with layers, as transformers has no classifier "
                           r"without them, found none; export it with --lang fr --format onnx$"):
            export.export(project.layout.student, "fr", tmp_path / "to")
        assert not (tmp_path / "to").exists()
        export.export_onnx(project.layout.student, tmp_path / "to", "onnx", "fr")
        assert load_folder(tmp_path / "to").languages == ["fr"]

    def test_has_a_size(self, project: Project) -> None:
        size = footprint.sizes(project.params, project.layout)["student"]
        assert size["architecture"] == "amtss-static, 0 layers"
        tokens = len(load_tokenizer(str(project.layout.tokenizer)))
        couples = project.params.student.architecture.pairs
        assert size["parameters"] == (tokens * 17 + 3 * (16 * 16 + 16 + 16 * 3 + 3)
                                      + (couples * 65 + 64 * 16 if couples else 0))


def of_two_texts(code: str, split: str, rows: int) -> pa.Table:
    """Rows of `code` whose label is in the second text; another one is in the first."""
    draw = random.Random(f"{code}-{split}")
    twos = [draw.sample(LABELS, 2) for _ in range(rows)]
    texts, others = ([f"{code}{label}{draw.randrange(4)}" for label in labels]
                     for labels in zip(*twos, strict=True))
    return pa.table({"id": [f"{code}-{split}-{at}" for at in range(rows)], "text": texts,
                     "pair": others, "label": [label for _, label in twos]})


@pytest.mark.slow
@pytest.mark.parametrize("couples", [0, 500])
def test_learns_which_of_two_texts_counts(tmp_path: Path, couples: int) -> None:
    project = Project(tmp_path, data={"columns": {"pair": "pair"}}, student=merged(
        STATIC, {"architecture": {"pairs": couples}}), teachers={
            **dict.fromkeys((*LANGUAGES, "multilingual")),
            "words": {"kind": "linear", "languages": ["all"], "cross_fit": 0}})
    for code in LANGUAGES:
        write_corpus(project.layout, code, ROWS, **{
            split: of_two_texts(code, split, rows)
            for split, rows in (ROWS | {"train": 160}).items()})
    project.teach()
    project.score()
    project.start()
    history = project.distil(max_epochs=10, top_k=3, labels_only=True)
    assert min(history[-1]["accuracy"].values()) > 90.0
    export.export_onnx(project.layout.student, tmp_path / "onnx", "onnx")
    for folder in (project.layout.student, tmp_path / "onnx"):
        one, other = load_folder(folder).predict(
            ["frchat0", "frpay0"], ["fr", "fr"], pairs=["frpay1", "frchat1"])
        assert (one.label, other.label) == ("pay", "chat")


def registered(root: Path, couples: int) -> Project:
    """A project with a registered static student of three languages, about to learn Korean."""
    project = scored(root, student=merged(STATIC, {"architecture": {"pairs": couples}}))
    project.distil(max_epochs=8, top_k=3)
    project.register()
    project.onboard("ko", vocabulary=60)
    write_corpus(project.layout, "ko", ROWS | {"train": 160})
    project.teach("ko")
    project.score("ko")
    project.start()
    return project


@pytest.mark.slow
@pytest.mark.parametrize("couples", [0, 500])
def test_learns_a_new_language(tmp_path: Path, couples: int) -> None:
    project = registered(tmp_path, couples)
    name = f"encoder.{embeddings.NAME}"
    before = load_file(project.layout.registered / "student" / "model.safetensors")[name]
    history = project.distil(max_epochs=6)
    after = load_file(project.layout.student / "model.safetensors")[name]
    assert after.shape[0] > before.shape[0]
    assert after[len(before):, -1].abs().max() > 0.0
    accuracy = history[-1]["accuracy"]
    assert accuracy["ko"] > 60.0
    assert min(accuracy[code] for code in LANGUAGES) > 50.0


@pytest.mark.parametrize(("changed", "match"), [
    ({"student": {"checkpoint": "a/b", "start": "layers", "architecture": {"layers": 0}}},
     r"student: architecture\.layers: expected 1 or more with `start: layers`, found 0"),
    ({"student": {"architecture": {"layers": 2, "pairs": 100}}},
     r"student\.architecture: pairs: expected 0 where layers is not 0, found 100"),
    ({"student": {"architecture": {"layers": -1}}},
     r"student\.architecture\.layers: expected greater than or equal to 0, found -1"),
    ({"student": {"architecture": {"layers": 0}, "pooling": "first"}},
     r"student: pooling: expected `mean` or null where architecture\.layers is 0, found `first`"),
    ({"teachers": {"en": {"architecture": {"layers": 0}}}},
     r"teachers\.en: architecture\.layers: expected 1 or more, found 0")], ids=str)
def test_settings_that_do_not_fit(tmp_path: Path, changed: dict[str, object], match: str) -> None:
    with pytest.raises(ParamsError, match=match):
        Project(tmp_path, **changed)


def test_heads_need_not_divide_the_width(tmp_path: Path) -> None:
    project = Project(tmp_path, student={"architecture": {"layers": 0, "width": 10, "heads": 4}})
    assert project.params.student.architecture.width == 10

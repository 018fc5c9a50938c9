import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.training import LABELS, begun, write_checkpoint

from amtss.config.schema import Architecture, Student
from amtss.errors import CheckpointError
from amtss.student import new_languages
from amtss.student.embeddings import NAME
from amtss.student.model import StudentModel, build_student
from amtss.student.new_languages import NEAREST, SEEN
from amtss.tokenization.tokens import Tokens

OLD = ["en", "fr", "ru"]
KNOWN = 40
"""Token ids of the student before it grows."""
SMALL = Architecture(layers=1, width=16, heads=2, feed_forward=32, vocabulary=300)


def registered(heads: str = "own", checkpoint: Path | None = None,
               vocabulary: int = KNOWN, sizes: Architecture = SMALL) -> StudentModel:
    """A student whose weights are nowhere as initialised."""
    torch.manual_seed(0)
    if checkpoint:
        model = begun(checkpoint, checkpoint / "start", OLD, layers=1, heads=heads, max_length=16)
    else:
        settings = Student.model_validate(
            {"architecture": sizes, "heads": heads, "max_length": 16})
        model = build_student(settings, OLD, list(LABELS), vocabulary, pad=1)
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def table(model: StudentModel) -> torch.Tensor:
    return model.get_input_embeddings().weight.detach()


def logits(model: StudentModel, code: str) -> torch.Tensor:
    """Of twelve texts in `code`, short and long."""
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(5, KNOWN, (12, 9), generator=draw)
    mask = (torch.arange(9) < torch.randint(2, 10, (12, 1), generator=draw)).long()
    with torch.no_grad():
        result: torch.Tensor = model.eval()(ids.masked_fill(mask == 0, 1), mask, torch.full(
            (12,), model.config.languages.index(code)))
    return result


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("bert") / "bert", "bert", width=16)


@pytest.fixture(params=["xlm-roberta own", "xlm-roberta residual", "bert own", "bert residual",
                        "static own", "static residual"])
def model(request: pytest.FixtureRequest, bert: Path) -> StudentModel:
    kind, heads = request.param.split()
    if kind == "static":
        return registered(heads, sizes=Architecture(layers=0, width=16))
    return registered(heads, bert if kind == "bert" else None)


class TestExtend:
    @pytest.mark.parametrize("languages", [[*OLD, "ko"], ["ko", "ru", "pl", "en", "fr"]], ids=str)
    def test_old_languages_answer_as_before(self, model: StudentModel,
                                            languages: list[str]) -> None:
        extended = new_languages.extend(model, languages, len(table(model)) + 20)
        assert extended.config.languages == languages
        assert extended.config.heads == model.config.heads
        for code in OLD:
            torch.testing.assert_close(logits(extended, code), logits(model, code), rtol=0, atol=0)

    def test_a_new_head_is_the_mean_of_the_old(self, model: StudentModel) -> None:
        extended = new_languages.extend(model, [*OLD, "ko", "pl"], KNOWN)
        for code in ("ko", "pl"):
            for name, parameter in extended.heads[code].named_parameters():
                torch.testing.assert_close(parameter, torch.stack(
                    [model.heads[other].get_parameter(name) for other in OLD]).mean(dim=0))

    def test_a_new_token_is_the_mean_of_the_old(self, model: StudentModel) -> None:
        before = table(model).clone()
        after = table(new_languages.extend(model, [*OLD, "ko"], len(before) + 5))
        assert len(after) == len(before) + 5
        torch.testing.assert_close(after[:len(before)], before, rtol=0, atol=0)
        torch.testing.assert_close(after[len(before):], before.mean(dim=0).expand(5, -1))

    def test_the_registered_one_stays_what_it_was(self, model: StudentModel) -> None:
        before = {name: value.clone() for name, value in model.state_dict().items()}
        new_languages.extend(model, [*OLD, "ko"], len(table(model)) + 5)
        assert model.config.languages == OLD
        assert model.config.encoder.vocab_size == len(table(model))
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, before[name], rtol=0, atol=0)

    def test_embeddings_beyond_the_tokenizers_ids_stay(self) -> None:
        model = registered(vocabulary=KNOWN + 8)  # as checkpoints pad theirs
        extended = new_languages.extend(model, [*OLD, "ko"], KNOWN)
        torch.testing.assert_close(table(extended), table(model), rtol=0, atol=0)

    def test_what_is_saved_can_be_read(self, tmp_path: Path, model: StudentModel) -> None:
        extended = new_languages.extend(model, [*OLD, "ko"], len(table(model)) + 5)
        extended.save_pretrained(tmp_path)
        read = new_languages.load(tmp_path, [*OLD, "ko"], LABELS, 16)
        for code in (*OLD, "ko"):
            torch.testing.assert_close(logits(read, code), logits(extended, code), rtol=0, atol=0)


class TestLoad:
    @pytest.mark.parametrize(("languages", "labels", "length", "match"), [
        (OLD, ("chat", "ship", "pay"), 16, r"the labels chat, ship, pay, found chat, pay, ship; "
                                           r"correct data\.labels in params\.yaml"),
        (OLD, ("chat", "pay"), 16, "the labels chat, pay, found chat, pay, ship"),
        (["en", "fr"], LABELS, 16, r"the languages en, fr, found en, fr, ru; correct languages or "
                                   r"onboarding\.languages in params\.yaml"),
        ([*OLD, "pl"], LABELS, 16, "the languages en, fr, pl, ru, found en, fr, ru"),
        (OLD, LABELS, 17, r"texts of 17 tokens, found 16; lower student\.max_length")])
    def test_refuses_another_student(self, tmp_path: Path, languages: list[str],
                                     labels: tuple[str, ...], length: int, match: str) -> None:
        registered().save_pretrained(tmp_path / "student")
        with pytest.raises(CheckpointError, match=f"student: expected a student .*{match}"):
            new_languages.load(tmp_path / "student", languages, labels, length)

    def test_takes_languages_in_any_order(self, tmp_path: Path) -> None:
        registered().save_pretrained(tmp_path)
        assert new_languages.load(tmp_path, OLD[::-1], LABELS, 8).config.languages == OLD

    def test_needs_one(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"student: .*`dvc repro -f fetch`"):
            new_languages.load(tmp_path / "student", OLD, LABELS, 16)


Texts = list[list[int]]


def tokens(texts: Texts) -> Tokens:
    """In two parts."""
    cut = len(texts) // 3
    parts = [[token for text in part for token in text] for part in (texts[:cut], texts[cut:])]
    return Tokens(tuple(np.array(part, dtype=np.int32) for part in parts),
                  np.cumsum([0, *map(len, texts)], dtype=np.int64))


def drawn(seed: int, vocabulary: int, rows: int = 60) -> tuple[Texts, np.ndarray, np.ndarray]:
    """Texts, their soft targets, and which are of new languages."""
    draw = np.random.default_rng(seed)
    texts = [draw.integers(0, vocabulary, draw.integers(1, 9)).tolist() for _ in range(rows)]
    targets = draw.dirichlet(np.full(3, 0.5), rows).astype(np.float32)
    return texts, targets, draw.random(rows) < 0.5


def profile(token: int, texts: Texts, targets: np.ndarray, rows: np.ndarray) -> tuple[
        list[float], int]:
    """`new_languages.profiles` of one token, text by text."""
    own = [i for i in range(len(texts)) if rows[i]]
    having = [i for i in own if token in texts[i]]
    ratios = []
    for label in range(targets.shape[1]):
        share = sum(float(targets[i][label]) for i in own) / len(own)
        mass = sum(float(targets[i][label]) for i in having)
        ratios.append(math.log((mass + SEEN * share) / (len(having) + SEEN) / share))
    return ratios, len(having)


class TestProfiles:
    @pytest.mark.parametrize("seed", range(3))
    def test_are_those_of_the_reference(self, seed: int) -> None:
        texts, targets, rows = drawn(seed, 30)
        ratios, counts = new_languages.profiles(tokens(texts), targets, rows, 32)
        expected = [profile(token, texts, targets, rows) for token in range(32)]
        np.testing.assert_allclose(ratios, [ratio for ratio, _ in expected], atol=1e-6)
        assert counts.tolist() == [count for _, count in expected]

    def test_a_token_that_no_text_has_speaks_for_nothing(self) -> None:
        texts, targets, rows = drawn(0, 30)
        ratios, counts = new_languages.profiles(tokens(texts), targets, rows, 32)
        np.testing.assert_allclose(ratios[30:], 0.0, atol=1e-12)
        assert counts[30:].tolist() == [0, 0]

    def test_a_text_counts_once_and_so_does_a_label_that_has_no_text(self) -> None:
        targets = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32)
        ratios, counts = new_languages.profiles(tokens([[4, 4, 4], [4, 5]]), targets,
                                                np.array([True, True]), 6)
        assert counts.tolist() == [0, 0, 0, 0, 2, 1]
        assert np.isfinite(ratios).all()
        assert ratios[5].argmax() == 1


class TestInitialiseEmbeddings:
    NEW = 300
    """More new tokens than are compared at once."""

    @pytest.mark.parametrize("seed", range(2))
    @pytest.mark.parametrize("rows", [40, 600], ids=lambda rows: f"{rows} rows")
    def test_is_what_the_reference_says(self, seed: int, rows: int) -> None:
        texts, targets, new = drawn(seed, KNOWN, rows)
        texts = [[token + KNOWN if new[i] and token % 2 else token for token in text]
                 for i, text in enumerate(texts)]
        extended = new_languages.extend(registered(), [*OLD, "ko"], KNOWN + self.NEW)
        before = table(extended).numpy().astype(np.float64)
        new_languages.initialise_embeddings(extended, KNOWN, tokens(texts), targets, new)
        after = table(extended).numpy()

        old = {token: of for token in range(KNOWN)
               for of, count in [profile(token, texts, targets, ~new)] if count >= SEEN}
        assert (len(old) < NEAREST) == (rows == 40)
        for token in range(KNOWN, KNOWN + self.NEW):
            own, _ = profile(token, texts, targets, new)
            near = sorted((sum((a - b) ** 2 for a, b in zip(own, of, strict=True)), old_id)
                          for old_id, of in old.items())[:NEAREST]
            weight = [math.exp(-(distance - near[0][0]) / 2) for distance, _ in near]
            expected = sum(share * before[old_id]
                           for share, (_, old_id) in zip(weight, near, strict=True))
            np.testing.assert_allclose(after[token], expected / sum(weight), atol=1e-4)
        np.testing.assert_array_equal(after[:KNOWN], before[:KNOWN].astype(np.float32))

    def test_a_token_of_one_label_lands_among_the_old_ones_of_that_label(self) -> None:
        # tokens 10, 11, 12 speak for a label each, 20, 21, 22 stand everywhere
        texts = [[10 + i % 3, 20 + i % 5 % 3] for i in range(60)]
        texts += [[KNOWN + i % 3, 20 + i % 5 % 3] for i in range(60)]
        targets = np.eye(3, dtype=np.float32)[np.arange(120) % 3]
        extended = new_languages.extend(registered(), [*OLD, "ko"], KNOWN + 3)
        new_languages.initialise_embeddings(extended, KNOWN, tokens(texts), targets,
                                            np.arange(120) >= 60)
        distance = torch.cdist(table(extended)[KNOWN:], table(extended)[[10, 11, 12, 20, 21, 22]])
        assert distance.argmin(dim=1).tolist() == [0, 1, 2]

    def test_without_familiar_tokens_all_stays(self) -> None:
        texts, targets, new = drawn(0, KNOWN, rows=6)
        extended = new_languages.extend(registered(), [*OLD, "ko"], KNOWN + 5)
        before = table(extended).clone()
        new_languages.initialise_embeddings(extended, KNOWN, tokens(texts), targets, new)
        torch.testing.assert_close(table(extended), before, rtol=0, atol=0)

    def test_a_token_in_five_texts_is_familiar_whatever_rounding_does(self) -> None:
        targets = np.tile(np.float32([0.3, 0.3, 0.4]) - np.float32(1e-7), (10, 1))
        extended = new_languages.extend(registered(), [*OLD, "ko"], KNOWN + 1)
        texts = [[7]] * 5 + [[KNOWN]] * 5
        new_languages.initialise_embeddings(extended, KNOWN, tokens(texts), targets,
                                            np.arange(10) >= 5)
        torch.testing.assert_close(table(extended)[KNOWN], table(extended)[7])


class TestBeginEmbeddings:
    def test_sets_the_new_rows_alone(self, tmp_path: Path) -> None:
        model = new_languages.extend(registered(), [*OLD, "ko"], KNOWN + 3)
        before = table(model).clone()
        rows = torch.randn(3, before.shape[1])
        save_file({NAME: rows}, tmp_path / "model.safetensors")
        new_languages.begin_embeddings(model, KNOWN, tmp_path)
        torch.testing.assert_close(table(model), torch.cat([before[:KNOWN], rows]))

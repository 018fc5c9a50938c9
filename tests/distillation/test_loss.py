import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor
from torch.nn import functional

from amtss.data.corpus import UNLABELLED
from amtss.distillation.loss import distillation_loss

B, C = 5, 4
finite = st.floats(-8, 8, width=32)
logits_of = arrays(np.float32, (B, C), elements=finite).map(torch.from_numpy)
labels_of = arrays(np.int64, B, elements=st.integers(0, C - 1)).map(torch.from_numpy)
weights = st.floats(0, 4)
temperatures = st.floats(0.5, 8)


def soft(logits: Tensor, temperature: float = 1.0) -> Tensor:
    return torch.softmax(logits / temperature, dim=-1)


@given(logits_of, logits_of, labels_of, weights, temperatures)
def test_equation_7(student: Tensor, teacher: Tensor, labels: Tensor, weight: float,
                    temperature: float) -> None:
    targets = soft(teacher, temperature)
    loss = distillation_loss(student, targets, labels, kd_weight=weight, temperature=temperature)
    hard = kl = 0.0
    for q, z, y in zip(targets.double(), student.double(), labels, strict=True):
        hard -= math.log(float(soft(z)[y]))
        p = soft(z, temperature)
        kl += sum(float(a * (a / b).log()) for a, b in zip(q, p, strict=True) if a > 0)
    assert float(loss.hard) == pytest.approx(hard / B, rel=1e-4, abs=1e-4)
    assert float(loss.soft) == pytest.approx(temperature**2 * kl / B, rel=1e-3, abs=1e-3)
    assert float(loss.total) == pytest.approx(float(loss.hard + weight * loss.soft), rel=1e-5)


@given(logits_of, logits_of, labels_of)
def test_lambda_0_is_cross_entropy(student: Tensor, teacher: Tensor, labels: Tensor) -> None:
    loss = distillation_loss(student, soft(teacher), labels, kd_weight=0)
    assert float(loss.total) == pytest.approx(
        float(functional.cross_entropy(student, labels)), rel=1e-5, abs=1e-6)


@given(logits_of, labels_of, st.sets(st.integers(0, B - 1)))
def test_unlabelled_rows_have_no_hard_loss(student: Tensor, labels: Tensor,
                                           without: set[int]) -> None:
    labels = labels.clone()
    labels[list(without)] = UNLABELLED
    student.requires_grad_()
    loss = distillation_loss(student, soft(student.detach()), labels, kd_weight=1.0)
    losses = functional.cross_entropy(student, labels, ignore_index=UNLABELLED, reduction="none")
    assert loss.hard.item() == pytest.approx(losses.sum().item() / B, rel=1e-5, abs=1e-6)
    gradient, = torch.autograd.grad(loss.total, student)
    for row in without:
        assert float(gradient[row].abs().max()) < 1e-6


@given(logits_of, logits_of, labels_of, temperatures)
def test_kl_is_not_negative(student: Tensor, teacher: Tensor, labels: Tensor,
                            temperature: float) -> None:
    loss = distillation_loss(student, soft(teacher, temperature), labels, kd_weight=1.0,
                             temperature=temperature)
    assert float(loss.soft) >= -1e-4


@given(logits_of, labels_of, temperatures)
def test_kl_is_zero_where_both_agree(student: Tensor, labels: Tensor, temperature: float) -> None:
    loss = distillation_loss(student, soft(student, temperature), labels, kd_weight=1.0,
                             temperature=temperature)
    assert float(loss.soft) == pytest.approx(0, abs=1e-4)


def test_kl_is_positive_where_they_differ() -> None:
    loss = distillation_loss(torch.zeros(1, 2), torch.tensor([[0.9, 0.1]]), torch.tensor([0]),
                             kd_weight=1.0)
    assert float(loss.soft) == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2), rel=1e-5)


def test_hard_targets_of_probability_0_count_nothing() -> None:
    loss = distillation_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.tensor([0]),
                             kd_weight=1.0)
    assert float(loss.soft) == pytest.approx(math.log(2))


def test_temperature_keeps_the_size_of_gradients() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(64, 5), torch.randn(64, 5)
    sizes = []
    for temperature in (5.0, 10.0, 20.0):
        leaf = student.clone().requires_grad_()
        loss = distillation_loss(leaf, soft(teacher, temperature), torch.zeros(64).long(),
                                 kd_weight=1.0, temperature=temperature)
        gradient, = torch.autograd.grad(loss.soft, leaf)
        sizes.append(float(gradient.norm()))
    assert max(sizes) / min(sizes) < 1.1


def test_low_precision_logits_are_widened() -> None:
    loss = distillation_loss(torch.zeros(2, 3, dtype=torch.bfloat16), torch.full((2, 3), 1 / 3),
                             torch.tensor([0, 1]), kd_weight=1.0)
    assert loss.total.dtype == torch.float32

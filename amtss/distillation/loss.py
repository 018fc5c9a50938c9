"""Equation 7: cross-entropy with the labels plus lambda times KL to the soft targets.

Shapes: B examples of a batch, C classes.
"""

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from amtss.data.corpus import UNLABELLED


class Loss(NamedTuple):
    """The three numbers of Equation 7, each a mean over the batch. *Shape:* ()"""

    total: Tensor
    hard: Tensor
    """H(y, student): cross-entropy with the labels, 0 for unlabelled examples."""
    soft: Tensor
    """KL(soft targets || student), scaled by the temperature's square."""


def distillation_loss(student_logits: Tensor, soft_targets: Tensor, labels: Tensor, *,
                      kd_weight: float, temperature: float = 1.0) -> Loss:
    """Equation 7 with lambda = `kd_weight`, as a mean over the batch.

    Args:
        student_logits: *Shape:* (B, C)
        soft_targets: teachers' probabilities at the same temperature (Equation 4). *Shape:* (B, C)
        labels: class indices, `UNLABELLED` where there is none. *Shape:* (B,)
        kd_weight: 0 learns from labels alone.
        temperature: 1 is the paper; otherwise the KL term is scaled by its square, so that its
            gradients keep their size (Hinton et al., 2015).
    """
    logits = student_logits.float()
    size = logits.shape[0]
    hard = functional.cross_entropy(logits, labels, ignore_index=UNLABELLED,
                                    reduction="sum") / size
    soft = functional.kl_div(functional.log_softmax(logits / temperature, dim=-1), soft_targets,
                             reduction="batchmean") * temperature**2
    return Loss(hard + kd_weight * soft if kd_weight else hard, hard, soft)

"""One state for a whole text. Shapes: B texts of a batch, S tokens, d the encoder's width."""

from torch import Tensor

from amtss.config.schema import Pooling


def pooled(hidden_states: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """The first token's state, or the mean of the states of all tokens but padding.

    Args:
        hidden_states: of the encoder's last layer. *Shape:* (B, S, d)
        mask: 0 where there is padding. *Shape:* (B, S)

    Returns: *Shape:* (B, d)
    """
    if pooling == "first":
        return hidden_states[:, 0]
    real = mask.unsqueeze(-1).to(hidden_states.dtype)
    return (hidden_states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)

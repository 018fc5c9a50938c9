"""XLM-R's architecture at any size, for from-scratch teachers and the student."""

from transformers import XLMRobertaConfig

from amtss.config.schema import Architecture


def scratch(architecture: Architecture, vocabulary: int, pad: int, max_length: int,
            dropout: float) -> XLMRobertaConfig:
    """A configuration of XLM-R's architecture; positions begin behind the padding id, as in XLM-R.

    It has at least 512 positions, as XLM-R, so that Table 3's size does not depend on `max_length`.
    There is no dropout inside attention: in a small model, drawing it takes too much time.

    Args:
        vocabulary: number of token ids.
        pad: the padding token's id.
        dropout: of hidden states.
    """
    return XLMRobertaConfig(
        vocab_size=vocabulary, hidden_size=architecture.width,
        num_hidden_layers=architecture.layers, num_attention_heads=architecture.heads,
        intermediate_size=architecture.feed_forward,
        max_position_embeddings=max(max_length, 512) + pad + 1, type_vocab_size=1,
        pad_token_id=pad, hidden_dropout_prob=dropout, attention_probs_dropout_prob=0.0)

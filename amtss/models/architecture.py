"""XLM-R's architecture at any size, for from-scratch teachers and the student."""

from transformers import XLMRobertaConfig

from amtss.config.schema import Architecture


def scratch(architecture: Architecture, vocabulary: int, pad: int, max_length: int,
            dropout: float) -> XLMRobertaConfig:
    """A config whose positions begin behind the padding id.

    512 positions, as XLM-R has them, so that Table 3's size holds whatever `max_length` is. No
    dropout inside attention: drawing it costs a small model more time than it is worth.

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

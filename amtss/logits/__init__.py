"""The teachers' logits: run each teacher once, cache its logits, mix them to soft targets."""

"""The teachers' logits: run a teacher once, keep what it says, read it again."""

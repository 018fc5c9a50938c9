"""One language of a student as a plain transformers model."""

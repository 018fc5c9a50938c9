"""The student as MLflow serves it: a model from code."""

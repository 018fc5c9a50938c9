"""Adaptive multi-teacher single-student distillation for multilingual text classification."""

__version__ = "0.1.0"

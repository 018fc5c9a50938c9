"""Drift: whether new texts are still like those that the student was made for."""

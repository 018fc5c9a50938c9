"""Texts: reading a source, sampling it, and the corpora on disk."""

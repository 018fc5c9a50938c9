"""Tokenizers, and texts as token ids."""

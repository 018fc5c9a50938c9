"""How much a server answers at once."""

BYTES = 4 * 2**20
"""Length of a request; more takes longer than the server waits for an answer."""
ROWS = 10_000
"""Rows of a request."""
LENGTH = 500
"""Characters of an error's message."""

"""Where texts come from, and the corpora that they become on disk."""

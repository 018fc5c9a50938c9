"""A trained student at work: predict, export, serve."""

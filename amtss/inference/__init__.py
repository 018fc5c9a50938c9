"""Use a trained student: predict, export, serve."""

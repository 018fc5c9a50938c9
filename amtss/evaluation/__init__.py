"""Reading the test split once, and the metrics that come of it."""

"""Reading the test split once: metrics, sizes and costs of all models."""

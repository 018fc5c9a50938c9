"""Runs in MLflow: what every stage that trains or evaluates tells."""

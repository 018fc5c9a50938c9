"""Prefect flows; the pipeline itself is `dvc.yaml`."""

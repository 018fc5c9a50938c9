"""A new language: params.yaml, the pipeline, the registry and the gate, in one command."""

"""The settings: what params.yaml may hold, how it is read, how it is edited."""

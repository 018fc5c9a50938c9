"""MLflow: runs, registered versions, and the rules of promotion."""

"""The model registry: MLflow runs, model versions, loading and promotion."""

"""The steps of the pipeline: one Prefect task per file."""

"""The steps of the pipeline: one Prefect task a file."""

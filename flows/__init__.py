"""Flows: the steps wired into pipelines."""

"""Reporting: command line, terminal output, progress, pages, failures, events."""

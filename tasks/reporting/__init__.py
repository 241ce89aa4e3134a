"""Reporting: command line, terminal output, progress, figures, pages, failures, events."""

"""Reporting: command line, terminal output, progress, pages, events."""

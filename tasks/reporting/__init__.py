"""Showing: what a person types and sees: command line, screen, progress, figures, pages, failures, events."""

"""Fault tests: the real flow in real processes that are killed, run out of disk, or find damaged files."""

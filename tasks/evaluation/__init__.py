"""Judging: numbers that people compare, drift, the registry and its champion."""

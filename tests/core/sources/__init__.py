"""Tests of tasks/core/sources/."""

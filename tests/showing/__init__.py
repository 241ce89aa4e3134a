"""Tests of tasks/showing/."""

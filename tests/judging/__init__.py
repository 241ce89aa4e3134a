"""Tests of tasks/judging/."""

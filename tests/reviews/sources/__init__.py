"""Tests of tasks/reviews/sources/."""

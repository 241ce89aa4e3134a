"""Tests of tasks/reviews/."""

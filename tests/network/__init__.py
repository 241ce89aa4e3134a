"""Tests of tasks/network/."""

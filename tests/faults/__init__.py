"""Faults: the real flow in real processes, killed, starved and lied to. Run with `pytest -m faults`."""

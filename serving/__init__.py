"""Serving: the champion over HTTP, as an API and a web page."""

import sys
from pathlib import Path

# Import our `tasks`, not a tasks.py in the working directory or on PYTHONPATH.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import tasks  # noqa: F401

sys.path.pop(0)

"""Which processes still run."""

from collections.abc import Sequence

import psutil


def running_after(seconds: float, processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Return the processes that still run after some seconds; a zombie does not."""
    _gone, alive = psutil.wait_procs(processes, timeout=seconds)
    return [its for its in alive if its.is_running() and its.status() != psutil.STATUS_ZOMBIE]

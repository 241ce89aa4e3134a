"""Orphan cleanup: a watchdog process ends the workers and the server that a run has started, once the run has ended.

A run that is killed cannot end them itself. What a run starts inherits a variable of its environment that names it.
This file is also the watchdog's program: it imports little, because it is in memory as long as the run.
"""

import contextlib
import functools
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

OWNER = "PIPELINE_SERVER_OWNER"  # the file by which the run announced itself
ROUNDS = 3  # a process may have been starting another one when it was ended


@functools.cache
def start_watchdog(owner: str) -> "subprocess.Popen[bytes]":
    """Start the watchdog of this process, and mark what this process starts from now on as its own.

    The watchdog's standard input ends with this process. It has a session of its own, so that what kills a process
    group leaves it alive. `owner` is the file by which this process announced itself.
    """
    os.environ[OWNER] = owner
    return subprocess.Popen(
        [sys.executable, "-P", __file__, owner],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def stop(processes: "Sequence[psutil.Process]") -> None:
    """End processes, by force after five seconds; those that have ended by themselves are no error."""
    import psutil

    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _gone, alive = psutil.wait_procs(processes, timeout=5)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def main(owner: str) -> None:
    """Wait until the run has ended, and end what it has left."""
    sys.stdin.buffer.read()
    import psutil

    for _ in range(ROUNDS):
        # Without those that have ended; the environment of one that is not ours to ask is None.
        others = (process for process in psutil.process_iter(["environ"]) if process.pid != os.getpid())
        left = [process for process in others if (process.info["environ"] or {}).get(OWNER) == owner]
        if not left:
            return
        stop(left)
        time.sleep(0.5)


if __name__ == "__main__":
    main(sys.argv[1])

"""A worker process: what it does before its first part; each pays for what is imported here, so it is little."""

import multiprocessing
import os
import signal
import threading

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


def fair_share(at_once: int) -> dict[str, str]:
    """Return the variables that give each of `at_once` processes its share of the machine's processors.

    They count for a process that has not imported TensorFlow yet. What the user has set stays.
    """
    share = str(max(1, (os.cpu_count() or 1) // at_once))
    return {name: os.environ.get(name, share) for name in THREADS}


def share_processors(at_once: int) -> None:
    """Take this process's fair share, at its start."""
    os.environ.update(fair_share(at_once))


def begin(at_once: int) -> None:
    """Make this process a worker: it takes its fair share, and ends with the process that it works for, not before."""
    share_processors(at_once)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what the terminal sends to all; the process it works for ends it
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """End this process when the one that started it has ended, be it killed: it would wait for parts for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

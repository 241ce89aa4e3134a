"""Signals: SIGTERM and SIGINT end a run in order, wherever they arrive."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from prefect.exceptions import TerminationSignal

RAISED_BY = {KeyboardInterrupt: signal.SIGINT, TerminationSignal: signal.SIGTERM, SystemExit: signal.SIGTERM}


def handle_signals() -> None:
    """Exit at SIGTERM, and send a signal again whose exception Python dropped because it was raised in a destructor.

    TensorFlow's objects have destructors, and after it has traced a network thousands of them run.
    """
    # Prefect marks the run and passes SIGTERM on; an exit, unlike the signal's default, also stops its server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.unraisablehook = repeat_signals(sys.unraisablehook)


def repeat_signals(report: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Return a hook for exceptions that cannot be raised: it sends signals again, and leaves others to `report`."""

    def repeat_or_report(dropped: Any) -> None:
        number = RAISED_BY.get(dropped.exc_type)
        if number is None:
            report(dropped)
        else:
            # From another thread, later: an exception within this hook would be dropped too.
            threading.Timer(0.1, os.kill, (os.getpid(), number)).start()

    return repeat_or_report

"""Signals: SIGTERM and SIGINT end a run in order, wherever they arrive."""

import os
import signal
import sys
import threading
from typing import Any

from prefect.exceptions import TerminationSignal

RAISED_BY = {KeyboardInterrupt: signal.SIGINT, TerminationSignal: signal.SIGTERM, SystemExit: signal.SIGTERM}


def handle_signals() -> None:
    """Exit at SIGTERM, and send a signal again whose exception Python dropped because it was raised in a destructor.

    TensorFlow's objects have destructors, and after it has traced a network thousands of them run.
    """
    # Prefect marks the run and passes SIGTERM on; an exit, unlike the signal's default, also stops its server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report = sys.unraisablehook

    def repeat_or_report(dropped: Any) -> None:
        number = RAISED_BY.get(dropped.exc_type)
        if number is None:
            report(dropped)
        else:
            # From another thread, later: an exception within this hook would be dropped too.
            threading.Timer(0.1, os.kill, (os.getpid(), number)).start()

    sys.unraisablehook = repeat_or_report

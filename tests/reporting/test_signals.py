import signal
import subprocess
import sys

import pytest

IN_A_DESTRUCTOR = """
import os, signal, sys, time
from tasks.reporting.command_line import handle_signals

class Doomed:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(0.01)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
handle_signals()
Doomed()
print("still running", flush=True)
time.sleep(30)
print("never stopped")
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal_that_arrives_in_a_destructor_still_ends_the_process(number, status):
    command = [sys.executable, "-c", IN_A_DESTRUCTOR, str(int(number))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (status, "still running\n")


def test_other_exceptions_in_a_destructor_are_reported(monkeypatch):
    from tasks.reporting.command_line import handle_signals

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: reported.append(dropped.exc_type))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    handle_signals()

    class Doomed:
        def __del__(self):
            raise ValueError

    Doomed()
    assert reported == [ValueError]

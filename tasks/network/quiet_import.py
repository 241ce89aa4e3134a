"""Notices: keeps what TensorFlow prints for its own developers off the screen, and lets all else through at once.

The sieve is this file, run as a process of its own that needs the standard library alone: what the import prints is
shown even if the import takes the whole process down.
"""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator

# No GPU, oneDNN's rounding, instructions that this build leaves unused: no news to a reader of the run.
NOTICE = re.compile(
    rb"absl::InitializeLog|oneDNN custom operations|cuda_?stub|cuda_platform|cuda_executor|cudart|"
    rb"cpu_feature_guard|To enable the following instructions|Unable to register cu"
)
LAST_LINES_SECONDS = 10


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Put the sieve between this process's standard error, C++ included, and the screen."""
    sys.stderr.flush()
    screen = os.dup(2)
    # In a session of its own, for Ctrl-C ends the run and not what still shows its last words.
    command = [sys.executable, "-I", "-S", __file__]
    sieve = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=screen, start_new_session=True
    )
    assert sieve.stdin
    os.dup2(sieve.stdin.fileno(), 2)
    sieve.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(screen, 2)
        os.close(screen)
        # It ends with its input; a process that the import started and that lives on would hold that open.
        with contextlib.suppress(subprocess.TimeoutExpired):
            sieve.wait(LAST_LINES_SECONDS)


def pass_on() -> None:
    """Copy standard input to standard error line by line, without the notices."""
    for line in sys.stdin.buffer:
        if not NOTICE.search(line):
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()


if __name__ == "__main__":
    pass_on()

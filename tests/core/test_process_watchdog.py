import subprocess
import sys

import psutil


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_only_processes_that_a_killed_run_started_are_ended(tmp_path):
    """Children and grandchildren, also one in its own session and one that ignores SIGTERM."""
    others = (
        'import subprocess, sys, time; print(subprocess.Popen(["sleep", "60"], start_new_session=True).pid, flush=True)'
    )
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(0, flush=True); time.sleep(60)"
    )
    run = (
        "import subprocess, sys, time; from pathlib import Path;"
        "from tasks.core.process_watchdog import start_watchdog;"
        "from tasks.store.inventory import announce_use; start_watchdog(announce_use(Path(sys.argv[1])).lock_file);"
        "children = [subprocess.Popen([sys.executable, '-c', code], stdout=-1) for code in sys.argv[2:]];"
        "print(*(n for child in children for n in (child.pid, int(child.stdout.readline()))), flush=True);"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", run, str(tmp_path), f"{others}; time.sleep(60)", stubborn]
    with (
        subprocess.Popen(["sleep", "60"]) as bystander,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed,
    ):
        started = [psutil.Process(int(number)) for number in killed.stdout.readline().split() if int(number)]
        assert len(started) == 3
        killed.kill()
        _gone, alive = psutil.wait_procs(started, timeout=20)
        assert [process for process in alive if is_running(process)] == []
        assert bystander.poll() is None
        bystander.kill()

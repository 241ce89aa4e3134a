"""Prefect's temporary server: what a killed run left of it, and its database, made sound before a run begins."""

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil

from tasks.core.environment import store_root
from tasks.core.usage import announce_use, is_live

APPLICATION = "prefect.server.api.server:create_app"
OWNER = "PIPELINE_SERVER_OWNER"  # the file by which the process that started the server announced itself


def prepare_server(warn: Callable[[str], None]) -> None:
    """Clear the way for Prefect's temporary server.

    Args:
        warn: told what was found and done.

    Raises:
        StoreError: the store cannot be written.
    """
    home = Path(os.environ["PREFECT_HOME"])
    stop_orphans(home)
    set_aside_damaged_database(home / "prefect.db", warn)
    # The server that Prefect may start for this process inherits it.
    os.environ[OWNER] = announce_use(store_root()).lock_file


def stop_orphans(home: Path) -> int:
    """Stop temporary servers whose run was killed, and return how many there were.

    Prefect stops its server when the run ends, but nothing can when the run is killed. Whose server it is stands in
    its environment; who its parent is tells nothing, since the system gives orphans to whatever process it likes, and
    in a container the first process may be a run.

    Args:
        home: PREFECT_HOME of the servers to look for.
    """
    orphans = [process for process in psutil.process_iter(["cmdline"]) if is_orphan(process, home)]
    for process in orphans:
        process.terminate()
    _gone, alive = psutil.wait_procs(orphans, timeout=5)
    for process in alive:
        process.kill()
    return len(orphans)


def is_orphan(process: psutil.Process, home: Path) -> bool:
    """Tell whether a process, its cmdline at hand, is a temporary server in `home` whose owner has ended.

    One that we may not ask is not ours, and neither is one that names no owner: a person may have started it.
    """
    if APPLICATION not in (process.info["cmdline"] or []):
        return False
    try:
        told = process.environ()
    except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
    return told.get("PREFECT_HOME") == str(home) and OWNER in told and not is_live(Path(told[OWNER]))


def set_aside_damaged_database(path: Path, warn: Callable[[str], None]) -> None:
    """Rename a database that SQLite finds damaged, so that the server makes a new one.

    It holds the history of runs, which the run folders keep too; no step depends on it.
    """
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=30)) as database:
            found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return  # another run is writing to it, so it is in use and sound
        found = str(error)
    if found == "ok":
        return
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    warn(f"{path}: Prefect's database is damaged ({found}); it is kept as {aside.name}, and a new one is begun")

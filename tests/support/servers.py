"""Real servers on loopback: Prefect, MLflow and PostgreSQL."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.registry import local_registry
from tests.support.shared import start_prefect_server
from tests.support.web import free_port, wait_for


def programs_of_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None if it is not installed.

    Debian keeps them in one folder per version, outside the PATH.
    """
    initdb = shutil.which("initdb")
    if initdb:
        return Path(initdb).resolve().parent  # the PATH may contain links only
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(installed, key=lambda path: float(path.parts[-3]), default=None)
    return newest.parent if newest else None


@contextmanager
def postgres(*databases: str) -> Iterator[str]:
    """Start PostgreSQL with these databases; yield its address with the password, without a database's name."""
    programs = programs_of_postgres()
    assert programs is not None
    # PostgreSQL refuses to run as root, and another user cannot enter pytest's folders.
    plain = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    identity = {"user": plain.pw_uid, "group": plain.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    port, password = free_port(), secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="tests-postgres-") as folder:
        word, data = Path(folder) / "word", Path(folder) / "data"
        word.write_text(password)
        for path in (folder, word):
            os.chown(path, plain.pw_uid, plain.pw_gid)
        make = [programs / "initdb", "--pgdata", data, "--username", "imdb", "--pwfile", word]
        make += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--no-sync"]
        subprocess.run(make, cwd=folder, check=True, stdout=subprocess.DEVNULL, **identity)
        word.unlink()
        # No socket file and no fsync: the folder is deleted after the test.
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        start = [programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in settings.items())]
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(start, cwd=folder, stdout=log, stderr=log, **identity)
        try:
            own = os.environ | {"PGPASSWORD": password}
            place = ["--host", "127.0.0.1", "--port", str(port), "--username", "imdb"]
            wait_for_postgres([programs / "pg_isready", *place], Path(folder) / "log")
            for database in databases:
                subprocess.run([programs / "createdb", *place, database], env=own, cwd=folder, check=True)
            yield f"imdb:{password}@127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown: closes open connections
            server.wait(60)


def wait_for_postgres(question: list, log: Path) -> None:
    """Wait up to two minutes until PostgreSQL accepts connections."""
    for _ in range(600):
        if subprocess.run(question, stdout=subprocess.DEVNULL, check=False).returncode == 0:
            return
        time.sleep(0.2)
    raise TimeoutError(log.read_text())


@contextmanager
def prefect_server_for(clients: Mapping[str, str], database: str | None = None) -> Iterator[dict[str, str]]:
    """Start Prefect's server with the services that act on events; yield the environment of its clients.

    Args:
        clients: the environment of the clients and the server, without the server's address.
        database: the address of the server's database, which may contain a password; default: an SQLite file.
    """
    own = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database} if database else {}
    server, address = start_prefect_server({**clients, **own})
    try:
        yield {**clients, "PREFECT_API_URL": address}
    finally:
        server.terminate()
        server.wait(60)


@contextmanager
def mlflow_server(database: str, files: Path, port: int | None = None) -> Iterator[str]:
    """Start MLflow's server and yield its address.

    Args:
        database: the address of its database, passed in the environment because it may contain a password.
        files: the folder of the models' files.
        port: default: a free one.
    """
    if database.startswith("sqlite:///"):  # a copy: the server takes ten seconds to create one
        local_registry.create_tables(Path(database.removeprefix("sqlite:///")))
    port = port or free_port()
    own = {"MLFLOW_TRACKING_URI": "", "MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_DISABLE_TELEMETRY": "true"}
    own["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # no test uses jobs, which take seconds to start
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    server = subprocess.Popen(
        [*command, "--artifacts-destination", str(files)],
        env=os.environ | own,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:  # on a busy machine MLflow waits long for its child processes
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(10)

"""The driver: starts the flow as a process of its own, kills it, and says whether what it left is whole."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tasks.core.files import hash_file
from tasks.core.urls import sqlite_address
from tasks.registry.mlflow_files import content_of
from tasks.registry.versions import CHAMPION, CONTENT, record_of
from tasks.store.inventory import artifact_keys
from tasks.store.store import Store

PROJECT = Path(__file__).parents[2]
EPOCHS = 5
SETTINGS = [
    *("--data.maxlen", "64", "--data.num-words", "300", "--model.units", "8", "--model.embedding-dim", "8"),
    *("--training.epochs", str(EPOCHS), "--training.batch-size", "16"),
]


class Driver:
    """Runs of the flow on one set of generated reviews, each with a store of its own."""

    def __init__(self, imdb: Path, scratch: Path, server: str | None = None, shared: str | None = None) -> None:
        """Run on the reviews in `imdb`, keep logs in `scratch`, and use the Prefect server at `server` if given.

        Where `shared` is the address of a shared store, the folders that runs are given are copies of it.
        """
        self.scratch, self.shared = scratch, shared
        self.flags = ["--data.source", str(imdb / "imdb.npz"), "--data.sha256", hash_file(imdb / "imdb.npz"), *SETTINGS]
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        self.environment |= {"PYTHONUNBUFFERED": "1"} | ({"PREFECT_API_URL": server} if server else {})
        self.started = 0

    def start(self, store: Path, *flags: str, **options: object) -> subprocess.Popen[bytes]:
        """Start a run in a session of its own."""
        self.started += 1
        log = (self.scratch / f"run-{self.started:04d}.log").open("wb")
        with log:
            return subprocess.Popen(
                [sys.executable, str(PROJECT / "flows" / "imdb_flow.py"), *self.flags, *flags],
                env=self.environment | self.places(store),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **options,
            )

    def places(self, store: Path) -> dict[str, str]:
        """Return the variables that name where a run keeps what it leaves."""
        home = {"PREFECT_HOME": str(store / "prefect")}
        if self.shared:
            return home | {"ARTIFACTS_STORE": self.shared, "ARTIFACTS_COPY": str(store)}
        return home | {"ARTIFACTS_STORE": str(store)}

    def log(self) -> str:
        """Return what the run that was started last has printed."""
        return (self.scratch / f"run-{self.started:04d}.log").read_text(errors="replace")

    def finish(self, store: Path, *flags: str, seconds: float = 180) -> dict:
        """Run to the end and return metrics.json."""
        run = self.start(store, *flags)
        try:
            status = run.wait(seconds)
        finally:
            end(run)
        assert status == 0, self.log()
        return metrics_of(store)


def end(run: subprocess.Popen[bytes]) -> None:
    """Kill a run and whatever it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.wait(30)


def metrics_of(store: Path) -> dict:
    """Return the newest run's metrics.json."""
    return json.loads((store / "runs" / "latest" / "metrics.json").read_text())


def contents(metrics: dict) -> dict[str, str]:
    """Return the hash of what each step made, weights and test probabilities among them."""
    return {step: its["sha256"] for step, its in metrics["artifacts"].items()}


def made(metrics: dict) -> list[str]:
    """Return the steps that were done, not taken from the cache."""
    return [step["name"] for step in metrics["steps"] if not step["cached"]]


def look_at_registry(store: Path) -> tuple[list[str], list[str]]:
    """Check that every version in the store's own registry is whole, and the champion one that was decided on.

    Returns:
        The status of each run that was logged, and what was decided on each version.
    """
    from mlflow.tracking import MlflowClient

    database = store / "mlflow" / "mlflow.db"
    if not database.exists():
        return [], []
    client = MlflowClient(sqlite_address(database), sqlite_address(database))
    logged = client.search_runs([its.experiment_id for its in client.search_experiments()])
    decisions = []
    for model in client.search_registered_models():
        for version in client.search_model_versions(f"name = '{model.name}'"):
            assert content_of(Path(url2pathname(urlsplit(version.source).path))) == version.tags[CONTENT]
            decisions.append(record_of(version).get("decision", ""))
        champion = dict(model.aliases).get(CHAMPION)
        assert (
            champion is None or record_of(client.get_model_version(model.name, str(champion)))["decision"] == CHAMPION
        )
    return [run.info.status for run in logged], decisions


def assert_nothing_torn(store: Path) -> None:
    """Check that whatever stands in the store under its final name is whole."""
    for key in artifact_keys(store):
        assert Store(store).find(key), key
    for folder in (store / "runs").glob("[!.]*/"):
        for name in ("config.json", "metrics.json"):
            json.loads((folder / name).read_text())
        assert (folder / "report.html").read_text().rstrip().endswith("</html>")


# What a run is doing when such a file is there: writing an artifact, an epoch, the run folder.
MOMENTS = ("*/.*.draft", "checkpoints/*/*/.*.raw.keras", "checkpoints/*/*/epoch-0000[2-9].keras", "runs/.*.draft")


def kill_moments(dice: random.Random, longest: float) -> Iterator[Callable[[Path, float], bool]]:
    """Yield conditions on which to kill a run: a random time, or a moment that the store's files give away."""
    while True:
        if dice.random() < 0.5:
            yield partial(has_run_for, dice.uniform(0, longest))
        else:
            yield partial(has_shown, dice.choice(MOMENTS), dice.uniform(0, 0.03))


def has_run_for(limit: float, _store: Path, ran: float) -> bool:
    """Tell whether a run has lasted for `limit` seconds."""
    return ran > limit


def has_shown(pattern: str, delay: float, store: Path, _ran: float) -> bool:
    """Tell, after a delay in seconds, whether the store has a file or folder of that name."""
    shown = next(store.glob(pattern), None) is not None
    if shown:
        time.sleep(delay)
    return shown


def kill_when(run: subprocess.Popen[bytes], store: Path, due: Callable[[Path, float], bool], seconds: float) -> bool:
    """Kill `run` with SIGKILL as soon as `due`; tell whether it was still running then."""
    began = time.monotonic()
    while run.poll() is None:
        ran = time.monotonic() - began
        assert ran < seconds, "the run hangs"
        if due(store, ran):
            break
        time.sleep(0.002)
    alive = run.poll() is None
    end(run)
    return alive

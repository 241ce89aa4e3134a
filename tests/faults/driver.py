"""Driver: starts the flow in its own process, kills it, and checks that the remaining files are complete."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tasks.core.files import hash_file
from tasks.core.user_paths import sqlite_address
from tasks.registry.mlflow_model import content_of
from tasks.registry.versions import CHAMPION, CONTENT, decision_on
from tasks.store.inventory import artifact_keys
from tasks.store.store import Store

PROJECT = Path(__file__).parents[2]
EPOCHS = 5
SETTINGS = [
    *("--data.maxlen", "64", "--data.num-words", "300", "--model.units", "8", "--model.embedding-dim", "8"),
    *("--training.epochs", str(EPOCHS), "--training.batch-size", "16"),
]


class Driver:
    """Starts runs of the flow on one generated data set, each with its own store."""

    def __init__(self, imdb: Path, scratch: Path, server: str | None = None, shared: str | None = None) -> None:
        """Read the data in `imdb`, keep logs in `scratch`, and use the Prefect server at `server` if given.

        If `shared` is the address of a shared store, the stores of the runs are local copies of it. FAULT_FLAGS
        replaces the flags of the runs, for example to use other data.
        """
        self.scratch, self.shared = scratch, shared
        source = ["--data.source", str(imdb / "imdb.npz"), "--data.sha256", hash_file(imdb / "imdb.npz")]
        self.flags = os.environ.get("FAULT_FLAGS", "").split() or [*source, *SETTINGS]
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        self.environment |= {"PYTHONUNBUFFERED": "1"} | ({"PREFECT_API_URL": server} if server else {})
        self.started = 0

    def start(self, store: Path, *flags: str, **options: object) -> subprocess.Popen[bytes]:
        """Start a run in its own session."""
        return self.start_flow("imdb_flow.py", store, *self.flags, *flags, **options)

    def start_flow(self, script: str, store: Path, *flags: str, **options: object) -> subprocess.Popen[bytes]:
        """Start a script of flows/ in its own session."""
        self.started += 1
        log = (self.scratch / f"run-{self.started:04d}.log").open("wb")
        with log:
            return subprocess.Popen(
                [sys.executable, str(PROJECT / "flows" / script), *flags],
                env=self.environment | self.folders(store),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **options,
            )

    def folders(self, store: Path) -> dict[str, str]:
        """Return the environment variables that set the run's folders."""
        home = {"PREFECT_HOME": str(store / "prefect")}
        if self.shared:
            return home | {"ARTIFACTS_STORE": self.shared, "ARTIFACTS_COPY": str(store)}
        return home | {"ARTIFACTS_STORE": str(store)}

    def log(self) -> str:
        """Return the output of the run that was started last."""
        return (self.scratch / f"run-{self.started:04d}.log").read_text(errors="replace")

    def finish(self, store: Path, *flags: str, seconds: float = 180) -> dict:
        """Run to completion and return metrics.json."""
        run = self.start(store, *flags)
        try:
            status = run.wait(seconds)
        finally:
            end(run)
        assert status == 0, self.log()
        return metrics_of(store)


def end(run: subprocess.Popen[bytes]) -> None:
    """Kill a run and its child processes."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.wait(30)


def metrics_of(store: Path) -> dict:
    """Return the newest run's metrics.json."""
    return json.loads((store / "runs" / "latest" / "metrics.json").read_text())


def contents(metrics: dict) -> dict[str, str]:
    """Return the content hash of each step's artifact."""
    return {step: artifact["sha256"] for step, artifact in metrics["artifacts"].items()}


def executed(metrics: dict) -> list[str]:
    """Return the steps that ran instead of coming from the cache."""
    return [step["name"] for step in metrics["steps"] if not step["cached"]]


def check_registry(store: Path) -> tuple[list[str], list[str]]:
    """Check that every version in the store's registry is complete and that the champion was decided on.

    Returns:
        The status of each logged run, and the decision on each version.
    """
    from mlflow.tracking import MlflowClient

    database = store / "mlflow" / "mlflow.db"
    if not database.exists():
        return [], []
    client = MlflowClient(sqlite_address(database), sqlite_address(database))
    logged = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    decisions = []
    for model in client.search_registered_models():
        for version in client.search_model_versions(f"name = '{model.name}'"):
            assert content_of(Path(url2pathname(urlsplit(version.source).path))) == version.tags[CONTENT]
            decisions.append(decision.decision if (decision := decision_on(version)) else "")
        champion = dict(model.aliases).get(CHAMPION)
        assert champion is None or decision_on(client.get_model_version(model.name, str(champion))).decision == CHAMPION
    return [run.info.status for run in logged], decisions


def assert_files_complete(store: Path) -> None:
    """Check that everything in the store with a final name is complete."""
    for key in artifact_keys(store):
        assert Store(store).find(key), key
    for folder in (store / "runs").glob("[!.]*/"):
        for name in ("config.json", "metrics.json"):
            json.loads((folder / name).read_text())
        assert (folder / "report.html").read_text().rstrip().endswith("</html>")


# Files that exist while a run writes an artifact, an epoch or the run folder.
MOMENTS = ("*/.*.draft", "checkpoints/*/*/.*.raw.keras", "checkpoints/*/*/epoch-0000[2-9].*.keras", "runs/.*.draft")


def kill_moments(
    dice: random.Random, longest: float, patterns: Sequence[str] = MOMENTS
) -> Iterator[Callable[[Path, float], bool]]:
    """Yield conditions for killing a run: a random time, or a file in its folder."""
    while True:
        if dice.random() < 0.5:
            yield partial(has_run_for, dice.uniform(0, longest))
        else:
            yield partial(has_shown, dice.choice(patterns), dice.uniform(0, 0.03))


def has_run_for(limit: float, _store: Path, ran: float) -> bool:
    return ran > limit


def has_shown(pattern: str, delay: float, store: Path, _ran: float) -> bool:
    """Return, after a delay in seconds, whether the store has a file or folder of that name."""
    shown = next(store.glob(pattern), None) is not None
    if shown:
        time.sleep(delay)
    return shown


def kill_when(run: subprocess.Popen[bytes], store: Path, due: Callable[[Path, float], bool], seconds: float) -> bool:
    """Kill `run` with SIGKILL as soon as `due`; return whether it was still running."""
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

"""Comparisons on threads, processes, Dask and Ray give the same results as sequential ones."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import cloudpickle
import psutil
import pytest
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import ValidationError

from flows import runners
from flows.compare_flow import train_member
from flows.runners import begin_worker, map_over
from tasks.core.command_settings import CompareSettings, RunnerSettings
from tasks.core.errors import RunnerError
from tests.support.champions import store_with_champion
from tests.support.processes import running_after
from tests.support.small_runs import as_flags, small
from tests.support.web import free_port

PROJECT = Path(__file__).parents[2]
TWO = ["--cells", "simple_rnn,gru", "--ways", "one"]


def compare(imdb: Path, store: Path, *flags: str) -> dict:
    """Compare two networks with the command line, and return comparison.json."""
    command = [sys.executable, "flows/compare_flow.py", "--store", str(store), *as_flags(small(imdb)), *TWO, *flags]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((store / "comparisons" / "latest" / "comparison.json").read_text())


def figures(comparison: dict) -> dict[str, list[float]]:
    return {
        member["name"]: [run[name] for run in member["runs"] for name in ("accuracy", "validation_loss")]
        for member in comparison["members"]
    }


@pytest.fixture(scope="module")
def alone(imdb, tmp_path_factory) -> dict:
    return figures(compare(imdb, tmp_path_factory.mktemp("alone") / "store"))


@pytest.mark.machines
@pytest.mark.parametrize("runner", ["threads", "processes", "dask", "ray"])
def test_every_runner_gives_the_same_results_as_sequential_training(runner, imdb, alone, tmp_path):
    if runner in ("dask", "ray"):
        pytest.importorskip(f"prefect_{runner}")
    found = figures(compare(imdb, tmp_path / "store", "--runner", runner, "--workers", "2"))
    assert found.keys() == alone.keys()
    for name, its in found.items():
        assert its == pytest.approx(alone[name], abs=1e-5)


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_threads_and_processes_do_not_accept_an_address(runner):
    with pytest.raises(ValidationError, match="address is for the runners dask and ray"):
        RunnerSettings(runner=runner, address="tcp://127.0.0.1:8786")
    assert CompareSettings(runner="dask", address="tcp://127.0.0.1:8786").workers is None


def test_a_missing_package_is_reported_with_its_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "prefect_ray", None)
    with pytest.raises(RunnerError, match=r"--runner ray needs prefect-ray \(.*\): pip install '\.\[ray\]'"):
        runners.open_runner(RunnerSettings(runner="ray"))


def test_each_process_uses_its_share_of_the_processors(monkeypatch):
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # a value set by the user is not changed
    begin_worker(2)
    assert (os.environ["TF_NUM_INTRAOP_THREADS"], os.environ["OMP_NUM_THREADS"]) == ("4", "3")


def test_worker_processes_end_if_the_process_that_started_them_is_killed():
    run = (
        "import os, time; from concurrent.futures import ProcessPoolExecutor; from multiprocessing import get_context;"
        "from flows.runners import begin_worker;"
        "pool = ProcessPoolExecutor(2, get_context('spawn'), begin_worker, [2]);"
        "pool.submit(os.getpid).result(); [pool.submit(time.sleep, 60) for _ in range(2)];"
        "print(*pool._processes, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", run], stdout=subprocess.PIPE, text=True) as killed:
        workers = [psutil.Process(int(number)) for number in killed.stdout.readline().split()]
        killed.kill()
    assert len(workers) == 2
    assert running_after(20, workers) == []


@pytest.mark.machines
def test_scoring_files_in_parallel_writes_the_same_bytes(tmp_path):
    inbox = tmp_path / "in"
    inbox.mkdir()
    for name in "abc":
        (inbox / f"{name}.txt").write_text(f"good {name}\nthe bad film\n" * 200)
    (inbox / "d.txt").write_text("")
    with store_with_champion(tmp_path) as store:

        def predict(output: str, *flags: str) -> subprocess.CompletedProcess[str]:
            command = [
                sys.executable,
                "flows/predict_flow.py",
                "--input",
                str(inbox),
                "--output",
                str(tmp_path / output),
            ]
            return subprocess.run(
                [*command, "--store", str(store), *flags], cwd=PROJECT, capture_output=True, text=True, timeout=200
            )

        alone, parallel = predict("alone"), predict("parallel", "--runner", "processes", "--workers", "2")
    for done in (alone, parallel):
        assert done.returncode == 0, done.stderr
    scored = {path.name: path.read_bytes() for path in (tmp_path / "alone").iterdir()}
    assert len(scored) == 3
    assert {path.name: path.read_bytes() for path in (tmp_path / "parallel").iterdir()} == scored


def started_by(run: subprocess.Popen) -> dict[int, str]:
    """Return the command lines of all processes that a run has started, by process id."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            if process.pid != run.pid and process.environ().get("A_RUN_OF_THE_TEST") == str(run.args[-1]):
                found[process.pid] = " ".join(process.info["cmdline"])
    return found


@pytest.mark.machines
@pytest.mark.parametrize("runner", ["processes", "dask", "ray"])
def test_workers_end_if_their_comparison_is_killed(runner, imdb, tmp_path):
    if runner in ("dask", "ray"):
        pytest.importorskip(f"prefect_{runner}")
    store = tmp_path / "store"
    flags = [*as_flags(small(imdb)), *TWO, "--training.epochs", "2000", "--runner", runner, "--workers", "2"]
    command = [sys.executable, "flows/compare_flow.py", *flags, "--store", str(store)]
    environment = os.environ | {"A_RUN_OF_THE_TEST": str(store), "PREFECT_HOME": str(store / "prefect")}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL) as run:
        try:
            until = time.monotonic() + 200
            while len({path.parent for path in store.glob("checkpoints/train/*/epoch-*.keras")}) < 2:
                assert time.monotonic() < until
                assert run.poll() is None
                time.sleep(0.2)
            assert len(started_by(run)) > 3
        finally:
            run.kill()
        until = time.monotonic() + 30
        while left := started_by(run):
            assert time.monotonic() < until, left
            time.sleep(0.2)


@pytest.fixture
def dask(tmp_path) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """The address of a real Dask scheduler and its two worker processes."""
    pytest.importorskip("prefect_dask")
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    dask_cli = [sys.executable, "-m", "dask"]
    scheduler = [*dask_cli, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = [*dask_cli, "worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "TF_NUM_INTRAOP_THREADS": "1"}
    environment |= {"ARTIFACTS_STORE": str(tmp_path / "store"), "PREFECT_HOME": str(tmp_path / "store" / "prefect")}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [
        subprocess.Popen(command, env=environment, cwd=tmp_path, start_new_session=True, **silent)
        for command in (scheduler, worker, worker)
    ]
    yield address, started[1:]
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also a worker's temporary Prefect server
        process.wait(20)


@pytest.mark.machines
def test_a_killed_dask_worker_does_not_change_the_results(imdb, dask, tmp_path):
    address, workers = dask
    flags = ["--training.epochs", "40"]
    store = tmp_path / "store"

    def kill_one() -> None:
        """Kill one of the workers as soon as both members have epochs."""
        until = time.monotonic() + 200
        while len({path.parent for path in store.glob("checkpoints/train/*/epoch-*.keras")}) < 2:
            if time.monotonic() > until:
                return
            time.sleep(0.1)
        workers[0].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    parallel = figures(compare(imdb, store, "--runner", "dask", "--address", address, *flags))
    killer.join()
    assert workers[0].poll() == -9
    alone = figures(compare(imdb, tmp_path / "alone", *flags))
    assert parallel.keys() == alone.keys()
    for name, its in parallel.items():
        assert its == pytest.approx(alone[name], abs=1e-5)


class Silent(ThreadPoolTaskRunner):
    """A runner whose cluster does not answer."""

    def __enter__(self):
        raise OSError("timed out")


class Pickling(contextlib.AbstractContextManager):
    """A runner that wraps and pickles what it is given, as Dask's does, and does nothing with it."""

    def __exit__(self, *_error):
        pass

    def submit(self, task, _call):
        @functools.wraps(task)
        def wrapped():
            return task.name

        future: Future[str] = Future()
        future.set_result(cloudpickle.loads(cloudpickle.dumps(wrapped))())
        return future


def test_a_task_can_be_wrapped_and_pickled(monkeypatch):
    monkeypatch.setattr(runners, "open_runner", lambda _settings: Pickling())
    assert map_over(train_member, [{}, {}], RunnerSettings(runner="dask")) == ["train_member", "train_member"]


def test_a_cluster_that_does_not_answer_is_reported_before_training(monkeypatch):
    monkeypatch.setattr(runners, "open_runner", lambda _settings: Silent())
    announced = []
    monkeypatch.setattr(runners, "announce_use", announced.append)
    settings = RunnerSettings(runner="dask", address="tcp://127.0.0.1:1")
    with pytest.raises(RunnerError, match=r"--runner dask: nothing answers at tcp://127.0.0.1:1 \(timed out\)"):
        runners.map_over(train_member, [{}], settings)
    assert len(announced) == 1

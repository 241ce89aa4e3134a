"""Runners: what carries out side by side what does not depend on each other, on this machine or on others."""

import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from prefect import Task, get_run_logger
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from tasks.core.errors import PipelineError, RunnerError
from tasks.core.flow_settings import RunnerSettings

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


def fair_share(at_once: int) -> dict[str, str]:
    """Return the variables that give each of `at_once` processes its share of the machine's processors.

    They count for a process that has not imported TensorFlow yet. What the user has set stays.
    """
    share = str(max(1, (os.cpu_count() or 1) // at_once))
    return {name: os.environ.get(name, share) for name in THREADS}


def share_processors(at_once: int) -> None:
    """Take this process's fair share, at its start."""
    os.environ.update(fair_share(at_once))


def begin(at_once: int) -> None:
    """Make this process a worker: it takes its fair share, and ends with the process that it works for, not before."""
    share_processors(at_once)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what the terminal sends to all; the process it works for ends it
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """End this process when the one that started it has ended, be it killed: it would wait for parts for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


WORKERS = 2
ROUNDS = 3  # in which what a killed process has taken down is begun again


def map_over(task: Task[..., Any], calls: Sequence[dict[str, Any]], settings: RunnerSettings) -> list[Any]:
    """Return what a task gives for each of `calls`, in their order, and for what cannot be had the error.

    What is lost with a process that was killed is begun again, and goes on where its steps have been kept.

    Args:
        task: is called.
        calls: its arguments by name.
        settings: one after another, or side by side on what.

    Raises:
        RunnerError: the runner is not installed, or does not answer.
    """
    if settings.runner == "none":
        return [result_or_error(partial(task, **call)) for call in calls]
    found: dict[int, Any] = {}
    todo = list(range(len(calls)))
    for _ in range(ROUNDS):
        with begun_runner(settings) as runner:
            waiting = {place: runner.submit(task, calls[place]) for place in todo}
            found |= {place: result_or_error(future.result) for place, future in waiting.items()}
        todo = [place for place in todo if is_lost(found[place])]
        if not todo:
            break
        get_run_logger().warning("%s: %d of %d lost with a process that ended", task.name, len(todo), len(calls))
    return [found[place] for place in range(len(calls))]


def is_lost(found: Any) -> bool:
    """Tell whether a call failed for no reason that was foreseen, as with a process that was killed."""
    return isinstance(found, Exception) and not isinstance(found, PipelineError)


def result_or_error(result: Callable[[], Any]) -> Any:
    """Return what comes of a call, or the error that it raises."""
    try:
        return result()
    except Exception as error:
        return error


@contextmanager
def begun_runner(settings: RunnerSettings) -> Iterator[TaskRunner[Any]]:
    """Begin the runner that the settings name, and end it.

    Raises:
        RunnerError: it is not installed, or does not answer.
    """
    with ExitStack() as begun:
        try:
            runner = begun.enter_context(open_runner(settings))
        except OSError as error:
            raise RunnerError(f"--runner {settings.runner}: nothing answers at {settings.place} ({error})") from error
        yield runner


def open_runner(settings: RunnerSettings) -> TaskRunner[Any]:
    """Return the runner that the settings name, which begins and ends as a context.

    Raises:
        RunnerError: it is not installed.
    """
    workers = settings.workers or WORKERS
    if settings.runner == "threads":
        return ThreadPoolTaskRunner(max_workers=workers)
    if settings.runner == "processes":
        return ProcessPoolTaskRunner(max_workers=workers, initializer=share_processors, initargs=(workers,))
    runner: TaskRunner[Any]
    if settings.runner == "dask":
        dask = extra("prefect_dask", "dask").DaskTaskRunner
        runner = dask(address=settings.address) if settings.address else dask(cluster_kwargs=own_dask(workers))
        return runner
    ray = extra("prefect_ray", "ray").RayTaskRunner
    runner = ray(address=settings.address) if settings.address else ray(init_kwargs=own_ray(workers))
    return runner


def own_dask(workers: int) -> dict[str, Any]:
    """Return how a Dask cluster of this machine is started.

    A worker process does one thing at a time, and shows no page to the network.
    """
    return {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "env": fair_share(workers)}


def own_ray(workers: int) -> dict[str, Any]:
    """Return how a Ray cluster of this machine is started: without a page, and telling nobody of it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return {"num_cpus": workers, "include_dashboard": False, "runtime_env": {"env_vars": fair_share(workers)}}


def extra(module: str, name: str) -> Any:
    """Return a module that an extra of the project brings.

    Raises:
        RunnerError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RunnerError(
            f"--runner {name} needs {module.replace('_', '-')} ({error}): pip install '.[{name}]'"
        ) from error

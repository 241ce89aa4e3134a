"""Runners: independent tasks in parallel, on threads, processes, Dask or Ray."""

import importlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

from tasks.core.command_settings import RunnerSettings
from tasks.core.environment import store_root
from tasks.core.errors import PipelineError, RunnerError
from tasks.store.inventory import announce_use
from tasks.store.step import Deferred, run_logger

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


def fair_share(at_once: int) -> dict[str, str]:
    """Return the variables that give each of `at_once` processes its share of the processors; the user's own stay.

    They must be set before TensorFlow is imported.
    """
    share = str(max(1, (os.cpu_count() or 1) // at_once))
    return {name: os.environ.get(name, share) for name in THREADS}


def begin_worker(at_once: int) -> None:
    """Limit this worker process to its share, and have it end with the process that started it, even if killed."""
    os.environ.update(fair_share(at_once))
    if parent := multiprocessing.parent_process():
        threading.Thread(target=end_after, args=(parent,), daemon=True).start()


def end_after(process: BaseProcess) -> None:
    """Wait until another process has ended, and end this one at once."""
    process.join()
    os._exit(1)


ROUNDS = 3  # of attempts for calls that are lost with a killed process


def map_over(task: Deferred[..., Any], calls: Sequence[dict[str, Any]], settings: RunnerSettings) -> list[Any]:
    """Run the task for each of `calls`, its arguments by name; return results in order, with errors in their place.

    Calls lost with a killed process are repeated, and continue after their finished steps. Raise RunnerError if the
    runner is not installed or does not answer.
    """
    if settings.runner == "none":
        return [result_or_error(partial(task, **call)) for call in calls]
    announce_use(store_root())
    plain = task.with_options()  # Prefect's own class: Dask copies and pickles all attributes of what it is given
    found: dict[int, Any] = {}
    todo = list(range(len(calls)))
    for _ in range(ROUNDS):
        with ExitStack() as begun:
            try:
                runner = begun.enter_context(open_runner(settings))
            except OSError as error:
                place = settings.address or "this machine"
                raise RunnerError(f"--runner {settings.runner}: nothing answers at {place} ({error})") from error
            waiting = {at: runner.submit(plain, calls[at]) for at in todo}
            found |= {at: result_or_error(future.result) for at, future in waiting.items()}
        # An unexpected error may be that of a killed process.
        todo = [at for at in todo if isinstance(found[at], Exception) and not isinstance(found[at], PipelineError)]
        if not todo:
            break
        run_logger().warning("%s: %d of %d lost with a process that ended", task.name, len(todo), len(calls))
    return [found[at] for at in range(len(calls))]


def result_or_error(result: Callable[[], Any]) -> Any:
    """Return the result of a call, or its error."""
    try:
        return result()
    except Exception as error:
        return error


def open_runner(settings: RunnerSettings) -> Any:
    """Return the runner that the settings name, a context manager; raise RunnerError if it is not installed."""
    from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

    kind, workers = settings.runner, settings.workers or 2
    if kind == "threads":
        return ThreadPoolTaskRunner(max_workers=workers)
    if kind == "processes":
        return ProcessPoolTaskRunner(max_workers=workers, initializer=begin_worker, initargs=(workers,))
    try:
        runner = getattr(importlib.import_module(f"prefect_{kind}"), f"{kind.capitalize()}TaskRunner")
    except ImportError as error:
        raise RunnerError(f"--runner {kind} needs prefect-{kind} ({error}): pip install '.[{kind}]'") from error
    options: dict[str, Any] = {"address": settings.address}
    if not settings.address and kind == "dask":
        own = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "env": fair_share(workers)}
        options = {"cluster_kwargs": own}
    elif not settings.address:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        environment = {"env_vars": fair_share(workers)}
        options = {"init_kwargs": {"num_cpus": workers, "include_dashboard": False, "runtime_env": environment}}
    return runner(**options)

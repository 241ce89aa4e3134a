"""Workers: threads, processes, Dask or Ray that do the parts of a step, and hand what they made back in order."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

from prefect.logging import get_logger

from flows.runners import ROUNDS, WORKERS, begin, extra, own_dask, own_ray
from tasks.core.errors import RunnerError
from tasks.core.flow_settings import RunnerSettings
from tasks.core.parts import Done, Part, done_by

# Dask warns of what it calls a large graph from 10 MB on, about two parts; a part is sent once, to whom it is for.
LARGEST_PART = "1GiB"
PATIENCE = 60  # seconds until a cluster must have a worker


class Pool(NamedTuple):
    """What takes parts: how many at once, how it is handed one, and the errors of one that was lost with its worker."""

    width: int
    submit: Callable[..., Any]
    lost: tuple[type[BaseException], ...] = ()


class Waiting(NamedTuple):
    """A part that a worker has, and the pool of that worker."""

    part: Any
    future: Any
    pool: Pool


@contextmanager
def parts_side_by_side(settings: RunnerSettings) -> Iterator[None]:
    """Let the steps that are called within have their parts done by the workers that the settings name."""
    if settings.runner == "none":
        yield
        return
    with Workers(settings) as workers, done_by(workers.over):
        yield


class Workers:
    """Workers of one runner, opened when the first part comes: a step that is taken from the cache starts nothing."""

    def __init__(self, settings: RunnerSettings) -> None:
        """Open nothing yet."""
        self._settings = settings
        self._opened = ExitStack()
        self._pool: Pool | None = None

    def __enter__(self) -> "Workers":
        """Open nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what was opened."""
        self._close()

    def over(self, function: Callable[[Part], Done], parts: Iterable[Part], /) -> Iterator[Done]:
        """Yield what workers make of each part, in order, with at most two parts more than workers in memory.

        Raises:
            RunnerError: the runner is not installed or does not answer, or the workers of a part ended time and again.
        """
        waiting: deque[Waiting] = deque()
        try:
            for part in parts:
                waiting.append(self._hand_out(function, part))
                if len(waiting) > waiting[-1].pool.width + 1:
                    yield self._take_back(function, waiting.popleft())
            while waiting:
                yield self._take_back(function, waiting.popleft())
        finally:
            for left in waiting:
                left.future.cancel()

    def _hand_out(self, function: Callable[[Any], Any], part: Any) -> Waiting:
        pool = self._open()
        try:
            return Waiting(part, pool.submit(function, part), pool)
        except pool.lost:
            self._close()
            pool = self._open()
            return Waiting(part, pool.submit(function, part), pool)

    def _take_back(self, function: Callable[[Any], Any], waiting: Waiting) -> Any:
        """Wait for a part, and have it done again where its worker has ended."""
        lost = 0
        while True:
            try:
                return waiting.future.result()
            except waiting.pool.lost as error:
                lost += 1
                if waiting.pool is self._pool:
                    self._close()
                if lost == ROUNDS:
                    raise RunnerError(
                        f"the worker of a part ended {ROUNDS} times ({type(error).__name__}: {error}). Was it killed, "
                        "or has its machine too little memory? Give fewer --workers, or leave --runner out"
                    ) from error
                get_logger("prefect.parts").warning("a worker ended in the middle of a part, which is done again")
                waiting = self._hand_out(function, waiting.part)

    def _open(self) -> Pool:
        if self._pool is None:
            self._pool = self._opened.enter_context(POOLS[self._settings.runner](self._settings))
        return self._pool

    def _close(self) -> None:
        self._pool = None
        self._opened.close()


@contextmanager
def threads(settings: RunnerSettings) -> Iterator[Pool]:
    """Start threads; Arrow and NumPy work side by side in them, for they let go of Python's lock."""
    workers = settings.workers or WORKERS
    with ThreadPoolExecutor(workers) as executor:
        yield Pool(workers, executor.submit)


@contextmanager
def processes(settings: RunnerSettings) -> Iterator[Pool]:
    """Start processes, anew and not as copies of this one, whose threads hold locks."""
    workers = settings.workers or WORKERS
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), begin, (workers,)) as executor:
        yield Pool(workers, executor.submit, (BrokenExecutor,))


@contextmanager
def dask(settings: RunnerSettings) -> Iterator[Pool]:
    """Find the Dask cluster at the address, or start one on this machine.

    Raises:
        RunnerError: Dask is not installed, or the cluster does not answer or has no workers.
    """
    distributed, config = extra("distributed", "dask"), extra("dask", "dask").config
    with ExitStack() as opened:
        opened.enter_context(config.set({"distributed.admin.large-graph-warning-threshold": LARGEST_PART}))
        try:
            own = own_dask(settings.workers or WORKERS)
            place = settings.address or opened.enter_context(distributed.LocalCluster(**own))
            client = opened.enter_context(distributed.Client(place, set_as_default=False))
            client.wait_for_workers(1, timeout=PATIENCE)
        except OSError as error:
            raise RunnerError(f"no Dask worker is to be had at {settings.place} ({error})") from error
        lost = (distributed.KilledWorker, distributed.client.FutureCancelledError)
        yield Pool(settings.workers or sum(client.nthreads().values()), partial(client.submit, pure=False), lost)


@contextmanager
def ray(settings: RunnerSettings) -> Iterator[Pool]:
    """Find the Ray cluster at the address, or start one on this machine.

    Raises:
        RunnerError: Ray is not installed, or the cluster does not answer.
    """
    module = extra("ray", "ray")
    try:
        module.init(**({"address": settings.address} if settings.address else own_ray(settings.workers or WORKERS)))
    except (OSError, module.exceptions.RayError) as error:
        raise RunnerError(f"no Ray cluster answers at {settings.place} ({error})") from error
    try:
        do = module.remote(max_retries=0)(do_part)  # what is lost is handed out again here
        errors = module.exceptions
        lost = (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError)
        width = settings.workers or int(module.cluster_resources()["CPU"])
        yield Pool(width, lambda function, part: do.remote(function, part).future(), lost)
    finally:
        module.shutdown()


def do_part(function: Callable[[Any], Any], part: Any) -> Any:
    """Do a part; what Ray calls is a function that it knows beforehand."""
    return function(part)


POOLS = {"threads": threads, "processes": processes, "dask": dask, "ray": ray}

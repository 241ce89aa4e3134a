"""Batching: requests that wait are scored together, in the order in which they came."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple


class QueueFull(Exception):
    """So many texts wait already that no more are taken."""


class Waiting(NamedTuple):
    """Texts of one request, and where their verdicts go."""

    texts: list[str]
    verdicts: "asyncio.Future[tuple[str, list[Any]]]"


class Batcher:
    """Scores the texts that wait, at most `batch_size` together, in a thread of its own."""

    def __init__(self, score: Callable[[list[str]], tuple[str, list[Any]]], batch_size: int, max_waiting: int) -> None:
        """Make a batcher; nothing is scored before `work` runs.

        Args:
            score: returns who scored, and a verdict for each text.
            batch_size: texts at once, at most, but where one request has more.
            max_waiting: texts that may wait.
        """
        self.score, self.batch_size, self.max_waiting = score, batch_size, max_waiting
        self.queue: deque[Waiting] = deque()
        self.texts_waiting = 0
        self.arrived = asyncio.Event()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="scoring")

    async def judge(self, texts: list[str]) -> tuple[str, list[Any]]:
        """Return who scored, and a verdict for each text, when it is their turn.

        Raises:
            Busy: too many wait.
        """
        if self.texts_waiting and self.texts_waiting + len(texts) > self.max_waiting:
            raise QueueFull
        request = Waiting(texts, asyncio.get_running_loop().create_future())
        self.queue.append(request)
        self.texts_waiting += len(texts)
        self.arrived.set()
        return await request.verdicts

    def take(self) -> list[Waiting]:
        """Take the requests that are to be scored next; at least one."""
        taken = [self.queue.popleft()]
        count = len(taken[0].texts)
        while self.queue and count + len(self.queue[0].texts) <= self.batch_size:
            taken.append(self.queue.popleft())
            count += len(taken[-1].texts)
        return taken

    async def work(self) -> None:
        """Score what waits, and what comes, until cancelled."""
        while True:
            await self.arrived.wait()
            self.arrived.clear()
            while self.queue:
                await self.score_next()

    async def score_next(self) -> None:
        """Score the next requests together; where they cannot be, each is told why."""
        taken = self.take()
        texts = [text for request in taken for text in request.texts]
        try:
            name, verdicts = await asyncio.get_running_loop().run_in_executor(self.thread, self.score, texts)
        except Exception as error:
            for request in taken:
                if not request.verdicts.done():
                    request.verdicts.set_exception(error)
            return
        finally:
            self.texts_waiting -= len(texts)
        first = 0
        for request in taken:
            if not request.verdicts.done():  # who has gone away meanwhile has cancelled it
                request.verdicts.set_result((name, verdicts[first : first + len(request.texts)]))
            first += len(request.texts)

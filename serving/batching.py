"""Batching: score waiting requests together, in order of arrival."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple


class QueueFull(Exception):
    """Too many texts are waiting."""


class Waiting(NamedTuple):
    """The texts of one request and the future of their verdicts."""

    texts: list[str]
    verdicts: "asyncio.Future[tuple[str, list[Any]]]"


class Batcher:
    """Scores waiting texts in one thread, up to `batch_size` together; a larger request is scored by itself.

    Args:
        score: returns the model's name and one verdict per text.
        batch_size: maximum number of texts that are scored together.
        max_waiting: maximum number of waiting texts.
    """

    def __init__(self, score: Callable[[list[str]], tuple[str, list[Any]]], batch_size: int, max_waiting: int) -> None:
        self.score, self.batch_size, self.max_waiting = score, batch_size, max_waiting
        self.queue: deque[Waiting] = deque()
        self.texts_waiting = 0
        self.arrived = asyncio.Event()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="scoring")

    async def judge(self, texts: list[str]) -> tuple[str, list[Any]]:
        """Wait for the texts' turn; return the model's name and one verdict per text.

        Raises:
            QueueFull: too many texts are waiting.
        """
        if self.texts_waiting and self.texts_waiting + len(texts) > self.max_waiting:
            raise QueueFull
        request = Waiting(texts, asyncio.get_running_loop().create_future())
        self.queue.append(request)
        self.texts_waiting += len(texts)
        self.arrived.set()
        return await request.verdicts

    def take(self) -> list[Waiting]:
        """Remove the next requests from the queue; at least one."""
        taken = [self.queue.popleft()]
        count = len(taken[0].texts)
        while self.queue and count + len(self.queue[0].texts) <= self.batch_size:
            taken.append(self.queue.popleft())
            count += len(taken[-1].texts)
        return taken

    async def work(self) -> None:
        """Score requests as they arrive, until cancelled."""
        while True:
            await self.arrived.wait()
            self.arrived.clear()
            while self.queue:
                await self.score_next()

    async def score_next(self) -> None:
        """Score the next requests together; if that fails, each gets the error."""
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
            if not request.verdicts.done():  # a client that disconnected has cancelled it
                request.verdicts.set_result((name, verdicts[first : first + len(request.texts)]))
            first += len(request.texts)

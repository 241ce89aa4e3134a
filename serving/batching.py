"""Batching: score waiting requests together, in order of arrival."""

import asyncio
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
    """Scores waiting requests in one thread, together until they have `batch_size` texts.

    `score` returns the model's name and one verdict per text; at most `max_waiting` texts wait.
    """

    def __init__(self, score: Callable[[list[str]], tuple[str, list[Any]]], batch_size: int, max_waiting: int) -> None:
        self.score, self.batch_size, self.max_waiting = score, batch_size, max_waiting
        self.queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self.texts_waiting = 0
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="scoring")

    async def judge(self, texts: list[str]) -> tuple[str, list[Any]]:
        """Wait, then return the model's name and a verdict per text; raise QueueFull if too many texts are waiting."""
        if self.texts_waiting and self.texts_waiting + len(texts) > self.max_waiting:
            raise QueueFull
        request = Waiting(texts, asyncio.get_running_loop().create_future())
        self.queue.put_nowait(request)
        self.texts_waiting += len(texts)
        return await request.verdicts

    async def work(self) -> None:
        """Score requests as they arrive, until cancelled."""
        while True:
            taken = [await self.queue.get()]
            texts = [*taken[0].texts]
            while not self.queue.empty() and len(texts) < self.batch_size:
                taken.append(self.queue.get_nowait())
                texts += taken[-1].texts
            await self.score_together(taken, texts)

    async def score_together(self, taken: list[Waiting], texts: list[str]) -> None:
        """Score the texts of some requests; if that fails, each gets the error."""
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

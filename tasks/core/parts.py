"""Parts: what a step does to its data part by part, and who does it: this process, or workers that a flow opens."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

Part = TypeVar("Part")
Done = TypeVar("Done")


class Over(Protocol):
    """Yields what a function makes of each part, in the order of the parts, as `map` does.

    Whoever does it holds a few parts at once, however many there are. Function, parts and results must be picklable,
    and a part must be self-contained: an array that is a slice takes all that it was cut from along.
    """

    def __call__(self, function: Callable[[Part], Done], parts: Iterable[Part], /) -> Iterator[Done]:
        """Yield `function(part)` for each of `parts`."""
        ...


# Not an argument of the steps: what they make is the same whoever does it, and so is the key that it is kept under.
_over: ContextVar[Over] = ContextVar("over_parts", default=map)


def over_parts() -> Over:
    """Return what a step's parts are to be done by: by default one after another in this process."""
    return _over.get()


@contextmanager
def done_by(over: Over) -> Iterator[None]:
    """Let the steps that are called within have their parts done by `over`."""
    token = _over.set(over)
    try:
        yield
    finally:
        _over.reset(token)

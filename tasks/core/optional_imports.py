"""Imports without optional packages, which Keras and Arrow import only because they are installed.

They cost each process up to a second and 150 MB.
"""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class HidingFinder(MetaPathFinder):
    """Does not let one thread's imports find some packages."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.thread = names, threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse a hidden package; leave others to the next finder."""
        if fullname in self.names and threading.get_ident() == self.thread:
            raise ModuleNotFoundError(f"{fullname} is hidden", name=fullname)
        return None


@contextmanager
def without_packages(*names: str) -> Iterator[None]:
    """Hide packages from the imports of this thread, unless they are imported already."""
    finder = HidingFinder(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def hide_pandas_from_arrow() -> None:
    """Have Arrow do without pandas for the rest of the process: it looks for pandas once, at its first array."""
    with without_packages("pandas"):
        import pyarrow as pa

        pa.array([0])

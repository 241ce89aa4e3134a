"""IMDB: Keras's arrays of word ranks and their word index, fetched, and read without letting a pickle run code."""

import io
import json
import pickle
import resource
import zipfile
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from numpy.lib import format as npy

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import SourceError, SourceUnreachable
from tasks.texts.sources.fetching import fetch, is_remote, local_path, next_to

NPZ, WORD_INDEX = "imdb.npz", "imdb_word_index.json"

# As keras.datasets.imdb publishes them (Keras 3.15).
HOST = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
NPZ_SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
WORD_INDEX_MD5 = "bfafd718b763782e994055a2d397834f"

KERAS_SPLITS = ("train", "test")
# The published file's largest member has 14 MB.
MAX_MEMBER_BYTES = 64 << 20
# The published file's lists take 0.3 GB as Python objects. Nested lists take up to 64 times their bytes in the file.
MAX_GROWTH_BYTES = 1 << 30
NUMBERS = np.dtype("int64"), np.dtype("int32"), np.dtype("uint8"), np.dtype("int8")


def fetch_imdb(settings: SourceSettings, folder: Path, warn: Callable[[str], None]) -> dict[str, Any]:
    """Write imdb.npz and imdb_word_index.json into `folder` and return their origin.

    The .npz must have the published hash, or the one given. The word index is JSON, so a mirror's needs no hash.
    `warn` is called if a mirror has no word index, which only showing texts as words needs.
    """
    npz = settings.source or HOST + NPZ
    sha256 = settings.sha256 or NPZ_SHA256
    index = word_index_of(settings)
    fetch(npz, folder / NPZ, expected=sha256)
    published = npz.startswith(HOST) and settings.word_index is None
    try:
        known = WORD_INDEX_MD5 if published else None
        fetch(index, folder / WORD_INDEX, expected=settings.word_index_sha256 or known)
    except SourceError as error:
        if published or settings.word_index or settings.word_index_sha256 or isinstance(error, SourceUnreachable):
            raise
        warn(f"{error}; token ids cannot be shown as words. Name the word index with --data.word-index")
    else:
        read_word_index(folder / WORD_INDEX, index)
    source = npz if is_remote(npz) else local_path(npz).resolve().as_uri()
    return {"name": "imdb", "source": source, "sha256": sha256.lower(), "labels": ["negative", "positive"]}


def word_index_of(settings: SourceSettings) -> str:
    """Return the word index's address: as given, else in the folder of the .npz."""
    return settings.word_index or next_to(settings.source or HOST + NPZ, WORD_INDEX)


def read_word_index(path: Path, source: str) -> list[str]:
    """Return the words of a JSON word index (word -> rank, ranks 1 to n) in order of rank; `source` is for messages."""
    try:
        ranks = json.loads(path.read_bytes())
    except ValueError as error:
        raise SourceError(f"{source}: is not JSON ({error}); expected the word index, word -> rank") from error
    if not isinstance(ranks, dict) or sorted(map(str, ranks.values())) != sorted(map(str, range(1, len(ranks) + 1))):
        raise SourceError(f"{source}: expected an object of word -> rank with the ranks 1 to n, each once")
    return sorted(ranks, key=lambda word: int(ranks[word]))


class StandIn:
    """Takes the place of a pickled NumPy array or dtype, and keeps its state."""

    state: tuple[Any, ...] = ()

    def __init__(self, *_description: object) -> None: ...
    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = tuple(state)


class ArrayUnpickler(pickle.Unpickler):
    """Accepts lists, ints and the names by which NumPy pickles an array, each replaced by a stand-in."""

    # Older NumPy wrote protocol 2, which has no bytes: it encodes a string.
    ADMITTED = frozenset({("numpy._core.multiarray", "_reconstruct"), ("numpy.core.multiarray", "_reconstruct"),
                          ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")})  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in, or refuse."""
        if (module, name) not in self.ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array of texts needs")
        return StandIn


def read_ranks(path: Path, split: str) -> tuple[pa.ListArray, np.ndarray]:
    """Read a split, "train" or "test"; raise SourceError if the file has another content.

    Return n lists of int32 word ranks, at least 1, and their labels, (n,) int8 of 0 and 1.
    """
    lists, labels = read_lists(path, f"x_{split}.npy"), read_labels(path, f"y_{split}.npy")
    if len(lists) != len(labels):
        raise SourceError(f"{path}: x_{split} has {len(lists)} texts, y_{split} has {len(labels)} labels")
    return lists, labels


def read_lists(path: Path, member: str) -> pa.ListArray:
    """Read a member that is an object array of lists of ints."""
    content, shape, dtype = open_member(path, member)
    if dtype != np.dtype(object):
        raise SourceError(f"{path}: {member} holds {dtype}, expected lists of word ranks")
    try:
        with bounded_memory(MAX_GROWTH_BYTES):
            array = ArrayUnpickler(content).load()
    except MemoryError as error:
        raise SourceError(
            f"{path}: {member} decodes to more than {MAX_GROWTH_BYTES:,} bytes, expected flat lists of word ranks; "
            "take the published file"
        ) from error
    except (ValueError, TypeError, AttributeError, EOFError, IndexError, KeyError, OverflowError,
            pickle.UnpicklingError) as error:  # fmt: skip
        raise SourceError(f"{path}: {member} was refused: {str(error) or type(error).__name__}") from error
    # NumPy's state: version, shape, dtype, order, list of objects.
    state: Any = getattr(array, "state", ())
    values = state[4] if len(state) == 5 else None
    if not isinstance(values, list) or not state[1] == shape == (len(values),):
        raise SourceError(f"{path}: {member} is not an array of {shape} lists, as its header says")
    return flatten_lists(values, f"{path}: {member}")


@contextmanager
def bounded_memory(growth: int) -> Iterator[None]:
    """Limit the growth of this process's memory in bytes; exceeding it raises MemoryError.

    One byte of a pickle can ask for a table of gigabytes.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = psutil.Process().memory_info().vms + growth
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def flatten_lists(reviews: list[Any], place: str) -> pa.ListArray:
    """Return lists of Python ints as Arrow lists of int32."""
    # NumPy and Arrow would silently round floats; the standard library's array refuses them.
    numbers, offsets = array("i"), [0]
    try:
        for review in reviews:
            numbers.fromlist(review)
            offsets.append(len(numbers))
    except (TypeError, OverflowError) as error:
        raise SourceError(f"{place} holds something else than lists of word ranks: {error}") from error
    ranks = np.asarray(numbers, np.int32)
    if len(ranks) and ranks.min() < 1:
        row = int(np.searchsorted(offsets, int(ranks.argmin()), side="right")) - 1
        raise SourceError(f"{place}: text {row} has the rank {ranks.min()}; ranks begin at 1")
    return pa.ListArray.from_arrays(offsets, ranks)


def read_labels(path: Path, member: str) -> np.ndarray:
    """Read a member that is a plain array of 0 and 1."""
    content, shape, dtype = open_member(path, member)
    rest = content.read()
    if dtype not in NUMBERS or len(shape) != 1 or len(rest) != shape[0] * dtype.itemsize:
        raise SourceError(f"{path}: {member} holds {dtype} of shape {shape}, expected one row of 0 and 1")
    labels = np.frombuffer(rest, dtype)
    strange = np.flatnonzero((labels != 0) & (labels != 1))
    if len(strange):
        raise SourceError(f"{path}: {member} has the label {labels[strange[0]]} in row {strange[0]}, expected 0 or 1")
    return labels.astype(np.int8)


def open_member(path: Path, member: str) -> tuple[io.BytesIO, tuple[int, ...], np.dtype[Any]]:
    """Read one member into memory, up to a limit; return it from its data on, with its shape and dtype."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(member).file_size > MAX_MEMBER_BYTES:
                raise SourceError(f"{path}: {member} inflates to more than {MAX_MEMBER_BYTES} bytes; refused")
            content = io.BytesIO(archive.read(member))
    except KeyError as error:
        raise SourceError(f"{path}: holds no {member}; expected x_train, y_train, x_test and y_test") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise SourceError(f"{path}: is not an .npz file ({error})") from error
    try:
        version = npy.read_magic(content)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, _fortran_order, dtype = read(content)
    except (ValueError, KeyError) as error:
        raise SourceError(f"{path}: {member} has no .npy header of version 1.0 or 2.0 ({error})") from error
    return content, shape, dtype

import io
import pickle
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pytest

from tasks.core.errors import SourceError
from tasks.texts.sources.imdb import read_ranks
from tests.support.small_reviews import Hostile, object_array


def save(path, x=None, y=None):
    x = object_array([[1, 2], [3]]) if x is None else x
    np.savez(path, x_train=x, y_train=np.array([0, 1]) if y is None else y)
    return path


def header(shape, descr="|O") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def save_member(path, x: bytes, y: bytes | None = None):
    save(path)
    with zipfile.ZipFile(path) as source:
        kept = {"x_train.npy": x, "y_train.npy": y or source.read("y_train.npy")}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in kept.items():
            target.writestr(name, content)
    return path


def test_lists_and_labels_equal_those_that_numpy_reads(imdb):
    for split in ("train", "test"):
        lists, labels = read_ranks(imdb / "imdb.npz", split)
        with np.load(imdb / "imdb.npz", allow_pickle=True) as arrays:
            assert lists.to_pylist() == list(arrays[f"x_{split}"])
            assert labels.tolist() == arrays[f"y_{split}"].tolist()
        assert lists.type == pa.list_(pa.int32())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_used_by_numpy_is_read(tmp_path, protocol):
    content = pickle.dumps(object_array([[1, 2], [3]]), protocol=protocol)
    lists, _ = read_ranks(save_member(tmp_path / "a.npz", header((2,)) + content), "train")
    assert lists.to_pylist() == [[1, 2], [3]]


def test_a_malicious_pickle_is_refused_and_runs_no_code(tmp_path):
    mark = tmp_path / "ran"
    hostile = object_array([[1], [2]])
    hostile[1] = Hostile(f"touch {mark}")
    with pytest.raises(SourceError, match=r"refused: it asks for (posix|nt)\.system"):
        read_ranks(save(tmp_path / "a.npz", hostile), "train")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (header((2,)) + pickle.dumps([[1], [2]]), "is not an array of"),
        (header((3,)) + pickle.dumps(object_array([[1], [2]])), "as its header says"),
        (header((2,)) + pickle.dumps(object_array([[1], [2]]))[:-9], "was refused"),
        (header((2,)) + pickle.dumps(object_array([[1], "two"])), "something else than lists of word ranks"),
        (header((2,)) + pickle.dumps(object_array([[1], [2.5]])), "something else than lists of word ranks"),
        (header((2,)) + pickle.dumps(object_array([[1], ["2"]])), "something else than lists of word ranks"),
        (header((2,)) + pickle.dumps(object_array([[1], [2**40]])), "something else than lists of word ranks"),
        (header((2,)) + pickle.dumps(object_array([[1], [5, -2]])), "text 1 has the rank -2"),
        (header((2,), "<i8") + b"\0" * 16, "expected lists of word ranks"),
        (b"not an array", "has no .npy header"),
        (b"\x93NUMPY\x09\0", "has no .npy header of version 1.0 or 2.0"),
    ],
    ids=["no array", "shape", "cut", "string", "float", "digits", "large", "negative", "numbers", "header", "version"],
)
def test_an_invalid_array_of_word_ranks_is_refused(tmp_path, x, message):
    with pytest.raises(SourceError, match=message):
        read_ranks(save_member(tmp_path / "a.npz", x), "train")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0, 2]), "has the label 2 in row 1, expected 0 or 1"),
        (np.array([0, 1, 1]), "x_train has 2 texts, y_train has 3 labels"),
        (np.array([[0, 1]]), "expected one row of 0 and 1"),
        (np.array([0.0, 1.0]), "expected one row of 0 and 1"),
    ],
)
def test_invalid_labels_are_refused(tmp_path, y, message):
    with pytest.raises(SourceError, match=message):
        read_ranks(save(tmp_path / "a.npz", y=y), "train")


def test_an_array_with_a_false_size_is_refused_in_little_memory(tmp_path):
    path = save_member(tmp_path / "a.npz", header((10**12,)) + pickle.dumps(object_array([[1]])))
    lying = header((10**12,), "<i8") + b"\0" * 16
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="as its header says"):
            read_ranks(path, "train")
        with pytest.raises(SourceError, match="expected one row"):
            read_ranks(
                save_member(tmp_path / "b.npz", header((2,)) + pickle.dumps(object_array([[1], [2]])), lying),
                "train",
            )
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_member_that_inflates_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.texts.sources.imdb.MAX_MEMBER_BYTES", 1_000_000)
    with pytest.raises(SourceError, match="inflates to more than 1000000 bytes"):
        read_ranks(save_member(tmp_path / "a.npz", b"\0" * 50_000_000), "train")


def test_a_file_that_is_not_npz_or_lacks_an_array_is_refused(tmp_path):
    (tmp_path / "a.npz").write_text("<html>")
    with pytest.raises(SourceError, match=r"a\.npz: is not an \.npz file"):
        read_ranks(tmp_path / "a.npz", "train")
    np.savez(tmp_path / "b.npz", x_test=np.arange(3))
    with pytest.raises(SourceError, match=r"holds no x_train\.npy"):
        read_ranks(tmp_path / "b.npz", "train")


NESTED = b"\x80\x04" + b"(" + b"]" * (8 << 20) + b"l."  # 8 million empty lists of 56 bytes, in 8 KB


@pytest.mark.parametrize("bomb", [b"\x80\x04]r\xff\xff\xff\x7f.", NESTED], ids=["memo", "nested lists"])
def test_a_pickle_that_decodes_to_gigabytes_is_refused_with_its_name(tmp_path, monkeypatch, bomb):
    monkeypatch.setattr("tasks.texts.sources.imdb.MAX_GROWTH_BYTES", 1 << 28)
    with pytest.raises(SourceError, match=r"a.npz: x_train.npy decodes to more than 268,435,456 bytes, expected flat"):
        read_ranks(save_member(tmp_path / "a.npz", header((2,)) + bomb), "train")
    read_ranks(save(tmp_path / "b.npz"), "train")

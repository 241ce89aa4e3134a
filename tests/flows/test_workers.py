"""Workers: what they make of a step's parts is what one process makes of them, byte for byte, whatever befalls them."""

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect import flow

from flows import workers
from flows.imdb_flow import encode_and_pad
from flows.workers import Workers, parts_side_by_side
from tasks.core.data_settings import DataSettings, EncodeSettings, PadSettings
from tasks.core.errors import DataError, RunnerError
from tasks.core.files import hash_file
from tasks.core.flow_settings import PipelineSettings, RunnerSettings
from tasks.core.parts import over_parts
from tasks.encode import encode_download
from tasks.pad import pad_splits
from tasks.store.store import Store
from tasks.texts import encoded, ranked
from tasks.texts.dataset import REVIEWS, Dataset, write_dataset
from tests.support.part_work import end_always, end_once, refuse
from tests.support.small_runs import small

PROJECT = Path(__file__).parents[2]
ROWS = 90


@pytest.fixture
def texts(tmp_path) -> Path:
    """A folder with the texts of a download: 90 reviews of 1 to 9 words, in three splits."""
    folder = tmp_path / "texts"
    folder.mkdir()
    rng = np.random.default_rng(113)
    words = np.array(["good", "bad", "film", "it's", "plot", "naïve", "the", "a", "and", "long"])
    reviews = {
        "split": rng.permutation(["train"] * 60 + ["validation"] * 15 + ["test"] * 15),
        "label": np.arange(ROWS) % 2,
        "text": [" ".join(rng.choice(words, rng.integers(1, 10))) for _ in range(ROWS)],
    }
    pq.write_table(pa.table(reviews), folder / REVIEWS)
    write_dataset(folder, Dataset(name="own", sha256="", labels=("bad", "good")))
    return folder


@pytest.fixture
def handed_out(monkeypatch) -> list[Any]:
    """Every part that workers are handed."""
    parts: list[Any] = []
    for name, opened in list(workers.POOLS.items()):

        @contextmanager
        def counting(settings, opened=opened):
            with opened(settings) as pool:
                yield pool._replace(submit=lambda function, part: parts.append(part) or pool.submit(function, part))

        monkeypatch.setitem(workers.POOLS, name, counting)
    return parts


def prepare(texts: Path, folder: Path, runner: RunnerSettings) -> dict[str, str]:
    """Encode and pad as the steps do, and return the hash of each file."""
    for name in ("encoded", "padded"):
        (folder / name).mkdir(parents=True)
    with parts_side_by_side(runner):
        encode_download(texts, EncodeSettings(max_unknown=1), folder / "encoded", over_parts())
        pad_splits(folder / "encoded", PadSettings(maxlen=6), folder / "padded", over_parts())
    return {str(path.relative_to(folder)): hash_file(path) for path in sorted(folder.rglob("*.*"))}


@pytest.mark.parametrize(
    ("runner", "rows_a_part"), [("threads", 4096), ("threads", 40), ("threads", 7), ("processes", 7)]
)
def test_files_are_the_same_byte_for_byte_however_many_parts_and_workers_there_are(
    runner, rows_a_part, texts, tmp_path, monkeypatch, handed_out
):
    monkeypatch.setattr(ranked, "ROWS_A_PART", rows_a_part)
    monkeypatch.setattr(encoded, "ROWS_A_GROUP", rows_a_part)
    alone = prepare(texts, tmp_path / "alone", RunnerSettings())
    assert len(alone) == 10
    assert not handed_out
    assert prepare(texts, tmp_path / "beside", RunnerSettings(runner=runner, workers=2)) == alone
    # Of three splits each is encoded and padded, and training's words are counted before.
    assert len(handed_out) >= 3 + 3 * -(-60 // rows_a_part)


def test_a_step_has_one_key_and_one_content_whatever_does_its_parts(
    imdb, tmp_path, monkeypatch, prefect_server, handed_out
):
    data = DataSettings(num_words=200, maxlen=16)
    made = []
    for name, runner in (("alone", "none"), ("beside", "threads")):
        monkeypatch.setenv("ARTIFACTS_STORE", str(tmp_path / name))
        downloaded = Store(tmp_path / name).make("download/one", partial(copy_reviews, imdb), warn=pytest.fail)

        @flow(result_storage=tmp_path / name / "results", result_serializer="json")
        def prepare_flow(downloaded=downloaded, runner=runner):
            return encode_and_pad(data, downloaded, RunnerSettings(runner=runner))

        made.append([(its.key, its.sha256) for its in prepare_flow()])
        assert bool(handed_out) == (runner == "threads")
        with monkeypatch.context() as patch:
            patch.setattr(workers, "POOLS", {})  # what comes from the cache opens nothing
            assert [(its.key, its.sha256) for its in prepare_flow(runner="threads")] == made[-1]
    assert made[0] == made[1]


def test_a_run_with_workers_takes_all_from_one_without_and_is_written_down_alike(trained, run, imdb):
    alone = json.loads((trained / "runs" / "latest" / "config.json").read_text())
    beside = run(PipelineSettings(**dict(small(imdb)), runner="threads", workers=2))
    assert {step["name"] for step in beside["steps"] if not step["cached"]} <= {"publish"}
    assert json.loads((beside["folder"] / "config.json").read_text()) == alone


def copy_reviews(imdb: Path, folder: Path) -> dict:
    for name in ("imdb.npz", "imdb_word_index.json", "dataset.json"):
        (folder / name).write_bytes((imdb / name).read_bytes())
    return {}


@settings(max_examples=20)
@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 3))
def test_parts_come_back_in_order_and_few_are_held_at_once(delays, count):
    held, most = 0, 0

    def parts():
        nonlocal held, most
        for number in enumerate(delays):
            held += 1
            most = max(most, held)
            yield number

    with Workers(RunnerSettings(runner="threads", workers=count)) as threads:
        found = []
        for number in threads.over(wait_shortly, parts()):
            found.append(number)
            held -= 1
    assert found == list(range(len(delays)))
    assert most <= count + 2


def wait_shortly(part: tuple[int, int]) -> int:
    number, delay = part
    time.sleep(delay / 1000)
    return number


def test_a_part_whose_process_is_killed_is_done_again(tmp_path):
    with Workers(RunnerSettings(runner="processes")) as processes:
        done = list(processes.over(partial(end_once, mark=tmp_path / "mark"), range(6)))
    assert (tmp_path / "mark").exists()
    assert done == [0, 1, 4, 9, 16, 25]


def test_a_part_that_ends_its_process_time_and_again_fails_with_the_remedy():
    with (
        Workers(RunnerSettings(runner="processes", workers=1)) as processes,
        pytest.raises(RunnerError, match=r"ended 3 times .*too little memory\? Give fewer --workers"),
    ):
        list(processes.over(end_always, [1]))


def test_what_a_part_is_refused_for_is_said_as_by_one_process():
    with (
        Workers(RunnerSettings(runner="processes", workers=1)) as processes,
        pytest.raises(DataError, match=r"^part 1 is not what it should be$"),
    ):
        list(processes.over(refuse, [1, 2]))


PARENT = """
import time
from flows.workers import Workers
from tasks.core.flow_settings import RunnerSettings
if __name__ == "__main__":
    with Workers(RunnerSettings(runner="processes")) as processes:
        list(processes.over(abs, range(4)))
        print("begun", flush=True)
        time.sleep(60)
"""


def test_processes_end_with_the_one_that_they_work_for_however_it_ends(tmp_path, alone):
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py")], stdout=subprocess.PIPE, env=alone)
    try:
        assert parent.stdout.readline() == b"begun\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert psutil.wait_procs(children, timeout=20)[1] == []


@pytest.mark.machines
@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_cluster_of_this_machine_makes_the_same_files(runner, texts, tmp_path, monkeypatch):
    pytest.importorskip(f"prefect_{runner}")
    monkeypatch.setattr(ranked, "ROWS_A_PART", 20)
    monkeypatch.setattr(encoded, "ROWS_A_GROUP", 20)
    alone = prepare(texts, tmp_path / "alone", RunnerSettings())
    assert prepare(texts, tmp_path / "beside", RunnerSettings(runner=runner, workers=2)) == alone

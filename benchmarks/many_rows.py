"""Time and peak memory of encoding many short generated reviews: 20 million by default.

python benchmarks/many_rows.py
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

SPLITS = ("train", "train", "train", "train", "test")
WORDS, LONGEST, ROWS_PER_GROUP = 50_000, 12, 65_536


def write_short_reviews(path: Path, rows: int) -> None:
    """Write `rows` reviews of 3 to 12 words with the columns split, label and text; a few words are frequent."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rng = np.random.default_rng(113)
    vocabulary = pa.array([f"word{rank}" for rank in range(WORDS)])
    schema = pa.schema([("split", pa.string()), ("label", pa.int8()), ("text", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, rows, ROWS_PER_GROUP):
            count = min(ROWS_PER_GROUP, rows - first)
            offsets = np.concatenate([[0], np.cumsum(rng.integers(3, LONGEST + 1, count))]).astype(np.int32)
            words = vocabulary.take(pa.array((WORDS ** rng.random(offsets[-1])).astype(np.int32)))
            texts = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), words), " ")
            split = pa.array([SPLITS[number % len(SPLITS)] for number in range(count)])
            writer.write_table(pa.table([split, pa.array(rng.integers(0, 2, count), pa.int8()), texts], schema=schema))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--folder", type=Path, help="a folder for about 100 bytes per row; default: a temporary one")
    arguments = parser.parse_args()

    from tasks.core.data_settings import EncodeSettings
    from tasks.encode import encode
    from tasks.texts.dataset_info import Dataset

    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        folder = Path(scratch)
        (folder / "encoded").mkdir()
        write_short_reviews(folder / "texts.parquet", arguments.rows)
        Dataset(name="short reviews", sha256="", labels=("0", "1")).write(folder)
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.perf_counter()
        counts = encode.function(downloaded=folder, settings=EncodeSettings(), folder=folder / "encoded")
        seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{counts}: {seconds:.0f} s, {peak:.0f} MB at the peak ({before:.0f} MB before)")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()

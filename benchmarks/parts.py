"""Encoding and padding, small trainings, and a folder of files to score, by workers and one after another, as ratios.

    python benchmarks/parts.py --data PATH/reviews.parquet               # texts with the columns split, label and text
    python benchmarks/parts.py --data PATH/reviews.parquet --trainings 4
    python benchmarks/parts.py --data PATH/reviews.parquet --store STORE --files 8     # STORE has a champion

A ratio is the seconds with a runner over those without, taken in pairs within a round; the start of workers counts.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def prepare(download: Path, folder: Path, runner: str, workers: int) -> dict[str, float]:
    """Return the seconds of encoding and of padding, as the steps do it."""
    from flows.workers import parts_side_by_side
    from tasks.core.data_settings import EncodeSettings, PadSettings
    from tasks.core.flow_settings import RunnerSettings
    from tasks.core.parts import over_parts
    from tasks.encode import encode_download
    from tasks.pad import pad_splits

    (folder / "padded").mkdir(parents=True)
    settings = EncodeSettings(max_words=1_000_000)
    with parts_side_by_side(RunnerSettings(runner=runner, workers=workers)):
        started = time.perf_counter()
        encode_download(download, settings, folder, over_parts())
        encoded = time.perf_counter()
        pad_splits(folder, PadSettings(), folder / "padded", over_parts())
    return {"encode": encoded - started, "pad": time.perf_counter() - encoded}


def compare(data: Path, store: Path, trainings: int, reviews: int, runner: str, workers: int) -> dict[str, float]:
    """Return the seconds of a comparison of small networks that differ in their learning rate, from an empty store."""
    rates = ",".join(f"{number / 1000}" for number in range(1, trainings + 1))
    command = [
        sys.executable,
        str(ROOT / "flows" / "compare_flow.py"),
        "--store",
        str(store),
        "--data.dataset",
        str(data),
    ]
    command += [
        "--data.max-reviews",
        str(reviews),
        "--no-tracking.enabled",
        "--cells",
        "gru",
        "--ways",
        "one",
        "--training.epochs",
        "2",
    ]
    command += ["--grid", f"training.learning-rate={rates}", "--runner", runner, "--workers", str(workers)]
    return {"comparison": seconds_of(command)}


def write_files(data: Path, files: int, folder: Path) -> None:
    """Write the texts as files of about equal rows."""
    import pyarrow.parquet as pq

    folder.mkdir()
    texts = pq.read_table(data, columns=["text"])
    rows = -(-texts.num_rows // files)
    for number in range(files):
        pq.write_table(texts.slice(number * rows, rows), folder / f"{number:03}.parquet", compression="zstd")


def score(store: Path, inbox: Path, outbox: Path, runner: str, workers: int) -> dict[str, float]:
    """Return the seconds of scoring the files of `inbox` by the champion of `store`, as a whole process."""
    command = [sys.executable, str(ROOT / "flows" / "predict_flow.py"), "--store", str(store)]
    command += ["--input", str(inbox), "--output", str(outbox), "--runner", runner, "--workers", str(workers)]
    return {"score": seconds_of(command)}


def seconds_of(command: list[str]) -> float:
    """Return the seconds that a command takes, which has to succeed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "ARTIFACTS"))}
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=clean)
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Parquet with the columns split, label and text")
    parser.add_argument("--runners", nargs="+", default=["threads", "processes"], help="also dask and ray")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trainings", type=int, default=0, help="small networks to compare, side by side and not")
    parser.add_argument("--reviews", type=int, default=4000, help="of each split, to train them on")
    parser.add_argument("--store", type=Path, help="with a champion, to score a folder of files by")
    parser.add_argument("--files", type=int, default=8, help="in that folder")
    arguments = parser.parse_args()

    from tasks.texts.dataset import REVIEWS, Dataset, write_dataset

    found: dict[tuple[str, str, int], list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        place, data = Path(scratch), arguments.data.resolve()
        (place / "download").mkdir()
        (place / "download" / REVIEWS).symlink_to(data)
        write_dataset(place / "download", Dataset(name="own", sha256="", labels=("0", "1")))
        if arguments.store:
            write_files(data, arguments.files, place / "inbox")
        prepare(place / "download", place / "first", "none", 1)  # imports and reads from the disk; nobody's time
        for number in range(arguments.rounds):
            seconds = {}
            for runner, workers in [("none", 1), *itertools.product(arguments.runners, arguments.workers)]:
                folder = place / f"{number}-{runner}-{workers}"
                seconds[runner, workers] = prepare(place / "download", folder, runner, workers)
                if arguments.trainings and (runner == "none" or workers > 1):
                    seconds[runner, workers] |= compare(
                        data, folder / "store", arguments.trainings, arguments.reviews, runner, workers
                    )
                if arguments.store:
                    made = folder / "scored"
                    seconds[runner, workers] |= score(arguments.store, place / "inbox", made, runner, workers)
            for kind, figures in seconds.items():
                for name, value in figures.items():
                    found[name, *kind].append((value, value / seconds["none", 1][name]))
    print(f"{'':12} {'runner':10} {'workers':>7} {'seconds':>8} {'ratio':>6} {'low':>6} {'high':>6}")
    for (name, runner, workers), pairs in sorted(found.items()):
        values, ratios = zip(*pairs, strict=True)
        middle = f"{statistics.median(values):8.2f} {statistics.median(ratios):6.2f}"
        print(f"{name:12} {runner:10} {workers:7} {middle} {min(ratios):6.2f} {max(ratios):6.2f}")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()

"""Train every preset on every text-classification set in a folder, and print one table of test metrics.

    python benchmarks/corpora.py FOLDER                             # Parquet with text, label and, if published, split
    python benchmarks/corpora.py FOLDER --presets fast --sets mr trec --json corpora.json
    python benchmarks/corpora.py FOLDER --presets auto --flags="--minutes 3 --metric f1_macro"

Each run is a whole process with an empty store and one seed. It prints accuracy and macro-F1 of the network, or of
the model that `auto` chooses, and of the linear baseline, and the seconds of the process. Sets without a column `split`
are split by a hash of their texts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

FLOW = Path(__file__).resolve().parent.parent / "flows" / "imdb_flow.py"
COLUMNS = (
    "set",
    "preset",
    "rows",
    "labels",
    "accuracy",
    "macro-F1",
    "baseline",
    "its macro-F1",
    "p",
    "chosen",
    "seconds",
)


def run_preset(path: Path, preset: str, flags: str) -> dict[str, Any]:
    """Return metrics.json and the wall seconds of a preset on one set, or the last line of its error."""
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, str(FLOW), "--preset", preset, "--store", store, "--data.dataset", str(path)]
        if preset != "auto":  # which may choose the linear model
            command += ["--promotion.candidates", "network"]
        if "split" in pq.read_schema(path).names:
            command += ["--data.split-column", "split"]
        started = time.perf_counter()
        done = subprocess.run(
            [*command, "--no-tracking.enabled", *flags.split()],
            capture_output=True,
            text=True,
            env=os.environ | {"NO_COLOR": "1"},
        )
        seconds = time.perf_counter() - started
        if done.returncode:
            return {
                "set": path.stem,
                "preset": preset,
                "seconds": seconds,
                "error": error_of(done.stderr),
            }
        metrics = json.loads((Path(store) / "runs" / "latest" / "metrics.json").read_text())
    return {"set": path.stem, "preset": preset, "seconds": seconds, "metrics": metrics}


def error_of(printed: str) -> str:
    """Return the line in which the flow says what failed."""
    lines = [line for line in printed.splitlines() if line.startswith(FLOW.name)]
    return lines[-1] if lines else printed.strip().splitlines()[-1]


def row_of(run: dict[str, Any]) -> str:
    """Return a run as a row of the table."""
    if "error" in run:
        return f"| {run['set']} | {run['preset']} | {run['error']} |"
    metrics = run["metrics"]
    test, baseline = metrics["test"], metrics["baseline"]
    cells = [
        run["set"],
        run["preset"],
        str(sum(metrics["dataset"][split] for split in ("train", "validation", "test"))),
        str(len(metrics["dataset"]["labels"])),
        f"{test['accuracy']:.4f}",
        f"{test['f1_macro']:.4f}",
        f"{baseline['accuracy']:.4f}",
        f"{baseline['f1_macro']:.4f}",
        f"{baseline['comparison']['p_value']:.2g}",
        metrics["candidates"]["chosen"],
        f"{run['seconds']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print a row for each set and preset, as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds one Parquet file for each set")
    parser.add_argument("--presets", nargs="+", default=["case-study", "fast", "tuned", "auto"])
    parser.add_argument("--sets", nargs="+", help="names of files without .parquet (none: all)")
    parser.add_argument("--flags", default="", help="for every run, in one argument")
    parser.add_argument("--json", type=Path, help="write all metrics to this file")
    arguments = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    runs = []
    for path in sorted(arguments.folder.glob("*.parquet")):
        if arguments.sets and path.stem not in arguments.sets:
            continue
        for preset in arguments.presets:
            runs.append(run_preset(path, preset, arguments.flags))
            print(row_of(runs[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(runs, indent=1))


if __name__ == "__main__":
    main()

"""Time complete runs of presets, from imdb.npz to an evaluated model, against the plain script; one seed per round.

    python benchmarks/speedrun.py --data PATH/imdb.npz                       # fast and tuned, three seeds
    python benchmarks/speedrun.py --data PATH/imdb.npz --presets tuned --seeds 1

Seconds are wall time of the complete process with an empty store, including Prefect, baseline, tracking and report.
It prints rows for the table in benchmarks/performance-notes.md. The bars are 0.90 and 0.925 test accuracy;
imdb_word_index.json must be in the folder of imdb.npz.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FLOW = HERE.parent / "flows" / "imdb_flow.py"
BARS = (0.925, 0.90)


def run_plain(data: Path, seed: int, environment: dict[str, str]) -> float:
    """Return the wall seconds of the plain script's five epochs."""
    from benchmarks.run import run_process

    script = [sys.executable, str(HERE / "plain_keras.py"), "--data", str(data), "--seed", str(seed)]
    return run_process(script, environment)[0]


def run_preset(data: Path, preset: str, seed: int, environment: dict[str, str], store: Path) -> dict[str, Any]:
    """Return the wall seconds and metrics.json of a complete run of a preset."""
    from benchmarks.run import run_process
    from tasks.core.files import hash_file

    flow = [sys.executable, str(FLOW), "--preset", preset, "--store", str(store), "--data.source", str(data)]
    flow += ["--data.sha256", hash_file(data), "--model.seed", str(seed), "--training.seed", str(seed)]
    seconds, memory, _printed = run_process(flow, environment)
    metrics = json.loads((store / "runs" / "latest" / "metrics.json").read_text())
    return {"preset": preset, "seed": seed, "seconds": seconds, "memory_mb": memory / 1024, "metrics": metrics}


def row_of(run: dict[str, Any]) -> str:
    """Return a run as a row of the table."""
    test, compared = run["metrics"]["test"], run["metrics"]["baseline"]["comparison"]
    bar = next((f"{bar}" for bar in BARS if test["accuracy"] >= bar), "none")
    cells = [
        run["preset"],
        str(run["seed"]),
        f"{run['seconds']:.1f}",
        f"{run['ratio']:.3f}",
        f"{test['accuracy']:.4f}",
        f"{test['log_loss']:.4f}",
        bar,
        f"{run['metrics']['baseline']['accuracy']:.4f}",
        f"{compared['p_value']:.2g}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="imdb.npz, with its word index in the same folder")
    parser.add_argument("--presets", nargs="+", default=["fast", "tuned"], help="default: fast tuned")
    parser.add_argument("--seeds", type=int, default=3, help="number of rounds, with seeds from 1; default: 3")
    parser.add_argument("--json", type=Path, help="write every run here")
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "ARTIFACTS"))}
    print("| preset | seed | seconds | of the plain run's | test accuracy | log loss | bar | baseline | p |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    runs = []
    for seed in range(1, arguments.seeds + 1):
        plain = run_plain(data, seed, clean)
        for preset in arguments.presets:
            with tempfile.TemporaryDirectory() as store:
                run = run_preset(data, preset, seed, clean, Path(store))
            runs.append(run | {"plain": plain, "ratio": run["seconds"] / plain})
            print(row_of(runs[-1]), flush=True)
    for preset in arguments.presets:
        own = [run for run in runs if run["preset"] == preset]
        means = [
            statistics.mean(values)
            for values in (
                [run["seconds"] for run in own],
                [run["ratio"] for run in own],
                [run["metrics"]["test"]["accuracy"] for run in own],
            )
        ]
        print(f"{preset}, mean of {len(own)}: {means[0]:.1f} s, {means[1]:.3f} of the plain run's, {means[2]:.5f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()

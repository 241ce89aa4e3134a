"""Time and peak memory of encode, pad, score and predict on 1, 4 and 16 times the reviews, one process per step.

    python benchmarks/growth.py --data PATH/imdb.npz --json growth.json --figure growth.svg

The reviews are rebuilt as text from the arrays and the word index, and repeated. The network is small, because the
benchmark measures how cost grows with size, not the cost itself.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS = ("encode", "pad", "score", "predict")
FACTORS = (1, 4, 16)


def write_texts(data: Path, reviews: int | None, path: Path) -> None:
    """Write the reviews of imdb.npz as text, with the columns split, label and text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from benchmarks.imdb_texts import spell

    tables = []
    for split in ("train", "test"):
        texts, labels = spell(data, split)
        if reviews:  # they are sorted by label
            rows = [*range(reviews // 2), *range(len(labels) - reviews // 2, len(labels))]
            texts, labels = texts.take(pa.array(rows)), labels[rows]
        tables.append(pa.table({"split": pa.array([split] * len(labels)), "label": labels, "text": texts}))
    pq.write_table(pa.concat_tables(tables), path, compression="zstd", row_group_size=8192)


def repeat(source: Path, factor: int, target: Path) -> None:
    """Write every row group of `source` `factor` times."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as file, pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as writer:
        for _ in range(factor):
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group))


def run_step(step: str, folder: Path) -> dict[str, float]:
    """Run one step on the outputs in `folder`; return its seconds and this process's peak memory in MB."""
    from tasks.core.command_settings import PredictSettings
    from tasks.core.data_settings import EncodeSettings, PadSettings
    from tasks.core.run_settings import MetricsSettings, ModelSettings, ScoringSettings

    target = folder / step
    target.mkdir()
    if step == "encode":
        from tasks.encode import encode

        started = time.perf_counter()
        encode.function(downloaded=folder, settings=EncodeSettings(), folder=target)
    elif step == "pad":
        from tasks.pad import pad

        started = time.perf_counter()
        pad.function(encoded=folder / "encode", settings=PadSettings(), folder=target)
    elif step == "score":
        from tasks.build import make_model
        from tasks.evaluation.training_history import Epoch, write_training
        from tasks.network.keras_files import save_model
        from tasks.score import score

        save_model(make_model(ModelSettings(units=4, embedding_dim=8), 10_000), target / "model.keras")
        epoch = Epoch(epoch=1, loss=1.0, val_loss=1.0, seconds=1.0)
        write_training(target, [epoch], bucketing=True, keep_best=False)
        started = time.perf_counter()
        settings = ScoringSettings()
        score.function(downloaded=folder, padded=folder / "pad", trained=target, settings=settings, folder=target)
    else:
        from tasks.network.bundle import open_onnx
        from tasks.predict import score_file

        classifier = open_onnx("benchmark", folder / "packaged")
        settings = PredictSettings(input=str(folder / "texts.parquet"), output=str(target / "scored.parquet"))
        started = time.perf_counter()
        score_file(classifier, Path(settings.input), Path(settings.output), settings, on_read=lambda _share: None)
    seconds = time.perf_counter() - started
    figures = {"seconds": seconds, "peak_mb": peak_memory()}
    if step == "score":  # in this process, so that the one that predicts does not load TensorFlow
        from tasks.evaluate import evaluate
        from tasks.package import package

        for name in ("evaluated", "packaged"):
            (folder / name).mkdir()
        results = {"downloaded": folder, "padded": folder / "pad", "scored": target}
        settings, others = MetricsSettings(), {"baselined": target, "considered": "network"}
        evaluate.function(**results, **others, settings=settings, folder=folder / "evaluated")
        results |= {"encoded": folder / "encode", "trained": target, "evaluated": folder / "evaluated"}
        package.function(**results, settings=settings, folder=folder / "packaged")
    return figures


def peak_memory() -> float:
    """Return this process's peak memory in MB; getrusage would include its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def measure(data: Path, reviews: int | None, scratch: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return seconds and peak memory by step and factor."""
    from tasks.texts.dataset_info import Dataset

    figures: dict[str, dict[str, dict[str, float]]] = {step: {} for step in STEPS}
    write_texts(data, reviews, scratch / "once.parquet")
    for factor in FACTORS:
        folder = scratch / str(factor)
        folder.mkdir()
        repeat(scratch / "once.parquet", factor, folder / "texts.parquet")
        Dataset(name="imdb", sha256="", labels=("negative", "positive")).write(folder)
        for step in STEPS:
            command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr)
            figures[step][str(factor)] = row = json.loads(done.stdout.splitlines()[-1])
            print(f"{step:9} {factor:3}x: {row['seconds']:7.2f} s, {row['peak_mb']:7.0f} MB", flush=True)
    for step, rows in figures.items():
        time_ratio = rows["16"]["seconds"] / rows["4"]["seconds"]
        memory_ratio = rows["16"]["peak_mb"] / rows["4"]["peak_mb"]
        print(f"{step:9} 16x over 4x: time {time_ratio:.2f}, peak memory {memory_ratio:.2f}")
    return figures


def draw(figures: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """Plot time and peak memory against size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, key, label in zip(figure.subplots(1, 2), ("seconds", "peak_mb"), ("seconds", "peak, MB"), strict=True):
        for step, rows in figures.items():
            axes.plot(FACTORS, [rows[str(factor)][key] for factor in FACTORS], "o-", label=step)
        axes.set(xlabel="times the reviews", ylabel=label, xticks=FACTORS, ylim=(0, None))
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="imdb.npz, with its word index in the same folder")
    parser.add_argument("--reviews", type=int, help="reviews of each split at 1x; default: all")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--figure", type=Path, help="plot them here, as SVG")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("ARTIFACTS_STORE", str(Path(scratch) / "store"))
        from tasks.core import environment

        environment.prepare([])
        if arguments.step:
            print(json.dumps(run_step(arguments.step, arguments.folder)))
            return
        if arguments.data is None:
            parser.error("--data is needed")
        figures = measure(arguments.data.resolve(), arguments.reviews, Path(scratch))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    if arguments.figure:
        draw(figures, arguments.figure)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()

"""Compare the pipeline with the case study's plain script on one machine, step by step, as ratios.

    python benchmarks/run.py --data PATH/imdb.npz                # the full data set, three rounds: about half an hour
    python benchmarks/run.py --data PATH/imdb.npz --quick        # fewer reviews, five minutes at most

A ratio is the pipeline's seconds divided by the plain script's, measured alternately within a round; the table shows
the median and the range. imdb_word_index.json must be in the folder of imdb.npz.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FLOW = HERE.parent / "flows" / "imdb_flow.py"

LABELS = ("negative", "positive")

TARGETS = {
    "epoch_ratio": 0.5,
    "evaluate_ratio": 0.35,
    "prepare_ratio": 1.0,
    "load_ratio": 0.05,
    "predict_ratio": 0.6,
    "cold_ratio": 0.75,
    "warm_ratio": 0.05,
    "warm_alone_ratio": 0.12,
    "memory_ratio": 0.9,
}


def timed(work: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[float, Any]:
    """Return the wall seconds and the result of a call."""
    started = time.perf_counter()
    result = work(*arguments, **options)
    return time.perf_counter() - started, result


class Figures:
    """Pairs of seconds (or MB) of the plain script and the pipeline, by name."""

    def __init__(self) -> None:
        self.pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, name: str, plain: float, pipeline: float) -> None:
        self.pairs[name].append((plain, pipeline))
        print(f"  {name}: plain {plain:.2f}, pipeline {pipeline:.2f}, ratio {pipeline / plain:.3f}", flush=True)

    def summary(self) -> dict[str, dict[str, float]]:
        rows = {}
        for name, pairs in self.pairs.items():
            ratios = [pipeline / plain for plain, pipeline in pairs]
            plain, pipeline = (statistics.median(values) for values in zip(*pairs, strict=True))
            rows[name] = {
                "plain": plain,
                "pipeline": pipeline,
                "ratio": statistics.median(ratios),
                "low": min(ratios),
                "high": max(ratios),
            }
        return rows


def compare_steps(data: Path, reviews: int | None, rounds: int, figures: Figures, scratch: Path) -> None:
    """Time the steps in this process, alternating between plain script and pipeline."""
    from benchmarks import plain_keras
    from benchmarks.imdb_texts import spell, word_ranks
    from tasks.build import make_model
    from tasks.core.run_settings import EvaluationSettings, ModelSettings, TrainingSettings
    from tasks.network.onnx_export import write_network
    from tasks.network.scoring import NETWORK
    from tasks.network.tensorflow_setup import start_tensorflow
    from tasks.train import Trainer, compile_model

    start_tensorflow()
    training, evaluation = TrainingSettings(), EvaluationSettings()
    model = make_model(ModelSettings(), plain_keras.NUM_WORDS)
    compile_model(model, training, steps=1)  # the learning rate is constant, so the number of steps does not matter
    plain_model = plain_keras.make_model()
    texts, ranks = spell(data, "test")[0][:reviews].to_pylist(), word_ranks(data)
    download = link_download(data, scratch)

    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", flush=True)
        folder = scratch / f"round-{number}"
        plain_load, arrays = timed(plain_keras.load_and_pad, data)
        x_train, y_train, x_test, y_test = (part[:reviews] for part in arrays)
        figures.add("prepare", plain_load, timed(prepare, download, reviews, folder)[0])
        seconds, (train, validation, test) = timed(load, folder)
        figures.add("load", plain_load, seconds)

        options = {"batch_size": plain_keras.BATCH_SIZE, "validation_split": 0.2, "verbose": 0}
        plain, _ = timed(plain_model.fit, x_train, y_train, **options)
        seconds, _ = timed(Trainer(train, validation, training, print).fit_epoch, model, number + 1)
        if number:  # the first epoch includes tracing the graph
            figures.add("epoch", plain, seconds)

        plain, _ = timed(plain_model.evaluate, x_test, y_test, verbose=0)
        network = folder / NETWORK
        write_network(model, LABELS, network)  # the step `score` does this once per model
        figures.add("evaluate", plain, timed(evaluate, network, test, evaluation)[0])
        plain, by_plain = timed(plain_keras.predict_texts, plain_model, texts, ranks)
        seconds, by_pipeline = timed(predict_texts, network, texts, folder)
        figures.add("predict", plain, seconds)
        assert by_plain.shape == by_pipeline.shape == (len(texts),)


def link_download(data: Path, scratch: Path) -> Path:
    """Return a folder like the output of the step `download`."""
    from tasks.texts.dataset_info import Dataset

    download = scratch / "download"
    download.mkdir()
    for name in ("imdb.npz", "imdb_word_index.json"):
        (download / name).symlink_to(data.parent / name)
    Dataset(name="imdb", sha256="", labels=LABELS).write(download)
    return download


def prepare(download: Path, reviews: int | None, folder: Path) -> None:
    """Turn the .npz file into padded Parquet files, as the steps encode and pad do."""
    from tasks.core.data_settings import EncodeSettings, PadSettings
    from tasks.encode import encode
    from tasks.pad import pad

    folder.mkdir()
    encode.function(downloaded=download, settings=EncodeSettings(max_reviews=reviews), folder=folder)
    (folder / "padded").mkdir()
    pad.function(encoded=folder, settings=PadSettings(), folder=folder / "padded")


def load(folder: Path) -> tuple[Any, Any, Any]:
    """Read all padded Parquet files as arrays, to time it; return the files that training reads, and test's arrays."""
    from tasks.texts.padded import PaddedFile

    train, validation, test = (
        PaddedFile(folder / "padded" / f"{split}.parquet") for split in ("train", "validation", "test")
    )
    _read = list(train), list(validation)
    return train, validation, list(test)


def evaluate(network: Path, test: Any, settings: Any) -> list[dict[str, Any]]:
    """Score and compute metrics, as the steps score and evaluate do."""
    from tasks.evaluation.metrics import measure_scores
    from tasks.evaluation.predictions import Scores
    from tasks.network.scoring import onnx_scorer

    score = onnx_scorer(network, len(LABELS), settings.batch_size, bucketing=True, keep_memory=True)
    return [measure_scores(Scores(part.labels, score(part)), LABELS, settings) for part in test]


def predict_texts(network: Path, texts: list[str], folder: Path) -> Any:
    """Score texts as predict_flow does: tokenise, encode, pad, predict in length buckets."""
    import pyarrow as pa

    from tasks.core.data_settings import PadSettings
    from tasks.network.bundle import ONNX_BATCH_SIZE, BundleFacts, Classifier
    from tasks.network.scoring import onnx_scorer
    from tasks.texts.encoded import Encoding, read_vocabulary

    sides = PadSettings().model_dump(include={"maxlen", "padding", "truncating"})
    reference = {"length_edges": [], "lengths": [], "words": [], "scores": []}  # not used: this does not measure drift
    source = {"labels": LABELS, "dataset": "imdb", "dataset_sha256": "", "reference": reference}
    classifier = Classifier(
        name="benchmark",
        vocabulary=pa.array(read_vocabulary(folder)),
        encoding=Encoding.read(folder),
        facts=BundleFacts(**sides, bucketing=True, threshold=0.5, **source),
        # predict_flow scores in a process that has not trained: there, keeping memory changes nothing.
        score=onnx_scorer(network, len(LABELS), ONNX_BATCH_SIZE, bucketing=True, keep_memory=True),
        registered_model=None,
        sha256="",
    )
    return classifier.predict(pa.array(texts))


def run_process(command: list[str], environment: dict[str, str]) -> tuple[float, int, str]:
    """Run a program; return its wall seconds, its peak memory in kB and its output."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(command, env=environment, stdout=printed, stderr=subprocess.DEVNULL)
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        printed.seek(0)
        output = printed.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
    return seconds, usage.ru_maxrss, output


@contextmanager
def prefect_server(home: Path) -> Any:
    """Start a Prefect server and yield its address."""
    os.environ["PREFECT_HOME"] = str(home)
    home.mkdir()
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    server.start(timeout=120)
    try:
        yield server.api_url
    finally:
        server.stop()


def compare_processes(
    data: Path, reviews: int | None, epochs: int, rounds: int, figures: Figures, scratch: Path
) -> Any:
    """Time complete runs as processes, one seed per round; return both accuracies by round."""
    from tasks.core.files import hash_file

    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "ARTIFACTS"))}
    limit = ["--data.max-reviews", str(reviews)] if reviews else []
    accuracies = []
    for number in range(rounds):
        print(f"whole runs, round {number + 1} of {rounds}", flush=True)
        seed = str(113 + number)
        script = [sys.executable, str(HERE / "plain_keras.py"), "--data", str(data), "--epochs", str(epochs)]
        plain, plain_memory, printed = run_process(
            [*script, "--seed", seed, *(["--reviews", str(reviews)] if reviews else [])], clean
        )
        accuracy = json.loads(printed.splitlines()[-1])["test"]["accuracy"]
        store = scratch / f"store-{number}"
        flow = [sys.executable, str(FLOW), "--store", str(store), "--data.source", str(data), *limit]
        flow += ["--data.sha256", hash_file(data), "--training.epochs", str(epochs)]
        flow += ["--model.seed", seed, "--training.seed", seed]
        cold, memory, _ = run_process(flow, clean)
        metrics = json.loads((store / "runs" / "latest" / "metrics.json").read_text())
        # The plain script trains no linear baseline.
        baseline = sum(step["seconds"] for step in metrics["steps"] if step["name"] == "baseline")
        figures.add("cold", plain, cold - baseline)
        figures.add("memory", plain_memory / 1024, memory / 1024)
        accuracies.append((accuracy, metrics["test"]["accuracy"]))
        figures.add("warm_alone", plain, run_process(flow, clean)[0])
        with prefect_server(scratch / f"prefect-{number}") as url:
            served = clean | {"PREFECT_API_URL": url}
            run_process(flow, served)  # the server's first run fills its own caches
            figures.add("warm", plain, run_process(flow, served)[0])
    return accuracies


def print_table(rows: dict[str, dict[str, float]], *, whole: bool) -> None:
    """Print the figures; compare them with the targets if the full data set was measured."""
    print(f"\n{'':12} {'plain':>9} {'pipeline':>9} {'ratio':>7} {'low':>7} {'high':>7} {'target':>7}")
    for name, row in rows.items():
        target = TARGETS[f"{name}_ratio"]
        figures = f"{row['plain']:9.2f} {row['pipeline']:9.2f} {row['ratio']:7.3f} {row['low']:7.3f} {row['high']:7.3f}"
        verdict = ("met" if row["ratio"] <= target else "MISSED") if whole else ""
        print(f"{name:12} {figures} {target:7.2f} {verdict}")
    if not whole:
        print("The targets apply to the full data set.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="imdb.npz, with its word index in the same folder")
    parser.add_argument("--quick", action="store_true", help="fewer reviews and rounds")
    parser.add_argument("--reviews", type=int, help="reviews of each split; default: all, with --quick 4,000")
    parser.add_argument("--rounds", type=int, help="default: 4, the first of which is a warm-up; quick: 2")
    parser.add_argument("--seeds", type=int, help="number of complete runs, one seed each; default: 3, quick: 1")
    parser.add_argument("--epochs", type=int, help="epochs of complete runs; default: 5, quick: 1")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    reviews = arguments.reviews or (4_000 if arguments.quick else None)
    rounds = arguments.rounds or (2 if arguments.quick else 4)
    epochs = arguments.epochs or (1 if arguments.quick else 5)
    whole_rounds = arguments.seeds or (1 if arguments.quick else 3)

    data, figures = arguments.data.resolve(), Figures()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ARTIFACTS_STORE"] = str(Path(scratch) / "store")
        from tasks.core import environment

        environment.prepare([])
        accuracies = compare_processes(data, reviews, epochs, whole_rounds, figures, Path(scratch))
        compare_steps(data, reviews, rounds, figures, Path(scratch))
    rows = figures.summary()
    print_table(rows, whole=reviews is None)
    plain, pipeline = (statistics.mean(values) for values in zip(*accuracies, strict=True))
    print(f"\ntest accuracy after {epochs} epochs, mean of {whole_rounds}: plain {plain:.4f}, pipeline {pipeline:.4f}")
    if arguments.json:
        ratios = {f"{name}_ratio": row["ratio"] for name, row in rows.items()}
        accuracy = {"accuracy_plain": plain, "accuracy_pipeline": pipeline}
        arguments.json.write_text(json.dumps(ratios | accuracy | {"figures": rows}, indent=1) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()

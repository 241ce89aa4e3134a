import json
import os
import shutil
import time
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.build import make_model
from tasks.core.errors import ModelError
from tasks.core.layout import METRICS
from tasks.core.run_settings import ModelSettings
from tasks.network.bundle import BundleFacts, Classifier, open_keras
from tasks.network.keras_files import MODEL, save_model
from tasks.network.onnx_export import write_network
from tasks.registry.loading import find_version, load_version
from tasks.store.inventory import DAY
from tasks.store.pruning import prune
from tasks.store.store import MANIFEST, Store
from tasks.texts.encoded import Encoding, write_vocabulary

KEY = "package/abc"


@pytest.fixture
def run_folder(store, tmp_path) -> Path:
    """A run folder from 100 days ago, whose bundle is in the store."""

    def fill(folder: Path) -> dict:
        network = make_model(ModelSettings(units=2, embedding_dim=2, dense_units=2), 10)
        save_model(network, folder / MODEL)
        write_network(network, ["negative", "positive"], folder / "model.onnx")
        Encoding(skip_top=0, start_char=1, oov_char=2, index_from=3, vocabulary_size=10).write(folder)
        write_vocabulary(folder, ["good", "bad"])
        facts = {"maxlen": 48, "padding": "pre", "truncating": "pre", "bucketing": True, "threshold": 0.5}
        facts |= {"labels": ["negative", "positive"], "dataset": "imdb", "dataset_sha256": "0" * 64}
        facts["reference"] = {"length_edges": [2.0], "lengths": [50, 50], "words": [90, 10], "scores": [10] * 10}
        BundleFacts.model_validate(facts).write(folder)
        return {}

    made, _ = Store(store).get_or_make(KEY, fill)
    run = store / "runs" / "20200101T000000Z-lucky-cat"
    run.mkdir(parents=True)
    (run / METRICS).write_text(json.dumps({"artifacts": {"package": {"key": KEY, "sha256": made.sha256}}}))
    then = time.time() - 100 * DAY
    for path in (run / METRICS, store / KEY / MANIFEST):
        os.utime(path, (then, then))
    return run


def load(run: Path) -> Classifier:
    return load_version(find_version(str(run), "imdb-classifier", None), None, open_keras)


def test_a_bundle_loaded_from_a_run_folder_is_not_pruned(run_folder, store):
    assert load(run_folder).predict(pa.array(["good"])).shape == (1,)
    pruned = prune(store, days=30)
    assert (pruned.artifacts, pruned.removed) == ([], [])
    assert load(run_folder).name == "run 20200101T000000Z-lucky-cat"


def test_an_unused_bundle_is_pruned_with_its_run(run_folder, store):
    assert [entry["key"] for entry in prune(store, days=30).artifacts] == [KEY]
    (store / "runs" / run_folder.name).mkdir(exist_ok=True)
    with pytest.raises(ModelError, match=r"is not a run folder"):
        load(run_folder)


def test_the_error_says_what_to_do_if_a_runs_bundle_is_gone(run_folder, store):
    shutil.rmtree(store / KEY)
    with pytest.raises(ModelError, match=rf"{KEY}.* repeat the run"):
        load(run_folder)


@pytest.mark.parametrize("name", ["vocabulary.json", MODEL, "classifier.json"])
def test_a_bundle_with_a_damaged_file_is_refused_with_the_files_name(run_folder, store, name):
    path = store / KEY / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match=rf"{name}: its sha256 differs from the manifest's; repeat the run"):
        load(run_folder)


def test_a_bundle_whose_hash_differs_from_the_runs_is_refused(run_folder, store):
    metrics = json.loads((run_folder / METRICS).read_text())
    metrics["artifacts"]["package"]["sha256"] = "0" * 64
    (run_folder / METRICS).write_text(json.dumps(metrics))
    with pytest.raises(ModelError, match="is not the one of"):
        load(run_folder)

"""The classifier: raw text in, probability out; a network with the vocabulary and rules it was trained with."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.core.errors import ModelError
from tasks.core.files import naming_the_place
from tasks.core.places import typed_path
from tasks.core.sealed import RotError
from tasks.core.store import Store
from tasks.core.usage import take
from tasks.judging.metrics import METRICS
from tasks.judging.registry import registry
from tasks.judging.scores import decide_labels
from tasks.judging.versions import CHAMPION, model_or_default, numbered_version, version_under
from tasks.network.models import MODEL, Scorer, load_model
from tasks.network.packaged import Facts, read_facts
from tasks.network.registered import NETWORK, fetch_registered
from tasks.reviews.encoded import Encoding, read_encoding, read_vocabulary
from tasks.reviews.padded import Padded, pad_tokens
from tasks.reviews.text import count_words, ranks_to_ids, words_to_ranks
from tasks.reviews.tokenising import tokenise

# TensorFlow, Keras and MLflow are imported inside the functions that need them: other steps never pay for them.
if TYPE_CHECKING:
    import keras
    from mlflow.entities.model_registry import ModelVersion

BATCH_SIZE = 256


@dataclass(frozen=True)
class Classifier:
    """A trained network, and all that raw text needs on the way to it.

    Attributes:
        name: which model it is, for people.
        network: (rows, length) int32 -> (rows, 1) float32, or of more than two labels (rows, labels).
        vocabulary: strings, the words in order of rank.
        encoding: how ids were given.
        facts: the rest, as it was packaged.
        score: the network, traced.
        registered_model: the model in the registry that it is a version of; None where it is of a run folder.
    """

    name: str
    network: "keras.Model"
    vocabulary: pa.Array
    encoding: Encoding
    facts: Facts
    score: Scorer
    registered_model: str | None = None

    def encode(self, texts: pa.Array) -> tuple[Padded, list[int]]:
        """Turn n texts into padded token ids, by the rules that the network was trained with.

        Returns:
            The reviews, and how many of all their words are known, and how many are not.
        """
        ranks = words_to_ranks(tokenise(texts, self.encoding.tokenisation), self.vocabulary)
        limit = self.encoding.vocabulary_size
        words, unknown = count_words(ranks, num_words=limit, index_from=self.encoding.index_from)
        marks = self.encoding.model_dump(include={"skip_top", "start_char", "oov_char", "index_from"})
        ids = ranks_to_ids(ranks, num_words=limit, **marks)
        its = self.facts
        tokens, lengths = pad_tokens(ids, its.maxlen, padding=its.padding, truncating=its.truncating)
        padded = Padded(tokens, lengths, np.zeros(len(texts), np.int8), its.padding, limit)
        return padded, [int(words.sum() - unknown.sum()), int(unknown.sum())]

    def predict(self, texts: pa.Array) -> np.ndarray:
        """Return the probabilities of each text: (n,) float32 of label 1 of two, (n, labels) float32 of more.

        They depend on the text alone, not on the others.

        Args:
            texts: n strings, no nulls.
        """
        return self.score(self.encode(texts)[0])

    def verdict(self, probabilities: np.ndarray) -> pa.Array:
        """Return the name of the label that the probabilities of each text stand for."""
        names = pa.array(self.facts.labels, pa.string())
        return names.take(pa.array(decide_labels(probabilities, self.facts.threshold)))


def assemble(name: str, packaged: Path, network: Path | None = None, registered_model: str | None = None) -> Classifier:
    """Return the classifier in a folder that `write_packaged` filled.

    Args:
        name: which model it is, for people.
        packaged: the folder.
        network: its .keras file; None takes the folder's own.
        registered_model: the model that it is a version of.

    Raises:
        ModelError: the vocabulary is not known.
    """
    vocabulary, facts = read_vocabulary(packaged), read_facts(packaged)
    if not vocabulary:
        raise ModelError(
            f"{name}: trained on a download without a word index, so raw text cannot be turned into its token ids; "
            "train again with --data.word-index"
        )
    model = load_model(network or packaged / MODEL)
    score = Scorer(model, BATCH_SIZE, bucketing=facts.bucketing)
    words = pa.array(vocabulary, pa.string())
    return Classifier(name, model, words, read_encoding(packaged), facts, score, registered_model)


def load_registered(uri: str | None, model: str | None, version: int | None, scratch: Path) -> Classifier:
    """Return a registered version of `model`, or its champion.

    Args:
        uri: of the registry.
        model: its name there; None takes the one that has a champion.
        version: None takes the champion.
        scratch: an empty folder, for what is fetched.

    Raises:
        ModelError: there is no champion, or there are several models that have one.
        RegistryError: there is no such version.
    """
    with registry(uri) as client:
        model = model_or_default(client, model)
        if version is None:
            found = version_under(client, model, CHAMPION)
            if found is None:
                raise ModelError(
                    f"{model} has no champion yet: train one with python flows/imdb_flow.py, promote a version with "
                    "python flows/promote_flow.py --version N, or name a model with --model"
                )
        else:
            found = numbered_version(client, model, version)
        return load_version(found, uri, scratch)


def load_version(version: "ModelVersion", uri: str | None, scratch: Path) -> Classifier:
    """Return the classifier of a version in the registry, once its files are those that were registered.

    Raises:
        ModelError: the vocabulary is not known.
        RegistryError: its files are gone, or are others.
    """
    folder = fetch_registered(version, uri, scratch)
    name = f"{version.name} version {version.version}"
    return assemble(name, folder, folder / NETWORK, registered_model=version.name)


def load_from_run(folder: Path, store: Path) -> Classifier:
    """Return the classifier of a run folder, from the artifacts that its metrics.json names.

    Raises:
        ModelError: it is no run folder, or its model has been pruned, or is not as it was made.
    """
    try:
        packaged = json.loads((folder / METRICS).read_bytes())["artifacts"]["package"]
        key, sha256 = packaged["key"], packaged["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}: is no run folder with metrics.json ({error!r})") from error
    try:
        found = take(Store(store), key)
    except RotError as rot:
        raise ModelError(f"{folder}: {rot}; run the same again to make its model anew") from rot
    if found is None:
        raise ModelError(f"{folder}: its model is no longer in the store; run the same again to make it")
    if found.sha256 != sha256:
        raise ModelError(f"{store / key}: is another model than that of {folder}; run the same again to serve the new")
    if folder.parent == (store / "runs").resolve():
        with naming_the_place(folder):
            os.utime(folder / METRICS)  # pruning goes by it
    return assemble(f"run {folder.name}", store / key)


def load_classifier(
    model: str | None, registered_model: str | None, uri: str | None, store: Path, scratch: Path
) -> Classifier:
    """Return the classifier that `model` names.

    Args:
        model: None for the champion, a version's number, a run folder, or a model.keras in the store.
        registered_model: the name in the registry; None takes the one that has a champion.
        uri: of the registry.
        store: the store's root.
        scratch: an empty folder, for what is fetched.

    Raises:
        ModelError: there is no such model.
        RegistryError: there is no such version.
    """
    if model is None or model.isdecimal():
        return load_registered(uri, registered_model, int(model) if model else None, scratch)
    path = typed_path(model).resolve()
    if path.suffix == ".keras":
        return load_from_run(run_that_made(path, store), store)
    return load_from_run(path, store)


def run_that_made(network: Path, store: Path) -> Path:
    """Return the newest run folder whose model is the given .keras file of the store."""
    key = f"train/{network.parent.name}"
    for metrics in sorted((store / "runs").glob("[!.]*/metrics.json"), reverse=True):
        if json.loads(metrics.read_bytes()).get("artifacts", {}).get("train", {}).get("key") == key:
            return metrics.parent
    raise ModelError(f"{network}: no run under {store / 'runs'} has made it, so its vocabulary is not known")

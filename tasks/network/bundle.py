"""The bundle: one folder with everything needed to score raw text, and the classifier that opens it.

    model.keras        the trained network
    model.onnx         the same network for ONNX Runtime, which scores a text before TensorFlow has been imported
    vocabulary.json    the words, in order of rank
    encoding.json      how words become token ids
    classifier.json    padding, threshold, labels and a profile of the training texts: `BundleFacts`

`write_bundle` fills the folder. `open_onnx` and `open_keras` turn it into a `Classifier`: texts in, probabilities out.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.core.errors import ModelError
from tasks.core.files import digest, hash_file
from tasks.evaluation.drift import Profile
from tasks.evaluation.predictions import Rule, confidence_of, decide_labels
from tasks.network.keras_files import MODEL, load_model
from tasks.network.scoring import NETWORK, Scorer, onnx_scorer
from tasks.texts.dataset_info import JsonFile
from tasks.texts.encoded import ENCODING, VOCABULARY, Encoding, read_vocabulary
from tasks.texts.padded import Padded, bucket_lengths, pad_tokens
from tasks.texts.tokenising import tokenise
from tasks.texts.vocabulary import count_words, list_offsets, ranks_to_ids, words_to_ranks

if TYPE_CHECKING:
    import keras

FACTS = "classifier.json"
MLFLOW_MODEL = f"data/{MODEL}"  # where MLflow's Keras flavour keeps the network of a registered bundle
# ONNX Runtime needs as long per text in batches of 8 as of 64, keeps less memory, and spreads few texts over threads.
ONNX_BATCH_SIZE = 8


class BundleFacts(JsonFile):
    """What scoring needs besides the network, the vocabulary and the encoding.

    Attributes:
        maxlen: words kept of a text.
        padding: "pre" or "post", the side on which a short text is filled with 0.
        truncating: "pre", "post" or "middle": where a long text is cut.
        bucketing: whether texts are padded to the next multiple of 32, or all to maxlen.
        threshold: with two labels, the probability from which a text counts as positive.
        labels: the labels' names, from label 0 on; of two the negative one is first.
        reference: the profile of the training texts, for measuring drift.
        costs: with more than two labels, of predicting each if each is true; None predicts the most probable one.
        confidence_threshold: texts whose verdict has this probability or less are unanswered; None if all are answered.
        counts_start: whether its lengths count the start mark as a word, as those of earlier versions do.
    """

    FILE = FACTS

    maxlen: int
    padding: str
    truncating: str
    bucketing: bool
    threshold: float
    labels: tuple[str, ...]
    dataset: str
    dataset_sha256: str
    reference: Profile
    costs: tuple[tuple[float, ...], ...] | None = None
    confidence_threshold: float | None = None
    counts_start: bool = True

    @property
    def rule(self) -> Rule:
        """How probabilities become labels."""
        return self.threshold if self.costs is None else np.array(self.costs)


def write_bundle(folder: Path, encoded: Path, scored: Path, facts: BundleFacts) -> None:
    """Fill `folder` from the folders of the steps that made the parts."""
    for source in (encoded / VOCABULARY, encoded / ENCODING, scored / MODEL, scored / NETWORK):
        shutil.copyfile(source, folder / source.name)
    facts.write(folder)


def read_words(name: str, folder: Path) -> pa.Array:
    """Read the vocabulary of a bundle: strings, in order of rank; raise ModelError if only their ids are known."""
    vocabulary = read_vocabulary(folder)
    if not vocabulary:
        raise ModelError(
            f"{name}: trained on a download without a word index, so raw text cannot be turned into its token ids; "
            "train again with --data.word-index"
        )
    return pa.array(vocabulary, pa.string())


@dataclass(frozen=True)
class Classifier:
    """An opened bundle.

    Attributes:
        name: which model it is, for messages.
        vocabulary: strings, the words in order of rank.
        score: the network: padded token ids to probabilities.
        registered_model: the registry's model of which it is a version; None for one from a run folder.
        sha256: of the files that scores depend on.
    """

    name: str
    vocabulary: pa.Array
    encoding: Encoding
    facts: BundleFacts
    score: Scorer
    registered_model: str | None
    sha256: str

    def encode(self, texts: pa.Array) -> tuple[Padded, np.ndarray]:
        """Turn n texts into padded token ids; also return the known and unknown words of each, (n, 2) int32."""
        ranks = words_to_ranks(tokenise(texts, self.encoding.tokenisation), self.vocabulary)
        words, unknown = count_words(ranks, self.encoding)
        return self.pad(self.to_ids(ranks)), np.stack([words - unknown, unknown], axis=1)

    def to_ids(self, ranks: pa.ListArray, **marks: int | None) -> pa.ListArray:
        """Turn word ranks into token ids; `marks` replaces some of the encoding's."""
        return ranks_to_ids(ranks, self.encoding.model_copy(update=marks))

    def pad(self, ids: pa.ListArray) -> Padded:
        """Cut and pad token ids as in training, to no more than the longest needs."""
        facts, longest = self.facts, np.diff(list_offsets(ids)).max(initial=0)
        maxlen = bucket_lengths(np.array([longest]), facts.maxlen, bucketing=facts.bucketing)[0]
        tokens, lengths = pad_tokens(ids, maxlen, padding=facts.padding, truncating=facts.truncating)
        labels = np.zeros(len(ids), np.int8)
        return Padded(tokens, lengths, labels, facts.padding)

    def predict(self, texts: pa.Array) -> np.ndarray:
        """Return the probabilities of n texts: (n,) float32 of label 1 of two, (n, labels) float32 with more labels."""
        return self.score(self.encode(texts)[0])

    def label_names(self, probabilities: np.ndarray) -> pa.Array:
        """Return the name of the predicted label of each text."""
        names = pa.array(self.facts.labels, pa.string())
        return names.take(pa.array(decide_labels(probabilities, self.facts.rule)))

    def are_answered(self, probabilities: np.ndarray) -> np.ndarray | None:
        """Return whether each text is answered, (n,) bool; None if all are."""
        least = self.facts.confidence_threshold
        return None if least is None else confidence_of(probabilities, self.facts.rule) > least


@dataclass(frozen=True)
class KerasClassifier(Classifier):
    """A classifier that also has the Keras network, for exports."""

    network: "keras.Model"

    def predict_with_keras(self, texts: pa.Array) -> np.ndarray:
        """Return the same as `predict`, by the network as it was trained."""
        outputs, bucketing = int(self.network.output_shape[-1]), self.facts.bucketing
        return Scorer(self.network.predict_on_batch, outputs, ONNX_BATCH_SIZE, bucketing)(self.encode(texts)[0])


def open_onnx(name: str, folder: Path, registered_model: str | None = None) -> Classifier:
    """Open a bundle with ONNX Runtime; raise ModelError if the vocabulary is not known."""
    words, encoding, facts = read_words(name, folder), Encoding.read(folder), BundleFacts.read(folder)
    score = onnx_scorer(folder / NETWORK, len(facts.labels), ONNX_BATCH_SIZE, bucketing=facts.bucketing)
    return Classifier(name, words, encoding, facts, score, registered_model, hash_bundle(folder))


def open_keras(name: str, folder: Path, registered_model: str | None = None) -> KerasClassifier:
    """Open a bundle, packaged or registered, with its Keras network, as `open_onnx` does."""
    network = folder / MODEL if (folder / MODEL).exists() else folder / MLFLOW_MODEL
    opened = open_onnx(name, folder, registered_model)
    return KerasClassifier(**vars(opened), network=load_model(network))


def hash_bundle(folder: Path) -> str:
    """Return the sha256 of all that scores depend on."""
    return digest([hash_file(folder / name) for name in (VOCABULARY, ENCODING, FACTS, NETWORK)])

"""The classifier: raw text in, probability out; a network with the vocabulary and rules it was trained with.

ONNX Runtime scores, files too: it has scored a text before TensorFlow would have been imported, and needs neither
MLflow nor a network of Keras's. What has no ONNX network, TensorFlow scores; and exports are made of Keras's network.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from tasks.core.errors import ModelError
from tasks.evaluation.drift import Profile
from tasks.evaluation.scores import decide_labels
from tasks.network.keras_files import MODEL, Scorer, load_model
from tasks.network.onnx_network import write_network
from tasks.network.scoring import NETWORK, OnnxScorer, Score
from tasks.texts.encoded import ENCODING, VOCABULARY, Encoding, read_encoding, read_vocabulary
from tasks.texts.padded import Padded, pad_tokens
from tasks.texts.tokenising import tokenise
from tasks.texts.vocabulary import count_words, ranks_to_ids, words_to_ranks

FACTS = "classifier.json"


class Facts(BaseModel):
    """What a classifier has beside its network, its vocabulary and the rules of its ids.

    Attributes:
        maxlen: words kept of a review.
        padding: "pre" or "post", the side on which a short review is filled up with 0.
        truncating: "pre", "post" or "middle": where a long review is cut.
        bucketing: whether reviews are padded to the next multiple of 32 only, or all to maxlen.
        threshold: of two labels, the probability from which a review counts as positive.
        labels: the name of each label, from label 0 on; of two the negative one comes first.
        dataset: the name of the reviews that it was trained on.
        dataset_sha256: their hash.
        reference: the profile of those reviews, to compare others with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    maxlen: int
    padding: str
    truncating: str
    bucketing: bool
    threshold: float
    labels: tuple[str, ...]
    dataset: str
    dataset_sha256: str
    reference: Profile


def write_packaged(folder: Path, network: Path, encoded: Path, facts: Facts) -> None:
    """Write model.keras, the same network as model.onnx, vocabulary.json, encoding.json and classifier.json.

    Args:
        folder: where to write.
        network: the folder of a trained network.
        encoded: the folder of the encoded reviews that it was trained on.
        facts: the rest.
    """
    shutil.copyfile(network / MODEL, folder / MODEL)
    for name in (VOCABULARY, ENCODING):
        shutil.copyfile(encoded / name, folder / name)
    write_facts(folder, facts)
    write_network(load_model(folder / MODEL), facts.labels, folder / NETWORK)


def write_facts(folder: Path, facts: Facts) -> None:
    """Write the facts of a classifier."""
    (folder / FACTS).write_text(facts.model_dump_json(indent=1), encoding="utf-8")


def read_facts(folder: Path) -> Facts:
    """Return what `write_facts` wrote."""
    return Facts.model_validate_json((folder / FACTS).read_bytes())


# TensorFlow, Keras and MLflow are imported inside the functions that need them: other steps never pay for them.
if TYPE_CHECKING:
    import keras

# A review takes ONNX Runtime no longer in batches of 8 than of 64; its allocator keeps less for the next, and a few
# texts that wait are already work for several processors.
BATCH_SIZE, LIGHT_BATCH_SIZE = 256, 8


@dataclass(frozen=True)
class Classifier:
    """A trained network, and all that raw text needs on the way to it.

    Attributes:
        name: which model it is, for people.
        vocabulary: strings, the words in order of rank.
        encoding: how ids were given.
        facts: the rest, as it was packaged.
        score: the network, ready to score.
        registered_model: the model in the registry that it is a version of; None where it is of a run folder.
    """

    name: str
    vocabulary: pa.Array
    encoding: Encoding
    facts: Facts
    score: Score
    registered_model: str | None = field(default=None, kw_only=True)

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
        facts = self.facts
        tokens, lengths = pad_tokens(ids, facts.maxlen, padding=facts.padding, truncating=facts.truncating)
        padded = Padded(tokens, lengths, np.zeros(len(texts), np.int8), facts.padding, limit)
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


@dataclass(frozen=True)
class KerasClassifier(Classifier):
    """A classifier whose network is Keras's, scored by TensorFlow.

    Attributes:
        score: the network, traced.
        network: (rows, length) int32 -> (rows, 1) float32, or of more than two labels (rows, labels).
    """

    score: Scorer
    network: "keras.Model"


def read_words(name: str, packaged: Path) -> pa.Array:
    """Return the vocabulary of a packaged classifier: strings, the words in order of rank.

    Raises:
        ModelError: it is not known.
    """
    vocabulary = read_vocabulary(packaged)
    if not vocabulary:
        raise ModelError(
            f"{name}: trained on a download without a word index, so raw text cannot be turned into its token ids; "
            "train again with --data.word-index"
        )
    return pa.array(vocabulary, pa.string())


def assemble(
    name: str, packaged: Path, network: Path | None = None, registered_model: str | None = None
) -> KerasClassifier:
    """Return the classifier in a folder that `write_packaged` filled.

    Args:
        name: which model it is, for people.
        packaged: the folder.
        network: its .keras file; None takes the folder's own.
        registered_model: the model that it is a version of.

    Raises:
        ModelError: the vocabulary is not known.
    """
    words, encoding, facts = read_words(name, packaged), read_encoding(packaged), read_facts(packaged)
    model = load_model(network or packaged / MODEL)
    score = Scorer(model, BATCH_SIZE, bucketing=facts.bucketing)
    return KerasClassifier(name, words, encoding, facts, score, model, registered_model=registered_model)


def assemble_light(name: str, packaged: Path, registered_model: str | None = None) -> Classifier:
    """Return the classifier in a folder that `write_packaged` filled, to be scored by ONNX Runtime.

    Args:
        name: which model it is, for people.
        packaged: the folder, model.onnx in it.
        registered_model: the model that it is a version of.

    Raises:
        ModelError: the vocabulary is not known.
    """
    words, encoding, facts = read_words(name, packaged), read_encoding(packaged), read_facts(packaged)
    score = OnnxScorer(packaged / NETWORK, len(facts.labels), LIGHT_BATCH_SIZE, bucketing=facts.bucketing)
    return Classifier(name, words, encoding, facts, score, registered_model=registered_model)

"""Verdicts: a text's label, its probability, and the words that changed it most."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tasks.evaluation.predictions import confidence_of
from tasks.network.bundle import BundleFacts, Classifier
from tasks.texts.padded import bucket_lengths
from tasks.texts.tokenising import tokenise
from tasks.texts.vocabulary import compose, list_offsets, words_to_ranks

# Token ids that one text's explanation may read: about a second on two processors with the case study's network.
MAX_STEPS = 1 << 17
TEXTS_AT_ONCE = 64
MAX_WORDS_AT_ONCE = 1 << 20


class Share(NamedTuple):
    """How much a word changes the probability of a label."""

    word: str
    share: float
    label: str


class Explanation(NamedTuple):
    """The words with the largest shares, and how many of a text's different words were tried."""

    shares: list[Share]
    explained: int
    distinct: int


def describe_verdict(classifier: Classifier, probabilities: np.ndarray) -> dict[str, Any]:
    """Return the verdict on one text from its probabilities: one number with two labels, (labels,) with more.

    Returns:
        "label", the predicted one; "probability", with two labels the positive one's, with more the predicted one's;
        "probabilities", by the label's name; "answered", if the classifier may leave a text unanswered.
    """
    each = probabilities if probabilities.ndim else np.array([1 - probabilities, probabilities])
    row = {name: column[0].as_py() for name, column in verdict_columns(classifier, probabilities[None]).items()}
    return {
        "label": row["predicted_label"],
        "probability": row["probability"],
        "probabilities": dict(zip(classifier.facts.labels, each.tolist(), strict=True)),
    } | ({"answered": row["answered"]} if "answered" in row else {})


def judge_texts(
    classifier: Classifier, texts: list[str], count: int = 0, steps: int = MAX_STEPS
) -> list[dict[str, Any]]:
    """Return `describe_verdict` of each text, and what explains it.

    "words" are the `count` words that changed its score most; "explained" says of how many words they were chosen, if
    there are explanations: {"words": tried, "of": different words that the network reads}.
    """
    scores = classifier.predict(pa.array(texts, pa.string()))
    verdicts = []
    for text, score in zip(texts, scores, strict=True):
        verdict = describe_verdict(classifier, score) | {"words": []}
        if count:
            found = explain(classifier, text, count, steps)
            verdict |= {"words": found.shares, "explained": {"words": found.explained, "of": found.distinct}}
        verdicts.append(verdict)
    return verdicts


def added_names(facts: BundleFacts) -> list[str]:
    """Return the names of the columns in `verdict_columns`."""
    each = [f"probability_{name}" for name in facts.labels] if len(facts.labels) > 2 else []
    return ["predicted_label", "probability", *each, *([] if facts.confidence_threshold is None else ["answered"])]


def verdict_columns(classifier: Classifier, probabilities: np.ndarray) -> dict[str, pa.Array]:
    """Return the columns that scoring adds to n texts, from their (n,) or (n, labels) probabilities.

    They are predicted_label and probability: with two labels the positive one's, with more the predicted one's,
    followed by probability_<label> for each label; and answered, if the classifier may leave a text unanswered.
    """
    each = [probabilities]
    if probabilities.ndim == 2:
        each = [confidence_of(probabilities, classifier.facts.rule).astype(np.float32), *probabilities.T]
    columns = [classifier.label_names(probabilities), *(pa.array(np.ascontiguousarray(number)) for number in each)]
    if (answered := classifier.are_answered(probabilities)) is not None:
        columns.append(pa.array(answered))
    return dict(zip(added_names(classifier.facts), columns, strict=True))


def explain(classifier: Classifier, text: str, count: int, steps: int = MAX_STEPS) -> Explanation:
    """Find the `count` words that change the score of a text most, by occlusion, the largest share first.

    The text is scored again without each of the words that the network reads; words cut off at maxlen cannot change
    the score. A word's share is the decrease in the probability of a label: with two labels the positive one, with
    more the label that the word changes most. `steps` limits the token ids that are read: if they are too few, only the
    first words are explained.
    """
    tokens = tokenise(pa.array([text]), classifier.encoding.tokenisation)
    ranks = words_to_ranks(tokens, classifier.vocabulary)
    words = tokens.flatten().dictionary_encode()
    word_of_place = words.indices.to_numpy()
    places = places_read(classifier, ranks)
    distinct = np.array(list(dict.fromkeys(word_of_place[places].tolist())), np.int64)
    length = bucket_lengths(np.array([len(places)]), classifier.facts.maxlen, bucketing=classifier.facts.bucketing)[0]
    explained = distinct[: max(1, steps // int(length))]
    if not len(explained):
        return Explanation([], 0, 0)
    scores = score_without(classifier, ranks, word_of_place, explained).astype(np.float64)
    scores = scores.reshape(len(scores), -1)  # with two labels, of the positive one
    names = classifier.facts.labels[-scores.shape[1] :]
    decrease = scores[0] - scores[1:]
    changed = np.abs(decrease).argmax(axis=1)
    largest = np.argsort(-np.abs(decrease).max(axis=1), kind="stable")[:count]
    shares = [
        Share(compose(words.dictionary[explained[at]].as_py()), float(decrease[at, changed[at]]), names[changed[at]])
        for at in largest
    ]
    return Explanation(shares, len(explained), len(distinct))


def places_read(classifier: Classifier, ranks: pa.ListArray) -> np.ndarray:
    """Return the places of one text's words that the network reads, in order; `ranks` is a list of one text's."""
    count = len(ranks.flatten())
    alone = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32)), ranks.flatten())
    has_id = np.diff(list_offsets(classifier.to_ids(alone, start_char=None))) > 0
    # 0 stands for the start mark, which is cut off like a word, and for padding.
    start = [] if classifier.encoding.start_char is None else [0]
    numbers = np.concatenate([np.array(start, np.int32), np.flatnonzero(has_id).astype(np.int32) + 1])
    padded = classifier.pad(pa.array([numbers], pa.list_(pa.int32()))).tokens[0]
    places: np.ndarray = padded[padded > 0] - 1
    return places


def score_without(
    classifier: Classifier, ranks: pa.ListArray, word_of_place: np.ndarray, words: np.ndarray
) -> np.ndarray:
    """Score one text, and then without each of n `words`: (1 + n,) or (1 + n, labels); a few at a time."""
    whole = ranks.flatten().to_numpy()
    at_once = int(np.clip(MAX_WORDS_AT_ONCE // max(len(whole), 1), 1, TEXTS_AT_ONCE))
    scores = [classifier.score(classifier.pad(classifier.to_ids(ranks)))]
    for first in range(0, len(words), at_once):
        is_kept = word_of_place != words[first : first + at_once, None]
        offsets = np.concatenate([[0], np.cumsum(is_kept.sum(axis=1))]).astype(np.int32)
        without = np.broadcast_to(whole, is_kept.shape)[is_kept]
        lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(without))
        scores.append(classifier.score(classifier.pad(classifier.to_ids(lists))))
    return np.concatenate(scores)


def describe_explanation(found: Explanation, labels: int) -> str:
    """Return words with their shares, with more than two labels also the label that each changes, as text."""
    shares = [f"{word} {share:+.4f}" + (f" {label}" if labels > 2 else "") for word, share, label in found.shares]
    limit = describe_limit(found.explained, found.distinct)
    return ", ".join(shares) + (f" ({limit})" if limit else "")


def describe_limit(explained: int, distinct: int) -> str:
    """Return which words an explanation covers if not all, otherwise an empty string."""
    return f"the first {explained:,} of {distinct:,} different words were explained" if explained < distinct else ""

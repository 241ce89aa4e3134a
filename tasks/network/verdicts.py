"""Verdicts: a text's label, its probability, and the words that changed it most."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tasks.network.bundle import Classifier
from tasks.texts.tokenising import tokenise
from tasks.texts.vocabulary import compose


class Share(NamedTuple):
    """How much a word changes the probability of a label."""

    word: str
    share: float
    label: str


def describe_verdict(classifier: Classifier, probabilities: np.ndarray) -> dict[str, Any]:
    """Return the verdict on one text from its probabilities: one number with two labels, (labels,) with more.

    Returns:
        "label", the predicted one; "probability", with two labels the positive one's, with more the predicted one's;
        "probabilities", by the label's name.
    """
    labels = classifier.facts.labels
    each = probabilities if probabilities.ndim else np.array([1 - probabilities, probabilities])
    return {
        "label": classifier.label_names(probabilities[None])[0].as_py(),
        "probability": float(probabilities if len(labels) == 2 else probabilities.max()),
        "probabilities": dict(zip(labels, each.tolist(), strict=True)),
    }


def judge_texts(classifier: Classifier, texts: list[str], count: int = 0) -> list[dict[str, Any]]:
    """Return `describe_verdict` of each text, and "words": the `count` that changed its score most."""
    scores = classifier.predict(pa.array(texts, pa.string()))
    return [
        describe_verdict(classifier, score) | {"words": explain(classifier, text, count) if count else []}
        for text, score in zip(texts, scores, strict=True)
    ]


def added_names(labels: Sequence[str]) -> list[str]:
    """Return the names of the columns in `verdict_columns`."""
    each = [f"probability_{name}" for name in labels] if len(labels) > 2 else []
    return ["predicted_label", "probability", *each]


def verdict_columns(classifier: Classifier, probabilities: np.ndarray) -> dict[str, pa.Array]:
    """Return the columns that scoring adds to n texts, from their (n,) or (n, labels) probabilities.

    They are predicted_label and probability: with two labels the positive one's, with more the predicted one's,
    followed by probability_<label> for each label.
    """
    each = [probabilities] if probabilities.ndim == 1 else [probabilities.max(axis=1), *probabilities.T]
    numbers = [pa.array(np.ascontiguousarray(probabilities)) for probabilities in each]
    return dict(
        zip(added_names(classifier.facts.labels), [classifier.label_names(probabilities), *numbers], strict=True)
    )


def explain(classifier: Classifier, text: str, count: int) -> list[Share]:
    """Return the `count` words that change the score of a text most, by occlusion; the largest share first.

    The text is scored again without each of its words. A word's share is the decrease in the probability of a label:
    with two labels the positive one, with more the label that the word changes most.
    """
    words = tokenise(pa.array([text]), classifier.encoding.tokenisation)[0].as_py()
    distinct = list(dict.fromkeys(words))
    without = [" ".join(other for other in words if other != word) for word in distinct]
    scores = classifier.predict(pa.array([" ".join(words), *without])).astype(np.float64)
    names = classifier.facts.labels[1:] if scores.ndim == 1 else classifier.facts.labels
    by_label = scores[:, None] if scores.ndim == 1 else scores
    decrease = by_label[0] - by_label[1:]
    changed = np.abs(decrease).argmax(axis=1)
    shares = [
        Share(compose(word), float(decreases[label]), names[label])
        for word, decreases, label in zip(distinct, decrease, changed, strict=True)
    ]
    return sorted(shares, key=lambda share: -abs(share.share))[:count]


def describe_share(share: Share, labels: int) -> str:
    """Return a word's share as text; with more than two labels, also the label that it changes."""
    return f"{share.word} {share.share:+.4f}" + (f" {share.label}" if labels > 2 else "")

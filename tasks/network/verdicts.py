"""Verdicts: what a text's scores say to a person: its label, how probable it is, and the words that moved it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tasks.network.bundle import Classifier
from tasks.texts.tokenising import tokenise
from tasks.texts.vocabulary import compose


class Share(NamedTuple):
    """How far a word moves the probability of a label."""

    word: str
    share: float
    label: str


def describe_verdict(classifier: Classifier, probabilities: np.ndarray) -> dict[str, Any]:
    """Return the verdict on one text.

    Args:
        classifier: that scored it.
        probabilities: one number of two labels, (labels,) of more.

    Returns:
        "label", the predicted one; "probability", of two labels the positive one's, of more the predicted one's;
        "probabilities", of every label by its name.
    """
    labels = classifier.facts.labels
    each = probabilities if probabilities.ndim else np.array([1 - probabilities, probabilities])
    return {
        "label": classifier.label_names(probabilities[None])[0].as_py(),
        "probability": float(probabilities if len(labels) == 2 else probabilities.max()),
        "probabilities": dict(zip(labels, each.tolist(), strict=True)),
    }


def judge_texts(classifier: Classifier, texts: list[str], count: int = 0) -> list[dict[str, Any]]:
    """Return for each text what `describe_verdict` returns, and "words", the `count` that moved it most."""
    scores = classifier.predict(pa.array(texts, pa.string()))
    return [
        describe_verdict(classifier, score) | {"words": explain(classifier, text, count) if count else []}
        for text, score in zip(texts, scores, strict=True)
    ]


def added_names(labels: Sequence[str]) -> list[str]:
    """Return the names of the columns that `verdict_columns` returns."""
    each = [f"probability_{name}" for name in labels] if len(labels) > 2 else []
    return ["predicted_label", "probability", *each]


def verdict_columns(classifier: Classifier, probabilities: np.ndarray) -> dict[str, pa.Array]:
    """Return the columns that scoring adds to n texts.

    They are predicted_label and probability: of two labels the positive one's, of more the predicted one's, and then
    also probability_<label> for each.

    Args:
        classifier: that scored them.
        probabilities: (n,) or (n, labels).
    """
    each = [probabilities] if probabilities.ndim == 1 else [probabilities.max(axis=1), *probabilities.T]
    numbers = [pa.array(np.ascontiguousarray(probabilities)) for probabilities in each]
    return dict(
        zip(added_names(classifier.facts.labels), [classifier.label_names(probabilities), *numbers], strict=True)
    )


def explain(classifier: Classifier, text: str, count: int) -> list[Share]:
    """Return the words that move the score of a text most, by occlusion.

    Each different word is taken out of the text wherever it stands, and the text scored again: a word's share is how
    far the probability of a label falls without it. Of two labels that label is the positive one, of more the one that
    the word moves most.

    Args:
        classifier: scores the text.
        text: one review.
        count: how many words to return at most.

    Returns:
        The largest share first, whatever its sign.
    """
    words = tokenise(pa.array([text]), classifier.encoding.tokenisation)[0].as_py()
    different = list(dict.fromkeys(words))
    without = [" ".join(other for other in words if other != word) for word in different]
    scores = classifier.predict(pa.array([" ".join(words), *without])).astype(np.float64)
    names = classifier.facts.labels[1:] if scores.ndim == 1 else classifier.facts.labels
    by_label = scores[:, None] if scores.ndim == 1 else scores
    fallen = by_label[0] - by_label[1:]
    moved = np.abs(fallen).argmax(axis=1)
    shares = [
        Share(compose(word), float(falls[label]), names[label])
        for word, falls, label in zip(different, fallen, moved, strict=True)
    ]
    return sorted(shares, key=lambda share: -abs(share.share))[:count]


def describe_share(share: Share, labels: int) -> str:
    """Return a word's share in words; of more than two labels, with the label that it moved."""
    return f"{share.word} {share.share:+.4f}" + (f" {share.label}" if labels > 2 else "")

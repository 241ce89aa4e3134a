"""TF-IDF: a logistic regression on weighted counts of words and word pairs."""

from typing import TYPE_CHECKING

import numpy as np

# scikit-learn is imported inside the functions that need it: a cached run never pays for it.
if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def fit_tfidf(train: "csr_matrix", labels: np.ndarray, test: "csr_matrix", inverse_penalty: float) -> np.ndarray:
    """Fit on training counts, (texts, phrases), and return probabilities of the test texts: (tests, labels) float64."""
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    weighting = TfidfTransformer(sublinear_tf=True)
    model = LogisticRegression(C=inverse_penalty, max_iter=1000)
    model.fit(weighting.fit_transform(train), labels)
    probabilities: np.ndarray = model.predict_proba(weighting.transform(test))
    return probabilities

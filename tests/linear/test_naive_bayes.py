import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from tasks.linear.naive_bayes import fit_phrases, log_ratios, signs_of
from tasks.linear.out_of_fold import logits_of


@pytest.fixture
def counts(rng) -> csr_matrix:
    return csr_matrix(rng.poisson(0.2, (300, 40)).astype(np.float32))


def test_log_ratios_follow_the_formula_and_are_0_for_rare_phrases():
    p, q, sizes = np.array([3.0, 0, 5, 1]), np.array([1.0, 1, 5, 0]), np.array([1, 1, 2, 2])
    expected = np.log((p + 1) / (q + 1)) - np.log([3 / 2, 3 / 2, 6 / 5, 6 / 5])
    np.testing.assert_allclose(log_ratios(p, q, sizes, 2, 0.5), [expected[0], 0, expected[2], 0], rtol=1e-6)
    np.testing.assert_allclose(log_ratios(p, q, sizes, 1, 0.5), expected, rtol=1e-6)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.25, 0.75])
def test_a_phrase_as_frequent_with_both_labels_has_a_log_ratio_of_0(share):
    """Also a rare one: 2 are added to its counts, in proportion to the texts of the labels."""
    p, q = np.array([0.0, 1000 * share]), np.array([0.0, 1000 * (1 - share)])
    np.testing.assert_allclose(log_ratios(p, q, np.array([1, 1]), 0, share), 0, atol=0.25)
    opposite = log_ratios(q, p, np.array([1, 1]), 0, 1 - share)
    np.testing.assert_allclose(opposite, -log_ratios(p, q, np.array([1, 1]), 0, share), atol=1e-6)


def test_almost_balanced_labels_count_like_balanced_ones():
    p, q, sizes = np.array([3.0, 0, 5]), np.array([1.0, 1, 5]), np.array([1, 1, 1])
    assert (log_ratios(p, q, sizes, 1, 0.49) == log_ratios(p, q, sizes, 1, 0.5)).all()
    assert (log_ratios(p, q, sizes, 1, 0.4) != log_ratios(p, q, sizes, 1, 0.5)).any()


def test_log_ratios_are_finite_if_a_label_has_no_phrase_of_a_length():
    assert np.isfinite(log_ratios(np.array([2.0]), np.array([0.0]), np.array([3]), 1, 1.0)).all()


@pytest.mark.parametrize("left_out", [0, 50])
def test_weights_equal_those_of_scikit_learns_logistic_regression(counts, rng, left_out):
    labels, presence = rng.integers(0, 2, 300), counts.sign()
    signs = signs_of(labels)
    signs[:left_out] = 0
    sizes = np.ones(40, np.int8)
    rules = {"min_documents": 1, "by_share": True, "inverse_penalty": 0.2, "iterations": 100}
    model = fit_phrases(presence, presence.T.tocsr(), signs, sizes, **rules)
    theirs = LogisticRegression(C=0.2, max_iter=10_000, tol=1e-8)
    theirs.fit(presence[left_out:].multiply(model.ratios), labels[left_out:])
    np.testing.assert_allclose(model.weights, model.ratios * theirs.coef_[0], atol=2e-3)
    assert model.intercept == pytest.approx(theirs.intercept_[0], abs=2e-3)
    expected = theirs.decision_function(presence.multiply(model.ratios))
    np.testing.assert_allclose(logits_of([model], presence)[:, 0], expected, atol=5e-3)


def test_signs_are_1_for_the_label_and_minus_1_for_all_others():
    assert signs_of(np.array([0, 1, 2]), 2).tolist() == [-1, -1, 1]

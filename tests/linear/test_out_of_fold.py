import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tasks.linear.naive_bayes import fit_phrases, signs_of
from tasks.linear.out_of_fold import deviations_of, labels_to_fit, learn_folds, logits_of, numbers_of, scale_numbers

RULES = {"min_documents": 1, "by_share": True, "inverse_penalty": 0.2, "iterations": 20}


@pytest.fixture
def learned(rng):
    counts = csr_matrix(rng.poisson(0.3, (120, 15)).astype(np.float32))
    labels, folds = rng.integers(0, 2, 120), np.arange(120) % 3
    sizes = np.repeat([1, 2, 3], 5).astype(np.int8)
    return counts, labels, folds, sizes, learn_folds(counts, labels, sizes, folds, **RULES)


def test_held_out_models_learn_only_from_the_other_folds(learned):
    counts, labels, folds, sizes, models = learned
    others = np.flatnonzero(folds != 1)
    presence = counts[others].sign()
    alone = fit_phrases(presence, presence.T.tocsr(), signs_of(labels[others]), sizes, **RULES)
    np.testing.assert_allclose(numbers_of(models.held_out[1]), numbers_of([alone]), atol=1e-4)
    its = counts[np.flatnonzero(folds == 1)].sign()
    np.testing.assert_allclose(models.logits[folds == 1], logits_of([alone], its), atol=1e-4)
    contrary = np.where(folds == 1, 1 - labels, labels)
    again = learn_folds(counts, contrary, sizes, folds, **RULES)
    assert (numbers_of(again.held_out[1]) == numbers_of(models.held_out[1])).all()
    assert (numbers_of(again.whole) != numbers_of(models.whole)).any()


def test_logits_can_be_had_without_the_models_of_the_folds(learned):
    counts, labels, folds, sizes, models = learned
    again = learn_folds(counts, labels, sizes, folds, keep=False, **RULES)
    assert (again.logits == models.logits).all()
    assert (numbers_of(again.whole) == numbers_of(models.whole)).all()
    assert again.held_out == []


def test_deviations_equal_those_computed_token_by_token(learned):
    counts, _labels, folds, sizes, models = learned
    tokens, numbers = 500, [[[] for _ in range(2)] for _ in range(3)]
    for row in range(120):
        held_out = numbers_of(models.held_out[folds[row]])
        for phrase, times in enumerate(counts[[row]].toarray()[0].astype(int)):
            for column in range(2):
                numbers[sizes[phrase] - 1][column] += [float(held_out[phrase, column])] * times
    expected = [[np.std(its + [0.0] * (tokens - len(its))) for its in of_size] for of_size in numbers]
    deviations = deviations_of(models, counts, sizes, folds, tokens)
    np.testing.assert_allclose(deviations, expected, rtol=1e-4)
    scaled = scale_numbers(models.whole, sizes, deviations)
    np.testing.assert_allclose(scaled[7], np.clip(numbers_of(models.whole)[7] / deviations[1], -5, 5), rtol=1e-5)
    assert np.abs(scaled).max() <= 5


def test_numbers_that_are_all_equal_have_a_deviation_of_1(learned):
    counts, labels, folds, _sizes, _models = learned
    sizes = np.full(15, 3, np.int8)
    models = learn_folds(counts, labels, sizes, folds, **RULES)
    assert (deviations_of(models, counts, sizes, folds, 500)[:2] == 1).all()


def test_two_labels_need_one_model_and_three_labels_need_three(learned):
    counts, labels, folds, sizes, _models = learned
    assert labels_to_fit(labels) == [1]
    three = np.arange(120) % 4 % 3
    models = learn_folds(counts, three, sizes, folds, **RULES)
    assert models.logits.shape == (120, 3)
    assert numbers_of(models.whole).shape == (15, 6)
    presence = counts.sign()
    alone = fit_phrases(presence, presence.T.tocsr(), signs_of(three, 2), sizes, **RULES)
    assert (numbers_of(models.whole)[:, [2, 5]] == numbers_of([alone])).all()

import numpy as np
import pytest

from tasks.core.errors import InputError
from tasks.texts.sources.splits import TEST, TRAIN, VALIDATION, assign_splits, check_shares, hash_texts


def test_hashes_depend_on_text_and_seed_but_not_on_case_or_outer_spaces():
    good, shouted, bad = hash_texts(["Good film", "  GOOD FILM ", "bad film"], seed=1).tolist()
    assert good == shouted != bad
    assert hash_texts(["Good film"], seed=2).tolist() != [good]
    assert hash_texts([], seed=1).shape == (0,)


def test_hashes_and_splits_are_stable_across_releases():
    # Fixed values: if the rule changed, test rows of earlier runs would become training rows.
    hashes = hash_texts([f"film {number}" for number in range(12)], seed=113)
    assert hashes[0] == 15414070698022344058
    assert assign_splits(hashes, 0.2, 0.16).tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 2, 1, 2, 0]


def test_splits_have_about_the_requested_shares():
    split = assign_splits(hash_texts([f"film {number}" for number in range(20_000)], seed=3), 0.25, 0.15)
    shares = [np.mean(split == its) for its in (TEST, VALIDATION, TRAIN)]
    assert shares == pytest.approx([0.25, 0.15, 0.6], abs=0.015)


def test_test_rows_stay_test_rows_if_more_are_held_out():
    hashes = hash_texts([f"film {number}" for number in range(1000)], seed=3)
    few, many = assign_splits(hashes, 0.1, 0.1), assign_splits(hashes, 0.3, 0.1)
    assert (many[few == TEST] == TEST).all()


def test_a_split_far_from_its_share_is_refused():
    check_shares(np.array([TRAIN] * 6 + [VALIDATION] * 2 + [TEST] * 2), 0.2, 0.2, "a.csv")
    with pytest.raises(InputError, match=r"a\.csv: 0 of 10 rows were assigned to validation, expected about 2"):
        check_shares(np.array([TRAIN] * 8 + [TEST] * 2), 0.2, 0.2, "a.csv")

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.telemetry.confusion import class_rows, confused_pairs, wilson_interval


def test_precision_recall_and_f1_of_a_small_matrix():
    cats, dogs, none = class_rows(np.array([[8, 2, 0], [4, 6, 0], [0, 0, 0]]), ["cats", "dogs", "none"])
    assert (cats.examples, cats.precision, cats.recall) == (10, 8 / 12, 0.8)
    assert dogs.f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert (none.precision, none.recall, none.f1) == (None, None, None)


def test_pairs_are_ordered_by_count():
    pairs = confused_pairs(np.array([[8, 2], [4, 6]]), ["cats", "dogs"])
    assert [(pair.true, pair.predicted, pair.count, pair.share) for pair in pairs] == [
        ("dogs", "cats", 4, 0.4),
        ("cats", "dogs", 2, 0.2),
    ]


def test_the_interval_is_wilsons():
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


@given(st.floats(0, 1), st.integers(1, 10**7))
def test_the_interval_holds_the_share_and_stays_within_bounds(share, examples):
    low, high = wilson_interval(share, examples)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.telemetry.confusion import wilson_interval


def test_the_interval_is_wilsons():
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


@given(st.floats(0, 1), st.integers(1, 10**7))
def test_the_interval_holds_the_share_and_stays_within_bounds(share, examples):
    low, high = wilson_interval(share, examples)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1

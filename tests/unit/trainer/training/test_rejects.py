"""Too many unusable pictures end the run at a step that all ranks agree on, and no accident of the order does."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import RunConfig
from trainer.data.cache import PixelCache
from trainer.data.examples import Rejected
from trainer.data.order import epoch_order
from trainer.exits import Exit, ExitError
from trainer.training.phases import length_of
from trainer.training.rejects import FIRST_ROWS, require_few, require_few_of, too_many

CONFIG = RunConfig(batch_size=32, epochs=3)
PICTURES = 200
SPLIT = PixelCache(
    np.zeros((PICTURES, 1, 1, 3), np.uint8),
    np.zeros(PICTURES, np.int32),
    np.ones(PICTURES, np.bool_),
    (Rejected("train/cat/7.jpg", "damaged"),),
    on_disk=False,
)


def test_more_than_the_whole_split_may_have_is_too_many_at_once() -> None:
    assert too_many(rejected=1, rows=32, pictures=50, share=0.01)
    assert not too_many(rejected=1, rows=32, pictures=100, share=0.01)


def test_far_more_than_allowed_of_the_first_thousand_is_too_many() -> None:
    assert too_many(rejected=50, rows=FIRST_ROWS, pictures=10**6, share=0.01)
    assert not too_many(rejected=50, rows=FIRST_ROWS - 1, pictures=10**6, share=0.01)
    assert not too_many(rejected=12, rows=FIRST_ROWS, pictures=10**6, share=0.01)


@given(st.integers(0, 2**31 - 1), st.integers(500, 20_000), st.floats(0, 0.2))
def test_a_split_with_as_many_as_are_allowed_is_never_refused(seed: int, pictures: int, share: float) -> None:
    broken = int(share * pictures)
    seen = np.cumsum(epoch_order(seed, 0, pictures) < broken)
    for rows in range(32, pictures + 1, 32):
        assert not too_many(int(seen[rows - 1]), rows, pictures, share)


def test_the_epoch_so_far_is_judged_by_its_summed_weight() -> None:
    phase = length_of(CONFIG, 100).phases[0]  # 4 steps an epoch, the last of 4 pictures
    for step, rows in ((1, 32), (4, 100), (5, 32), (8, 100)):
        require_few(phase, SPLIT, 32, step, float(rows - 1), 0.01)
        with pytest.raises(ExitError, match=f"2 of the {rows} pictures of train .* more than 1.0% of 100") as caught:
            require_few(phase, SPLIT, 32, step, float(rows - 2), 0.01)
        assert caught.value.code == Exit.BAD_DATA
        assert "the first known here is train/cat/7.jpg: damaged (" in caught.value.message


def test_a_split_that_was_evaluated_as_a_whole_is_judged_by_its_summed_weight() -> None:
    require_few_of("valid", SPLIT, 198.0, 0.01)
    with pytest.raises(ExitError, match=r"3 of the 200 pictures of valid cannot be used, more than 1\.0%") as caught:
        require_few_of("valid", SPLIT, 197.0, 0.01)
    assert caught.value.code == Exit.BAD_DATA


def test_with_none_allowed_the_first_is_too_many() -> None:
    phase = length_of(dataclasses.replace(CONFIG, epochs=1), 10**6).phases[0]
    require_few(phase, SPLIT, 32, 1, 32.0, 0.0)
    with pytest.raises(ExitError):
        require_few(phase, SPLIT, 32, 1, 31.0, 0.0)

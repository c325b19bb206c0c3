import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import RunConfig
from trainer.training.schedule import learning_rate


def test_constant_is_constant() -> None:
    config = RunConfig(learning_rate=0.01)
    assert {learning_rate(config, step, 100) for step in range(200)} == {0.01}


def test_warm_up_rises_in_equal_steps_to_the_full_rate() -> None:
    config = RunConfig(learning_rate=0.4, warmup_steps=4)
    assert [learning_rate(config, step, 100) for step in range(6)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])


def test_a_cosine_falls_from_the_full_rate_to_nothing() -> None:
    config = RunConfig(learning_rate=0.2, schedule="cosine", warmup_steps=10)
    assert learning_rate(config, 9, 110) == pytest.approx(0.2)
    assert learning_rate(config, 10, 110) == pytest.approx(0.2)
    assert learning_rate(config, 35, 110) == pytest.approx(0.1 * (1 + math.cos(math.pi / 4)))
    assert learning_rate(config, 60, 110) == pytest.approx(0.1)
    assert learning_rate(config, 110, 110) == pytest.approx(0.0, abs=1e-12)
    assert learning_rate(config, 500, 110) == pytest.approx(0.0, abs=1e-12)


@given(st.integers(0, 200), st.integers(0, 100), st.integers(1, 200), st.sampled_from(["constant", "cosine"]))
def test_a_rate_is_never_negative_nor_above_the_full_one(step: int, warmup: int, total: int, schedule: str) -> None:
    config = RunConfig(learning_rate=0.3, schedule=schedule, warmup_steps=warmup)
    assert 0 <= learning_rate(config, step, total) <= 0.3
    if step < total:
        assert learning_rate(config, step, total) > 0


@given(st.integers(0, 99), st.integers(0, 100))
def test_after_warm_up_a_cosine_never_rises(step: int, warmup: int) -> None:
    config = RunConfig(schedule="cosine", warmup_steps=warmup)
    if step >= warmup:
        assert learning_rate(config, step + 1, 100) <= learning_rate(config, step, 100)

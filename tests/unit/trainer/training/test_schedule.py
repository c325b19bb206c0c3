import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.training.phases import Phase
from trainer.training.schedule import learning_rate


def phase(rate: float, total: int, warmup: int = 0, first: int = 0) -> Phase:
    return Phase("train", False, 32 * total, total, 0, first, first + total, rate, warmup)


def test_constant_is_constant() -> None:
    assert {learning_rate(phase(0.01, 100), "constant", step) for step in range(200)} == {0.01}


def test_warm_up_rises_in_equal_steps_to_the_full_rate() -> None:
    rates = [learning_rate(phase(0.4, 100, 4), "constant", step) for step in range(6)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])


def test_a_cosine_falls_from_the_full_rate_to_nothing() -> None:
    falling = phase(0.2, 110, 10)
    assert learning_rate(falling, "cosine", 9) == pytest.approx(0.2)
    assert learning_rate(falling, "cosine", 10) == pytest.approx(0.2)
    assert learning_rate(falling, "cosine", 35) == pytest.approx(0.1 * (1 + math.cos(math.pi / 4)))
    assert learning_rate(falling, "cosine", 60) == pytest.approx(0.1)
    assert learning_rate(falling, "cosine", 110) == pytest.approx(0.0, abs=1e-12)
    assert learning_rate(falling, "cosine", 500) == pytest.approx(0.0, abs=1e-12)


@given(st.integers(0, 200), st.integers(0, 100), st.integers(1, 200), st.sampled_from(["constant", "cosine"]))
def test_a_rate_is_never_negative_nor_above_the_full_one(step: int, warmup: int, total: int, schedule: str) -> None:
    rate = learning_rate(phase(0.3, total, warmup), schedule, step)
    assert 0 <= rate <= 0.3
    if step < total:
        assert rate > 0


@given(st.integers(0, 99), st.integers(0, 100))
def test_after_warm_up_a_cosine_never_rises(step: int, warmup: int) -> None:
    falling = phase(1e-3, 100, warmup)
    if step >= warmup:
        assert learning_rate(falling, "cosine", step + 1) <= learning_rate(falling, "cosine", step)


@given(st.integers(0, 100), st.integers(0, 1000), st.sampled_from(["constant", "cosine"]))
def test_a_later_phase_begins_its_schedule_anew(step: int, first: int, schedule: str) -> None:
    alone, later = phase(0.3, 100, 7), phase(0.3, 100, 7, first)
    assert learning_rate(later, schedule, first + step) == learning_rate(alone, schedule, step)

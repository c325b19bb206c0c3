import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.training.calibration import (
    HIGHEST,
    LOWEST,
    THRESHOLDS,
    Labels,
    Numbers,
    answered,
    cross_entropy,
    expected_calibration_error,
    fit_temperature,
    per_class,
    quality,
)


def softmax(logits: Numbers) -> Numbers:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def calibrated(seed: int, classes: int, count: int = 20_000) -> tuple[Numbers, Labels]:
    """Logits, and labels drawn with exactly the probabilities that the logits give."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2, size=(count, classes))
    below = softmax(logits).cumsum(axis=1) < random.uniform(size=(count, 1))
    return logits, np.minimum(below.sum(axis=1), classes - 1).astype(np.int32)


@pytest.mark.parametrize("classes", [2, 3, 20])
@pytest.mark.parametrize("factor", [0.2, 1.0, 1.7, 8.0])
def test_the_factor_by_which_logits_are_too_large_is_found(classes: int, factor: float) -> None:
    logits, labels = calibrated(1, classes)
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.05)


def test_it_is_the_minimum_of_a_grid() -> None:
    logits, labels = calibrated(2, 4, 500)
    grid = np.geomspace(LOWEST, HIGHEST, 2001)
    best = grid[np.argmin([cross_entropy(5 * logits, labels, one) for one in grid])]
    assert fit_temperature(5 * logits, labels) == pytest.approx(best, rel=0.005)


logits_and_labels = st.tuples(st.integers(2, 6), st.integers(1, 40)).flatmap(
    lambda shape: st.tuples(
        st.lists(
            st.lists(st.floats(-200, 200), min_size=shape[0], max_size=shape[0]), min_size=shape[1], max_size=shape[1]
        ),
        st.lists(st.integers(0, shape[0] - 1), min_size=shape[1], max_size=shape[1]),
    )
)


@given(logits_and_labels)
def test_the_loss_is_never_higher_than_without_and_answers_stay(made: tuple[list[list[float]], list[int]]) -> None:
    logits, labels = np.array(made[0], np.float64), np.array(made[1], np.int32)
    temperature = fit_temperature(logits, labels)
    assert LOWEST <= temperature <= HIGHEST
    assert cross_entropy(logits, labels, temperature) <= cross_entropy(logits, labels)
    divided = logits / temperature
    assert (np.take_along_axis(divided, logits.argmax(axis=1)[:, None], 1)[:, 0] == divided.max(axis=1)).all()


SURE = np.array([[60.0, 0.0], [0.0, 90.0], [0.0, 70.0], [80.0, 0.0]])


@pytest.mark.parametrize(
    ("logits", "labels", "temperature"),
    [
        (SURE, [0, 1, 1, 0], 1.0),  # all right: nothing is learned of mistakes
        (SURE, [1, 0, 0, 1], HIGHEST),  # all wrong: the less sure, the better
        (SURE[:0], [], 1.0),  # no picture could be used
        (np.array([[1.0, 0.999]] + [[0.1, 0.0]] * 99), [1] + [0] * 99, LOWEST),  # one mistake, and hardly one
        (np.zeros((3, 4)), [1, 2, 3], 1.0),  # nothing to scale
    ],
)
def test_a_best_temperature_of_zero_or_infinity_stays_within_bounds(
    logits: Numbers, labels: list[int], temperature: float
) -> None:
    assert fit_temperature(logits, np.array(labels, np.int32)) == pytest.approx(temperature)


def test_one_logit_is_that_of_the_second_class() -> None:
    made = per_class(np.array([[2.5], [-1.0]], np.float32))
    assert made.tolist() == [[0, 2.5], [0, -1.0]]
    three = np.array([[1, 2, 3]], np.float32)
    assert per_class(three).tolist() == three.tolist()


def test_cross_entropy_is_exact_where_probabilities_are_not() -> None:
    assert cross_entropy(np.array([[200.0, 0.0]]), np.array([1], np.int32)) == pytest.approx(200)


@pytest.mark.parametrize("classes", [2, 10])
def test_calibrated_answers_have_hardly_an_error_and_surer_ones_have(classes: int) -> None:
    logits, labels = calibrated(3, classes)
    measured = quality(3 * logits, labels, 3.0)
    assert measured is not None
    assert measured.ece_after < 0.015 < 0.1 < measured.ece_before
    assert measured.loss_after < measured.loss_before
    assert quality(logits[:0], labels[:0], 1.0) is None


def test_the_calibration_error_is_that_of_the_paper() -> None:
    top, right = np.array([0.61, 0.65, 0.66, 1.0]), np.array([True, False, True, True])
    # bins ]0.6, 0.667] with three pictures, ]0.933, 1] with one
    assert expected_calibration_error(top, right) == pytest.approx(3 / 4 * abs(2 / 3 - (0.61 + 0.65 + 0.66) / 3))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_the_calibration_error_is_a_share(made: list[tuple[float, bool]]) -> None:
    top, right = (np.array(column) for column in zip(*made, strict=True))
    error = expected_calibration_error(top, right)
    assert abs(top.mean() - right.mean()) - 1e-9 <= error <= 1


def test_fewer_pictures_are_answered_the_surer_it_has_to_be() -> None:
    top, right = np.array([0.5, 0.62, 0.9, 0.94]), np.array([False, True, True, True])
    rows = answered(top, right)
    assert [row.threshold for row in rows] == list(THRESHOLDS)
    assert [row.answered for row in rows] == [4, 3, 2, 2, 2, 0, 0]
    assert [row.share for row in rows] == [1, 0.75, 0.5, 0.5, 0.5, 0, 0]
    assert [row.accuracy for row in rows] == [0.75, 1, 1, 1, 1, None, None]
    assert answered(top[:0], right[:0]) == ()
    assert all(math.isfinite(row.share) for row in rows)

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.telemetry.curves import PATIENCE, PATIENCE_IF_RISING, EpochRow, best_epoch, overfitting_start, rows


def history(train_loss, valid_loss, valid_accuracy=None, first=1):
    valid_accuracy = valid_accuracy or [0.5] * len(train_loss)
    return [
        {
            "epoch": first + at,
            "step": 63 * (at + 1),
            "train": {"loss": float(t), "accuracy": 0.6},
            "valid": {"loss": float(v), "accuracy": float(a)},
            "learning_rate": 0.001,
            "examples_per_second": 60.0,
            "seconds": 33.0,
        }
        for at, (t, v, a) in enumerate(zip(train_loss, valid_loss, valid_accuracy, strict=True))
    ]


def falling(epochs, end=0.05, pace=20.0):
    return [end + 0.65 * math.exp(-at / pace) for at in range(epochs)]


def turning(epochs, at):
    return [0.4 + 0.01 * abs(epoch - at) for epoch in range(1, epochs + 1)]


def test_empty_history_has_neither_best_epoch_nor_overfitting():
    assert rows([]) == ()
    assert best_epoch([]) is None
    assert overfitting_start([]) is None


def test_one_epoch_is_the_best_and_does_not_overfit():
    assert best_epoch(history([0.7], [0.7])) == 1
    assert overfitting_start(history([0.7], [0.7])) is None


def test_best_epoch_has_the_highest_validation_accuracy():
    assert best_epoch(history([1, 1, 1], [1, 1, 1], [0.7, 0.9, 0.8])) == 2


def test_ties_go_to_the_lower_validation_loss_then_to_the_earlier_epoch():
    assert best_epoch(history([1, 1, 1], [0.5, 0.3, 0.4], [0.9, 0.9, 0.9])) == 2
    assert best_epoch(history([1, 1, 1], [0.5, 0.3, 0.3], [0.9, 0.9, 0.9])) == 2


def test_an_unknown_loss_loses_a_tie():
    assert best_epoch(history([1, 1], [math.nan, 0.9], [0.9, 0.9])) == 2


def test_epochs_without_validation_accuracy_are_never_the_best():
    assert best_epoch(history([1, 1], [1, 1], [math.nan, 0.1])) == 2
    assert best_epoch([{"epoch": 1, "step": 5, "train": {"loss": 1.0, "accuracy": 0.5}}]) is None


def test_epochs_keep_their_own_numbers():
    assert best_epoch(history([1, 1], [1, 1], [0.1, 0.2], first=0)) == 1
    assert overfitting_start(history(falling(60), turning(60, at=20), first=101)) in range(119, 123)


def test_a_clean_turn_is_found_where_it_is():
    assert overfitting_start(history(falling(60), turning(60, at=20))) in range(19, 23)


def test_validation_loss_that_stays_level_counts_once_patience_is_over():
    level = [0.8 - 0.03 * min(at, 10) for at in range(11 + PATIENCE)]
    assert overfitting_start(history(falling(len(level)), level)) == 12
    assert overfitting_start(history(falling(len(level) - 2), level[:-2])) is None


def test_a_steep_climb_needs_fewer_epochs():
    climbing = [0.8, 0.7, 0.6, 0.5, 0.4, *(0.5 + 0.1 * at for at in range(PATIENCE_IF_RISING + 2))]
    assert PATIENCE_IF_RISING + 2 < PATIENCE
    assert overfitting_start(history(falling(len(climbing)), climbing)) in range(5, 8)


@pytest.mark.parametrize("epochs", [2, 6, 7, 30, 200])
def test_losses_that_both_fall_are_no_overfitting(epochs):
    steady = [1.0 - 0.9 * at / epochs for at in range(epochs)]
    assert overfitting_start(history(steady, steady)) is None


def test_training_loss_that_rises_too_is_divergence_not_overfitting():
    assert overfitting_start(history(turning(60, at=20), turning(60, at=20))) is None


def test_both_losses_level_is_convergence_not_overfitting():
    assert overfitting_start(history([0.3] * 60, [0.4] * 60)) is None


@pytest.mark.parametrize("seed", range(20))
def test_noise_moves_the_turn_only_a_little(seed):
    noise = np.random.default_rng(seed).normal(0, 0.02, 80)
    assert overfitting_start(history(falling(80, pace=25), np.array(turning(80, at=30)) + noise)) in range(22, 37)


def test_noise_alone_rarely_looks_like_overfitting():
    found = 0
    for seed in range(100):
        noise = np.random.default_rng(seed).normal(0, 0.02, 40)
        found += overfitting_start(history(falling(40), np.linspace(0.8, 0.4, 40) + noise)) is not None
    assert found <= 2


def test_a_single_spike_is_no_turn():
    valid = falling(40, end=0.0)
    valid[12] = 5.0
    assert overfitting_start(history(falling(40, end=0.0), valid)) is None


def test_epochs_that_are_not_finite_take_no_part():
    clean = history(falling(60), turning(60, at=20))
    broken = history(falling(61), [*turning(60, at=20), math.nan])
    assert overfitting_start(broken) == overfitting_start(clean)


losses = st.floats(min_value=0, max_value=1e6) | st.just(math.nan) | st.just(math.inf)


@given(st.lists(st.tuples(losses, losses, st.floats(0, 1)), max_size=60))
def test_answers_are_epochs_of_the_history_for_any_numbers(values):
    made = history(*([value[at] for value in values] for at in range(3))) if values else []
    assert best_epoch(made) in {None, *(row["epoch"] for row in made)}
    start = overfitting_start(made)
    assert start is None or len(made) > PATIENCE_IF_RISING
    assert start in {None, *(row["epoch"] for row in made[1:])}


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0, 1)), min_size=1, max_size=40))
def test_rows_and_mappings_give_the_same_answers(values):
    made = history(*([value[at] for value in values] for at in range(3)))
    read_back = rows(json.loads(json.dumps(made)))
    assert all(isinstance(row, EpochRow) for row in read_back)
    assert best_epoch(read_back) == best_epoch(made)
    assert overfitting_start(read_back) == overfitting_start(made)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"step": 1}, "metrics row 1: epoch is None"),
        ({"epoch": 1, "train": 3}, "metrics row 1: train is 3"),
        ({"epoch": 1, "seconds": "fast"}, "metrics row 1: seconds is 'fast'"),
    ],
)
def test_a_malformed_row_is_named(row, message):
    with pytest.raises(ValueError, match=message):
        rows([row])

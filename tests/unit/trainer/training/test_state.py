import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import RunConfig
from trainer.ledger import Attempt, Ledger
from trainer.training.phases import Length, length_of
from trainer.training.state import (
    Best,
    LoopState,
    Sums,
    after_step,
    after_validation,
    finished,
    from_json,
    to_json,
    validation_due,
)

finite = st.floats(-1e6, 1e6)


def of_steps(steps: int, early_stopping: int = 0) -> Length:
    """Epochs of four steps, the last one cut."""
    return length_of(RunConfig(batch_size=32, epochs=1_000, steps=steps, early_stopping=early_stopping), 128)


LENGTH = of_steps(12)


def valid(accuracy: float, loss: float = 1.0, seconds: float = 2.0) -> Sums:
    return Sums(loss=loss * 100, correct=accuracy * 100, weight=100, seconds=seconds)


def stepped(state: LoopState, steps: int) -> LoopState:
    for _ in range(steps):
        state = after_step(state, 3.2, 16, 32, 0.5)
    return state


def trained(accuracies: list[float], length: Length = LENGTH) -> LoopState:
    """One epoch for each validation accuracy."""
    state = LoopState()
    for accuracy in accuracies:
        state = after_validation(stepped(state, length.phases[0].steps_per_epoch), valid(accuracy), 1e-3, length)
    return state


@given(st.lists(st.tuples(finite, finite, st.floats(0, 64), st.none() | st.floats(0, 9)), max_size=20))
def test_sums_add_up(batches: list[tuple[float, float, float, float | None]]) -> None:
    sums = Sums()
    for batch in batches:
        sums = sums.add(*batch)
    assert sums.loss == pytest.approx(math.fsum(batch[0] for batch in batches), abs=1e-6)
    assert sums.correct == pytest.approx(math.fsum(batch[1] for batch in batches), abs=1e-6)
    assert sums.weight == pytest.approx(math.fsum(batch[2] for batch in batches))
    timed = [batch for batch in batches if batch[3] is not None]
    assert sums.seconds == pytest.approx(sum(batch[3] or 0 for batch in timed))
    assert sums.timed_weight == pytest.approx(sum(batch[2] for batch in timed))


def test_means_are_over_weights_not_batches() -> None:
    sums = Sums().add(32.0, 16, 32, 1.0).add(1.0, 2, 2, 1.0)
    assert sums.means == {"loss": 33 / 34, "accuracy": 18 / 34}


def test_a_weighted_loss_is_divided_by_its_own_weight_and_accuracy_is_not() -> None:
    sums = Sums().add(6.0, 3, 4, 1.0, 2.0).add(1.0, 1, 2, 1.0, 0.5)
    assert sums.means == {"loss": 7 / 2.5, "accuracy": 4 / 6}
    assert Sums().add(0.01, 1, 2, None, 0.02).means["loss"] == 0.5  # also where all weights together are below 1


def test_sums_that_turn_to_weights_in_mid_epoch_keep_what_they_had() -> None:
    assert Sums().add(8.0, 1, 4, None).add(6.0, 1, 4, None, 3.0).means["loss"] == 14 / 7


def test_a_manifest_without_class_weights_is_that_of_before_there_were_any() -> None:
    assert "loss_weight" not in to_json(LoopState())["sums"]
    assert to_json(LoopState(sums=Sums(loss_weight=2.0)))["sums"]["loss_weight"] == 2.0


def test_means_of_nothing_are_zero() -> None:
    assert Sums().means == {"loss": 0.0, "accuracy": 0.0}
    assert Sums().examples_per_second == 0.0


def test_batches_that_a_compilation_delayed_do_not_count_for_speed() -> None:
    sums = Sums().add(1, 1, 32, None).add(1, 1, 32, 0.5).add(1, 1, 16, 0.5)
    assert sums.examples_per_second == 48
    assert sums.weight == 80


@pytest.mark.parametrize(
    ("accuracy", "loss", "wins"),
    [(0.81, 9.0, True), (0.79, 0.1, False), (0.8, 0.4, True), (0.8, 0.5, False), (0.8, 0.6, False)],
)
def test_best_goes_by_accuracy_then_loss_then_the_earlier(accuracy: float, loss: float, wins: bool) -> None:
    assert Best(3, 99, accuracy=0.8, loss=0.5).beaten_by(accuracy, loss, "accuracy") is wins


@pytest.mark.parametrize(
    ("accuracy", "loss", "wins"),
    [(0.1, 0.49, True), (0.99, 0.51, False), (0.81, 0.5, True), (0.8, 0.5, False), (0.79, 0.5, False)],
)
def test_best_may_go_by_loss_then_accuracy_then_the_earlier(accuracy: float, loss: float, wins: bool) -> None:
    assert Best(3, 99, accuracy=0.8, loss=0.5).beaten_by(accuracy, loss, "loss") is wins


@pytest.mark.parametrize(
    ("epochs", "steps", "examples", "total"),
    [(30, 0, 2000, 1890), (30, 100, 2000, 100), (1, 100, 2000, 63), (2, 0, 31, 2), (2, 0, 32, 2), (2, 0, 33, 4)],
)
def test_the_length_of_a_run(epochs: int, steps: int, examples: int, total: int) -> None:
    config = RunConfig(epochs=epochs, steps=steps, batch_size=32, early_stopping=5)
    length = length_of(config, examples)
    assert (length.total_steps, length.early_stopping, len(length.phases)) == (total, 5, 1)
    assert length.phases[0].steps_per_epoch == -(-examples // 32)


def test_a_step_moves_everything_by_one_batch() -> None:
    state = after_step(LoopState(step=4), 3.2, 16, 32, 0.5)
    assert state == LoopState(step=5, sums=Sums(3.2, 16, 32, 0.5, 32))
    assert after_step(state, 1, 1, 1, None).sums.seconds == 0.5


def test_a_validation_becomes_a_row_of_metrics() -> None:
    state = after_validation(stepped(LoopState(), 4), valid(0.75, 0.5, 2.0), 0.002, LENGTH)
    assert state.history == (
        {
            "epoch": 1,
            "step": 4,
            "train": {"loss": 0.1, "accuracy": 0.5},
            "valid": {"loss": 0.5, "accuracy": 0.75},
            "learning_rate": 0.002,
            "examples_per_second": 64.0,
            "seconds": 4.0,
        },
    )
    assert state.best == Best(1, 4, 0.75, 0.5)
    assert state.sums == Sums()
    assert json.loads(json.dumps(state.history[0])) == state.history[0]


def test_rows_are_in_order_of_epochs() -> None:
    assert [(row["epoch"], row["step"]) for row in trained([0.5, 0.6, 0.7]).history] == [(1, 4), (2, 8), (3, 12)]


def test_the_best_epoch_is_kept_and_the_others_are_counted() -> None:
    state = trained([0.5, 0.7, 0.6, 0.6, 0.7])
    assert state.best == Best(2, 8, 0.7, 1.0)
    assert state.epochs_without_improvement == 3
    assert trained([0.5, 0.7, 0.6, 0.8]).epochs_without_improvement == 0


def test_an_epoch_that_is_as_good_is_no_improvement_unless_its_loss_is_lower() -> None:
    state = trained([0.7])
    again = after_validation(stepped(state, 4), valid(0.7, 1.0), 1e-3, LENGTH)
    assert (again.best, again.epochs_without_improvement) == (Best(1, 4, 0.7, 1.0), 1)
    better = after_validation(stepped(state, 4), valid(0.7, 0.9), 1e-3, LENGTH)
    assert (better.best, better.epochs_without_improvement) == (Best(2, 8, 0.7, 0.9), 0)


def test_early_stopping_strikes_after_so_many_epochs() -> None:
    length = of_steps(400, early_stopping=2)
    assert not finished(trained([0.7, 0.6], length), length)
    assert finished(trained([0.7, 0.6, 0.6], length), length)
    assert not finished(trained([0.7, 0.6, 0.8, 0.6], length), length)
    off = dataclasses.replace(length, early_stopping=0)
    assert not finished(trained([0.7] + [0.6] * 50, off), off)


@pytest.mark.parametrize("total", [12, 10, 9, 3, 1])
def test_validations_are_due_at_the_end_of_epochs_and_of_the_run_and_nowhere_else(total: int) -> None:
    length = of_steps(total)
    state, due = LoopState(), []
    assert not validation_due(state, length)
    for _ in range(100):
        if validation_due(state, length):
            due.append(state.step)
            assert not finished(state, length)
            state = after_validation(state, valid(0.5), 1e-3, length)
            assert not validation_due(state, length)
        elif finished(state, length):
            break
        else:
            state = stepped(state, 1)
    assert due == sorted({*range(4, total + 1, 4), total})
    assert state.step == total
    assert finished(state, length)


def test_a_run_without_steps_is_not_finished_before_it_began() -> None:
    assert not finished(LoopState(), LENGTH)


def test_a_run_cut_short_in_mid_epoch_goes_on_as_if_it_had_not_been() -> None:
    cut = of_steps(6)
    state = after_validation(stepped(trained([0.5]), 2), valid(0.6), 1e-3, cut)
    assert [(row["epoch"], row["step"]) for row in state.history] == [(1, 4), (2, 6)]
    assert state.sums == stepped(trained([0.5]), 2).sums  # the epoch's sums go on
    assert finished(state, cut)
    longer = after_validation(stepped(state, 2), valid(0.7), 1e-3, LENGTH)
    assert [(row["epoch"], row["step"]) for row in longer.history] == [(1, 4), (2, 8)]
    assert longer.history[-1]["train"] == trained([0.5, 0.7]).history[-1]["train"]
    assert longer.sums == Sums()


SPENT = Ledger((Attempt(1, {"step": 12.345678901234567}), Attempt(2, {}, 3)), 1e9 / 3)


@given(
    st.integers(0, 10**9),
    st.builds(Sums, finite, finite, finite, finite, finite, st.none() | finite),
    st.none() | st.builds(Best, st.integers(1, 99), st.integers(1, 99), finite, finite),
    st.integers(0, 9),
)
def test_a_state_survives_json_exactly(step: int, sums: Sums, best: Best | None, without: int) -> None:
    row = {"epoch": 1, "step": 4, "train": {"loss": 0.1, "accuracy": 1 / 3}}
    state = LoopState(step, sums, (row,), best, without, SPENT, 1e9 / 3, 1)
    assert from_json(json.loads(json.dumps(to_json(state)))) == state


@pytest.mark.parametrize("values", [{}, {"best": None}, {"best": {"epoch": 1}}, {"sums": []}])
def test_other_documents_are_refused(values: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError)):
        from_json(values)


def test_a_state_that_an_older_version_wrote_has_an_empty_ledger() -> None:
    values = {**to_json(LoopState(step=3)), "productive_seconds": 12.5}
    del values["ledger"]
    assert from_json(values) == LoopState(step=3)


def test_keys_that_a_later_version_adds_are_ignored() -> None:
    state = LoopState(step=3, sums=Sums(1.0), best=Best(1, 3, 0.5, 0.25))
    values = to_json(state)
    later = {
        **values,
        "mood": "good",
        "sums": {**values["sums"], "mood": "good"},
        "best": {**values["best"], "mood": "good"},
    }
    assert from_json(later) == state

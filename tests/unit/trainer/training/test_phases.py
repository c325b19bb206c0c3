"""The phases of a run: which step belongs to which, and to which epoch."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import RunConfig
from trainer.training.phases import Length, Phase, feature_epochs, length_of

TUNED = RunConfig(
    model="efficientnet-lite0",
    batch_size=32,
    epochs=5,
    unfreeze="block12",
    head_epochs=3,
    tune_learning_rate=1e-4,
    tune_warmup_steps=9,
)


def test_a_network_from_nothing_has_one_phase_on_pictures() -> None:
    [phase] = length_of(RunConfig(batch_size=32, epochs=2, learning_rate=0.1, warmup_steps=5), 100).phases
    assert phase == Phase("train", False, 100, 4, 0, 0, 8, 0.1, 5)


def test_a_frozen_network_has_one_phase_on_features() -> None:
    frozen = dataclasses.replace(TUNED, unfreeze="")
    [phase] = length_of(frozen, 100).phases
    assert (phase.name, phase.on_features, phase.last_step, phase.rows) == ("head", True, 20, 100)


def test_a_network_that_is_fine_tuned_has_the_head_first() -> None:
    head, tune = length_of(TUNED, 100).phases
    assert (head.name, head.on_features, head.first_step, head.last_step) == ("head", True, 0, 12)
    assert tune == Phase("tune", False, 100, 4, 3, 12, 20, 1e-4, 9)


@pytest.mark.parametrize("changes", [{}, {"unfreeze": ""}, {"head_epochs": 9}, {"model": "small", "unfreeze": ""}])
def test_the_epochs_on_features_are_those_of_the_phases(changes: dict[str, object]) -> None:
    config = dataclasses.replace(TUNED, **changes)  # type: ignore[arg-type]
    length = length_of(config, 100)
    counted = [length.phase_after(4 * epoch).on_features for epoch in range(1, config.epochs + 1)]
    first = feature_epochs(config.model, config.unfreeze, config.epochs, config.head_epochs)
    assert counted == [True] * first + [False] * (config.epochs - first)


def test_mirrored_pictures_are_further_rows_of_features_but_not_of_pictures() -> None:
    head, tune = length_of(dataclasses.replace(TUNED, flip=True), 100).phases
    assert (head.rows, head.steps_per_epoch, tune.rows, tune.steps_per_epoch) == (200, 7, 100, 4)
    assert (tune.first_step, tune.first_epoch) == (21, 3)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"head_epochs": 0}, ["tune"]),
        ({"head_epochs": 5}, ["head"]),
        ({"head_epochs": 50}, ["head"]),
        ({"steps": 12}, ["head"]),
        ({"steps": 13}, ["head", "tune"]),
    ],
)
def test_a_phase_without_steps_is_left_out(changes: dict[str, int], names: list[str]) -> None:
    length = length_of(dataclasses.replace(TUNED, **changes), 100)
    assert [phase.name for phase in length.phases] == names


lengths = st.builds(
    lambda examples, batch, epochs, head, flip, steps, unfreeze: length_of(
        dataclasses.replace(
            TUNED, batch_size=batch, epochs=epochs, head_epochs=head, flip=flip, steps=steps, unfreeze=unfreeze
        ),
        examples,
    ),
    st.integers(1, 200),
    st.integers(1, 50),
    st.integers(1, 6),
    st.integers(0, 7),
    st.booleans(),
    st.integers(0, 300),
    st.sampled_from(["", "head"]),
)


@given(lengths)
def test_every_step_belongs_to_one_phase_and_epochs_follow_each_other(length: Length) -> None:
    epoch = 0
    for step in range(length.total_steps):
        [phase] = [phase for phase in length.phases if phase.first_step <= step < phase.last_step]
        assert length.phase_at(step) == phase == length.phase_after(step + 1)
        assert 0 <= phase.batch_of(step) < phase.steps_per_epoch
        epoch += phase.batch_of(step) == 0
        assert phase.epoch_of(step) == epoch - 1
        assert length.epoch_after(step + 1) == epoch


@given(lengths)
def test_the_end_of_an_epoch_is_where_the_next_pause_is(length: Length) -> None:
    steps, ends = 0, []
    while steps < length.total_steps:
        steps = length.epoch_end_after(steps)
        ends.append(steps)
    assert ends[-1] == length.total_steps
    whole = [n for n in range(length.total_steps + 1) if length.is_epoch_end(n)]
    assert whole == ends or whole == ends[:-1]  # --steps may cut the last


def test_after_nothing_no_epoch_has_begun() -> None:
    length = length_of(TUNED, 100)
    assert length.epoch_after(0) == 0
    assert not length.is_epoch_end(0)

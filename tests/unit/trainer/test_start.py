"""What an attempt begins with, before its first step."""

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

import pytest

from trainer.config import RunConfig
from trainer.start import Start
from trainer.training.phases import length_of

CONFIG = RunConfig(recipe="baseline", model="small", batch_size=10, epochs=4)


def start_at(step: int | None) -> Start:
    snapshot: Any = None if step is None else SimpleNamespace(state=SimpleNamespace(step=step))
    return Start(CONFIG, cast(Any, None), length_of(CONFIG, 100), snapshot, False, 3, None)


@pytest.mark.parametrize(("step", "epoch", "shown"), [(None, 0, 0), (10, 1, 10), (11, 2, 11), (40, 4, 40)])
def test_a_restarted_attempt_says_where_its_checkpoint_is_until_its_first_step(
    step: int | None, epoch: int, shown: int
) -> None:
    state = start_at(step).running
    assert (state.state, state.epoch, state.step, state.total_steps, state.restarts) == ("running", epoch, shown, 40, 3)
    assert dataclasses.replace(state, state="failed").step == shown

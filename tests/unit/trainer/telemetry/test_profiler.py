"""A profile of a loop that really trains, with op determinism, as the tests' process is configured."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.config import RunConfig
from trainer.data.cache import PixelCache
from trainer.ledger import NONE
from trainer.process.activity import Activity
from trainer.process.signals import StopRequest
from trainer.storage.opening import open_storage
from trainer.telemetry.profiler import WARM_UP, Profiler
from trainer.tensors import Arrays
from trainer.training import loop
from trainer.training.hooks import Hooks, StepNumbers
from trainer.training.learner import build_learner, copy_to_host
from trainer.training.phases import length_of
from trainer.training.state import LoopState
from trainer.training.strategy import Devices, distribute
from trainer.training.task import Task, lay_out
from trainer.workers.topology import ALONE

SIZE, STEPS = 16, 12


def noise() -> PixelCache:
    pixels = np.random.default_rng(0).integers(0, 256, (4 * STEPS, SIZE, SIZE, 3), dtype=np.uint8)
    return PixelCache(pixels, np.arange(4 * STEPS, dtype=np.int32) % 2, np.ones(4 * STEPS, np.bool_), (), False)


def trained(run: Path, profile: int, replicas: int = 1) -> Arrays:
    """The weights after STEPS steps, and a profile of so many of them, taken as of so many replicas."""
    config = RunConfig(model="small", image_size=SIZE, batch_size=4, epochs=1, precision="float32", dropout=0.5)
    distribution = distribute(ALONE, Devices("CPU", ("/cpu:0",)), {})
    learner, rows = build_learner(config, 2, distribution.strategy), {"train": noise()}
    length, activity, seen = length_of(config, 4 * STEPS), Activity(), []
    task = Task(config, distribution, learner, rows, rows, length, lay_out(config, 1))
    profiler = None
    if profile:
        profiler = Profiler(open_storage(str(run)), lambda kind, job: job(), activity, profile, replicas)

    def on_step(state: LoopState, numbers: StepNumbers) -> None:
        seen.append(state.step)

    def nothing(*_: Any) -> None:
        return None

    hook = profiler.around(on_step) if profiler is not None else on_step
    hooks = Hooks(activity, hook, nothing, nothing, nothing, nothing, nothing, lambda: NONE)
    loop.train(task, LoopState(), StopRequest(), hooks)
    if profiler is not None:
        profiler.close()
        assert not profiler._folder.exists()
    assert seen == list(range(1, STEPS + 1))
    return copy_to_host(learner.weights)


def test_a_profile_is_kept_and_changes_no_bit(tmp_path: Path) -> None:
    plain, profiled = trained(tmp_path / "plain", 0), trained(tmp_path / "profiled", 4)
    assert {name: array.tobytes() for name, array in plain.items()} == {n: a.tobytes() for n, a in profiled.items()}
    assert len(list((tmp_path / "profiled/tensorboard/plugins/profile").rglob("*.xplane.pb"))) == 1
    told = json.loads((tmp_path / "profiled/profile.json").read_text())
    assert (told["steps"], told["last_step"]) == (4, 1 + WARM_UP + 4)
    assert set(told["parts"]) == {"input", "call", "results", "hooks"}
    assert sum(told["parts"].values()) == pytest.approx(told["seconds"], rel=0.05)
    assert 0 < told["busy"] <= 1
    assert any("Conv2D" in op["op"] for op in told["ops"])
    assert not list((tmp_path / "plain").rglob("*profile*"))


def test_several_replicas_have_parts_without_a_trace(tmp_path: Path) -> None:
    trained(tmp_path / "run", 4, replicas=2)
    told = json.loads((tmp_path / "run/profile.json").read_text())
    assert set(told["parts"]) == {"input", "step", "hooks"}
    assert "ops" not in told
    assert "busy" not in told
    assert not list((tmp_path / "run").rglob("*.xplane.pb"))


@pytest.mark.parametrize(
    ("warm_up", "words"), [(WARM_UP, "the run ended after 6 of 10 steps of it"), (50, "the run ended before")]
)
def test_a_run_that_is_too_short_for_it_says_so_and_trains(
    warm_up: int, words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.telemetry.profiler.WARM_UP", warm_up)
    with caplog.at_level(logging.WARNING):
        trained(tmp_path / "run", 10)
    assert words in caplog.text
    assert not list((tmp_path / "run").rglob("*profile*"))
    monkeypatch.undo()
    trained(tmp_path / "again", 2)  # the profiler is free again
    assert (tmp_path / "again/profile.json").exists()

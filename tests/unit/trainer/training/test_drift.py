"""Replicas that no longer hold the same bits are found and named, and nothing of them is saved."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import RunConfig
from trainer.exits import Exit, ExitError
from trainer.ledger import NONE
from trainer.process.activity import Activity
from trainer.tensors import Variable
from trainer.training import drift
from trainer.training.checkpoint import Snapshot
from trainer.training.drift import checksum, comparison, drift_of, guarded, told, watched
from trainer.training.hooks import Hooks
from trainer.training.learner import Learner, build_learner
from trainer.training.state import LoopState
from trainer.training.strategy import Devices, Distribution, distribute
from trainer.workers.topology import ALONE


def on(replicas: int) -> Distribution:
    return distribute(ALONE, Devices("CPU", tuple(f"/cpu:{i}" for i in range(replicas))), {})


def learner_on(distribution: Distribution, **changes: Any) -> Learner:
    config = dataclasses.replace(RunConfig(model="small", image_size=32, precision="float32"), **changes)
    return build_learner(config, 2, distribution.strategy)


def flip_a_bit(variable: Variable, replica: int, element: int = 0, bit: int = 0) -> None:
    copy = variable.values[replica]
    value = np.array(copy.numpy())
    value.reshape(-1).view(f"u{value.itemsize}")[element] ^= np.array(1 << bit, f"u{value.itemsize}")
    copy.assign(value)


def drifted(distribution: Distribution, learner: Learner, step: int = 7) -> str:
    with pytest.raises(ExitError) as no:
        comparison(distribution, watched(learner))(step)
    assert no.value.code == Exit.BUG
    return no.value.message


@pytest.mark.parametrize("replicas", [1, 2, 3, 4])
def test_replicas_as_they_were_built_are_equal(replicas: int) -> None:
    distribution = on(replicas)
    comparison(distribution, watched(learner_on(distribution, ema=0.9, precision="mixed_float16")))(0)


def test_of_three_replicas_the_one_that_differs_in_one_bit_is_named_with_its_tensor() -> None:
    distribution = on(3)
    learner = learner_on(distribution)
    name = next(name for name in learner.weights if name.endswith("/kernel"))
    flip_a_bit(learner.weights[name], 1, element=5)
    assert drifted(distribution, learner) == (
        "the replicas have drifted apart by step 7: rank 0 (replica 1) differs from the other 2 of 3 in "
        f"weights/{name}: a device there computes or stores wrongly. Nothing of it was saved: the same command goes on "
        "from the checkpoint before; if it happens again, leave that device out"
    )


def test_of_two_replicas_both_are_named() -> None:
    distribution = on(2)
    learner = learner_on(distribution)
    flip_a_bit(next(iter(learner.weights.values())), 1)
    line = drifted(distribution, learner)
    assert "rank 0 (replica 0), rank 0 (replica 1) differ, and no bits are those of more than half of 2" in line


@pytest.mark.parametrize("group", ["weights", "optimizer", "ema", "loss_scale"])
def test_what_a_checkpoint_has_is_compared(group: str) -> None:
    distribution = on(2)
    learner = learner_on(distribution, ema=0.9, precision="mixed_float16")
    compare, every = comparison(distribution, watched(learner)), watched(learner)
    compare(0)
    name = next(name for name in reversed(every) if name.startswith(f"{group}/"))
    flip_a_bit(every[name], 1)
    with pytest.raises(ExitError, match=name):
        compare(1)


def test_what_a_pre_trained_network_leaves_as_it_was_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    distribution = on(2)
    learner = learner_on(distribution)
    layer = next(layer for layer in learner.networks["train"].layers if layer.weights)
    name = f"{layer.name}/{layer.weights[0].name}"
    frozen = dataclasses.replace(learner, weights={n: v for n, v in learner.weights.items() if n != name})
    flip_a_bit(layer.weights[0].value, 0)
    assert f"fixed/{name}" in drifted(distribution, frozen)


def test_comparing_changes_nothing() -> None:
    distribution = on(2)
    every = watched(learner_on(distribution))
    before = {name: [copy.numpy().tobytes() for copy in variable.values] for name, variable in every.items()}
    comparison(distribution, every)(0)
    assert before == {name: [copy.numpy().tobytes() for copy in variable.values] for name, variable in every.items()}


DTYPES = [tf.float64, tf.float32, tf.float16, tf.bfloat16, tf.int64, tf.int32, tf.uint32, tf.uint8, tf.bool]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_variables_of_any_type_have_a_checksum(dtype: Any) -> None:
    zeros = tf.zeros((2, 3), dtype)
    assert int(checksum(zeros)) == 0
    assert int(checksum(tf.tensor_scatter_nd_update(zeros, [[1, 2]], [tf.ones((), dtype)]))) != 0


@given(
    words=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40),
    element=st.integers(0, 39),
    bit=st.integers(0, 31),
)
def test_any_one_bit_changes_the_checksum(words: list[int], element: int, bit: int) -> None:
    """Not a number and minus zero too: it is bits that are compared."""
    one, other = np.array(words, np.uint32), np.array(words, np.uint32)
    other[element % len(words)] ^= np.uint32(1 << bit)
    sums = [int(checksum(tf.constant(bits.view(np.float32)))) for bits in (one, other)]
    assert sums[0] != sums[1]


def test_values_that_have_changed_places_change_the_checksum() -> None:
    assert int(checksum(tf.constant([1.0, 2.0]))) != int(checksum(tf.constant([2.0, 1.0])))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_those_are_named_that_differ_from_more_than_half(sums: list[int]) -> None:
    found = drift_of(np.array([[0, one] for one in sums]), ["same", "other"])
    if len(set(sums)) == 1:
        assert found is None
        return
    assert found is not None
    assert found.tensors == ("other",)
    rest = [one for replica, one in enumerate(sums) if replica not in found.replicas]
    assert len(set(rest)) <= 1
    assert not rest or 2 * len(rest) > len(sums)
    if not rest:
        assert max(map(sums.count, sums)) * 2 <= len(sums)


def test_the_rank_of_a_replica_goes_by_the_devices_of_a_worker() -> None:
    line = told(drift.Drift((5,), ("a", "b", "c", "d", "e")), 1000, 8, 2)
    assert "by step 1000: rank 2 (replica 5) differs from the other 7 of 8 in a, b, c and 2 more:" in line


@pytest.mark.parametrize("saves", ["on_best", "on_checkpoint"])
def test_nothing_is_saved_of_replicas_that_differ(saves: str) -> None:
    def refuse(step: int) -> None:
        raise ExitError(Exit.BUG, f"drift at {step}")

    def ignore(*_: object) -> None:
        pass

    saved: list[Snapshot] = []
    hooks = Hooks(Activity(), ignore, ignore, ignore, saved.append, saved.append, ignore, lambda: NONE)
    snapshot = Snapshot(LoopState(step=3), {})
    save: Callable[[Snapshot], None] = getattr(guarded(hooks, ignore), saves)
    save(snapshot)
    assert saved == [snapshot]
    save = getattr(guarded(hooks, refuse), saves)
    with pytest.raises(ExitError, match="drift at 3"):
        save(snapshot)
    assert saved == [snapshot]

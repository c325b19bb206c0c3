"""Names of tensors, and copies between host and devices."""

import random
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from trainer.config import RunConfig
from trainer.training.learner import build_learner, copy_to_host, evaluated, groups, restore

SMALL = RunConfig(model="small", image_size=32, optimizer="adam", ema=0.9, precision="float32")


def test_a_copy_does_not_change_with_the_variables_it_was_taken_of() -> None:
    variable = tf.Variable(np.arange(6.0, dtype=np.float32).reshape(2, 3))
    taken = copy_to_host({"v": variable})
    variable.assign_add(tf.ones([2, 3]))
    np.testing.assert_array_equal(taken["v"], np.arange(6.0).reshape(2, 3))
    assert taken["v"].flags.c_contiguous
    assert taken["v"].flags.owndata


def test_tensors_are_named_by_layer_and_slot_and_not_by_keras_numbers() -> None:
    first, second = (build_learner(SMALL, 2, tf.distribute.get_strategy()) for _ in range(2))
    assert list(first.weights) == list(second.weights)
    assert list(first.slots) == list(second.slots)
    assert {"conv1/kernel", "logits/bias"} <= set(first.weights)
    assert {"iterations", "momentum/conv1/kernel", "velocity/conv1/kernel"} <= set(first.slots)
    assert set(groups(first)) == {"weights", "optimizer", "ema"}
    assert evaluated(first) is first.ema


def test_first_weights_depend_on_the_seed_alone() -> None:
    def weights(seed: int) -> bytes:
        learner = build_learner(RunConfig(model="small", image_size=32, seed=seed), 2, tf.distribute.get_strategy())
        return b"".join(array.tobytes() for array in copy_to_host(learner.weights).values())

    assert weights(1) == weights(1)
    assert weights(1) != weights(2)


def test_first_weights_do_not_depend_on_what_other_threads_draw() -> None:
    """google-cloud-storage draws from Python's generator for each upload, which a heartbeat makes at any moment."""

    def weights() -> list[bytes]:
        learner = build_learner(RunConfig(model="small", image_size=32, seed=1), 2, tf.distribute.get_strategy())
        return [array.tobytes() for array in copy_to_host(learner.weights).values()]

    quiet, over = weights(), threading.Event()

    def draw() -> None:
        while not over.is_set():
            random.randrange(sys.maxsize)
            time.sleep(0.0001)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        assert weights() == quiet
    finally:
        over.set()
        thread.join()


def test_restore_refuses_other_names_shapes_and_dtypes_and_assigns_nothing_then() -> None:
    variables = {"a": tf.Variable([1.0, 2.0]), "b": tf.Variable([3.0])}
    for wrong in (
        {"a": np.zeros(2, np.float32)},
        {"a": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)},
        {"a": np.zeros(2, np.float32), "b": np.zeros(1, np.float64)},
    ):
        with pytest.raises(ValueError, match=r"tensor '[ab]'"):
            restore(variables, wrong)
    np.testing.assert_array_equal(variables["a"].numpy(), [1.0, 2.0])
    restore(variables, {"a": np.array([5.0, 6.0], np.float32), "b": np.array([7.0], np.float32)})
    np.testing.assert_array_equal(variables["b"].numpy(), [7.0])

"""First weights are those of Keras for the seed, and nothing that other threads do changes them."""

import random
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.config import PRETRAINED, RunConfig
from trainer.models.first_weights import first_weights
from trainer.models.registry import MODELS, build_for_training, build_head
from trainer.tensors import Arrays, Model
from trainer.training.learner import build_learner, copy_to_host


def made_by_keras(network: Model) -> Arrays:
    named = {f"{layer.name}/{v.name}": v for layer in network.layers for v in layer.weights}
    return {name: np.asarray(v) for name, v in named.items() if v.name == "kernel"}


@pytest.mark.parametrize("model", [*(model for model in MODELS if model not in PRETRAINED), PRETRAINED[0], "head"])
@pytest.mark.parametrize("seed", [0, 7])
def test_they_are_those_that_keras_makes_when_nothing_else_draws(model: str, seed: int) -> None:
    keras.utils.set_random_seed(seed)
    network = build_head(3, 0.2) if model == "head" else build_for_training(model, 96, 2, 0.5)
    expected, found = made_by_keras(network), first_weights(network, seed)
    assert list(found) == list(expected)
    assert {name for name, array in found.items() if array.tobytes() != expected[name].tobytes()} == set()


def test_known_kernels_are_left_out_and_change_no_other() -> None:
    network = build_for_training("small", 32, 2, 0.0)
    every = first_weights(network, 1)
    some = first_weights(network, 1, ["conv2/kernel"])
    assert set(every) - set(some) == {"conv2/kernel"}
    assert all(array.tobytes() == every[name].tobytes() for name, array in some.items())


def test_another_initializer_is_refused() -> None:
    inputs = keras.Input((4,))
    network = keras.Model(inputs, keras.layers.Dense(2, kernel_initializer="he_normal", name="odd")(inputs))
    with pytest.raises(ValueError, match="odd wants HeNormal"):
        first_weights(network, 0)


def test_a_thread_that_draws_random_numbers_does_not_change_a_run() -> None:
    """As uploads do: each draws the boundary between its parts from Python's global generator."""

    def weights() -> bytes:
        learner = build_learner(RunConfig(model="small", image_size=32), 2, tf.distribute.get_strategy())
        return b"".join(array.tobytes() for array in copy_to_host(learner.weights).values())

    alone, over = weights(), threading.Event()

    def disturb() -> None:
        while not over.is_set():
            random.randrange(1 << 60)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        disturbed = [weights() for _ in range(3)]
    finally:
        over.set()
        thread.join()
    assert disturbed == [alone] * 3

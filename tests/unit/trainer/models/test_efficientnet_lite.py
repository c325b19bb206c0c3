"""The Keras network, with the published weights from the locked packages."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest

from trainer.backbones.efficientnet_lite import VARIANTS, shapes
from trainer.backbones.stored import packaged, published
from trainer.data.decode import PixelPath, pixels
from trainer.models.efficientnet_lite import efficientnet_lite
from trainer.tensors import Array, Model

CATS, DOGS = range(281, 286), range(151, 269)
"""Classes of ImageNet, in the order of the published classifier."""


def network(name: str) -> Model:
    size = VARIANTS[name].size
    inputs = keras.Input((size, size, 3), name="pixels")
    return keras.Model(inputs, efficientnet_lite(inputs, VARIANTS[name]))


def variables(model: Model) -> dict[str, Array]:
    return {f"{layer.name}/{variable.name}": variable for layer in model.layers for variable in layer.variables}


@pytest.mark.parametrize("name", VARIANTS)
def test_its_variables_are_those_of_the_published_weights(name: str) -> None:
    made = variables(network(name))
    assert {key: tuple(variable.shape) for key, variable in made.items()} == shapes(VARIANTS[name])
    assert {key: array.shape for key, array in packaged(name).tensors.items()} == shapes(VARIANTS[name])


def test_statistics_and_scales_are_frozen_also_in_training() -> None:
    model = network("efficientnet-lite0")
    assert all("_norm/" not in variable.path for variable in model.trainable_variables)
    before = {key: variable.numpy() for key, variable in variables(model).items()}
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 224, 224, 3)).astype(np.float32)
    np.testing.assert_array_equal(*(model(pictures, training=training).numpy() for training in (True, False)))
    for key, variable in variables(model).items():
        np.testing.assert_array_equal(variable.numpy(), before[key], key)


def test_pictures_of_cats_and_dogs_are_seen_as_such() -> None:
    """Nothing but the published normalisation and padding gives this: other ones lose a tenth of the dogs and more."""
    if not (data := os.environ.get("CATDOG_TEST_DATA")):
        pytest.skip("CATDOG_TEST_DATA is not set: no photographs of cats and dogs")
    name = "efficientnet-lite0"
    weights, model = packaged(name), network(name)
    for key, variable in variables(model).items():
        variable.assign(weights.tensors[key])
    classifier = published(name)
    head, bias = classifier["_fc.weight"], classifier["_fc.bias"]
    for kind, classes, least in (("dogs", DOGS, 0.9), ("cats", CATS, 0.65)):
        files = sorted(Path(data, "test", kind).iterdir())[:32]
        seen = np.stack([pixels(file.read_bytes(), PixelPath(2, 224)) for file in files]).astype(np.float32)
        best = (model(seen, training=False).numpy() @ head.T + bias).argmax(axis=1)
        assert np.isin(best, classes).mean() >= least, kind

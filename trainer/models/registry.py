"""Networks by name, built the same way for training and for export."""

from collections.abc import Callable
from functools import partial

import keras
from keras import layers

from trainer.config import PRETRAINED
from trainer.exits import Exit, ExitError
from trainer.models.article import article
from trainer.models.network import DropoutLayer, Network
from trainer.models.pretrained import FEATURES, head_inputs, pretrained
from trainer.models.randomness import RowDropout
from trainer.models.small import small
from trainer.tensors import Layer, Logits, Model, Tensor

# Layers have fixed names: tensors of a checkpoint are named after them. No layer may mix examples of a batch.
MODELS: dict[str, Callable[[Network, DropoutLayer], Tensor]] = {
    "article": article,
    "small": small,
    **{name: partial(pretrained, name) for name in PRETRAINED},
}


def outputs_for(classes: int) -> int:
    """Logits of the output layer: one for two classes (sigmoid), else one per class (softmax)."""
    return 1 if classes == 2 else classes


def _keras_dropout(rate: float, name: str, dtype: str | None = None) -> Layer:
    return layers.Dropout(rate, name=name, dtype=dtype)


def build_for_training(model: str, image_size: int, classes: int, dropout: float) -> Model:
    """A Keras model, float32 [n, size, size, 3] in 0 … 255 → float32 logits [n, 1 or classes]."""
    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    return keras.Model(inputs, _logits(model, inputs, classes, dropout, RowDropout), name=model)


def build_head(classes: int, dropout: float) -> Model:
    """What comes after the features of a pre-trained network: float32 [n, 1280] → float32 logits [n, 1 or classes]."""
    features = keras.Input((FEATURES,), name="features")
    return keras.Model(features, _output_layer(classes)(head_inputs(features, dropout, RowDropout)), name="head")


def build_for_export(model: str, image_size: int, classes: int, dropout: float, temperature: float = 1.0) -> Model:
    """The same network with only Keras's own layers, and with probabilities as output: float32 [n, classes].

    A temperature other than 1 is a layer without variables that divides the logits by it.
    """
    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    logits = _logits(model, inputs, classes, dropout, _keras_dropout)
    if temperature != 1.0:
        logits = layers.Rescaling(1 / temperature, dtype="float32", name="temperature")(logits)
    if classes == 2:
        second = layers.Activation("sigmoid", dtype="float32", name="second")(logits)
        first = layers.Rescaling(-1.0, offset=1.0, dtype="float32", name="first")(second)
        probabilities = layers.Concatenate(dtype="float32", name="probabilities")([first, second])
    else:
        probabilities = layers.Activation("softmax", dtype="float32", name="probabilities")(logits)
    return keras.Model(inputs, probabilities, name=model)


def _logits(model: str, inputs: Tensor, classes: int, rate: float, dropout: DropoutLayer) -> Logits:
    if model not in MODELS:
        raise ExitError(Exit.BAD_OPTION, f"--model is {model!r}; it must be one of {', '.join(sorted(MODELS))}")
    features = MODELS[model](Network(inputs, rate), dropout)
    return _output_layer(classes)(features)


def _output_layer(classes: int) -> Layer:
    # It stays in float32 under mixed precision: its sums decide the loss.
    return layers.Dense(outputs_for(classes), dtype="float32", name="logits")

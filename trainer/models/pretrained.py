"""What pre-trained networks have that others do not: features, a head on them, and blocks that are trained or not."""

import keras

from trainer.backbones.efficientnet_lite import HEAD, VARIANTS, parts
from trainer.models.efficientnet_lite import efficientnet_lite
from trainer.models.network import DropoutLayer, Network, in_float32
from trainer.tensors import Model, Tensor

FEATURES = HEAD
"""Width of the features of every backbone."""


def pretrained(model: str, network: Network, dropout: DropoutLayer) -> Tensor:
    """What comes before the output layer: the backbone's features, float32 [n, 1280], and dropout."""
    return head_inputs(efficientnet_lite(network.inputs, VARIANTS[model]), network.dropout, dropout)


def head_inputs(features: Tensor, rate: float, dropout: DropoutLayer) -> Tensor:
    """Features after dropout. They stay in float32 under mixed precision: they are the same in both phases."""
    return dropout(rate, "dropout", "float32")(features) if rate else features


def build_features(model: str, image_size: int) -> Model:
    """The backbone alone, in float32: float32 [n, size, size, 3] in 0 … 255 → float32 [n, 1280]."""
    with in_float32():
        inputs = keras.Input((image_size, image_size, 3), name="pixels")
        return keras.Model(inputs, efficientnet_lite(inputs, VARIANTS[model]), name=f"{model}-features")


def head_of(network: Model) -> Model:
    """What comes after the features as a network of its own; it shares its variables with the whole network."""
    return keras.Model(network.get_layer("pool").output, network.output, name="head")


def unfreeze(network: Model, model: str, block: str) -> None:
    """Make the backbone's layers trainable from a block on, the others not. Batch normalisations always stay frozen:
    small batches would only make their statistics worse, and padded rows wrong.

    Call it before the trainable variables are first read.
    """
    every = parts(VARIANTS[model])
    opened = every[every.index(block) :]
    for layer in network.layers:
        part = layer.name.partition("_")[0]
        if part in every:
            layer.trainable = part in opened and not isinstance(layer, keras.layers.BatchNormalization)

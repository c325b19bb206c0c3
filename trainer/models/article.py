"""The plain convnet of the reference article: five 3x3 convolutions, four max pools, one dense layer."""

from keras import layers

from trainer.models.network import DropoutLayer, Network
from trainer.tensors import Tensor


def article(network: Network, dropout: DropoutLayer) -> Tensor:
    """Features before the output layer: Conv2D 32-64-128-256-256 with relu, 2x2 max pools between, Flatten, dropout.

    991,041 parameters with one output at 180x180x3.
    """
    x = network.inputs
    x = layers.Rescaling(1 / 255, dtype="float32", name="rescale")(x)
    for index, filters in enumerate((32, 64, 128, 256, 256), start=1):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv{index}")(x)
        if index < 5:
            x = layers.MaxPooling2D(2, name=f"pool{index}")(x)
    x = layers.Flatten(name="flatten")(x)
    return dropout(network.dropout, "dropout")(x) if network.dropout else x

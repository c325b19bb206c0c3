"""A small convnet for small pictures and quick runs."""

from keras import layers

from trainer.models.network import DropoutLayer, Network
from trainer.tensors import Tensor


def small(network: Network, dropout: DropoutLayer) -> Tensor:
    """Features before the output layer: Conv2D 16-32-64-96 with relu, 2x2 max pools, maximum over the picture.

    79,073 parameters with one output. The maximum, not the mean: an ear is decisive wherever it is.
    """
    x = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="rescale")(network.inputs)
    for index, filters in enumerate((16, 32, 64, 96), start=1):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{index}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{index}")(x)
    x = layers.GlobalMaxPooling2D(name="maximum")(x)
    return dropout(network.dropout, "dropout")(x) if network.dropout else x

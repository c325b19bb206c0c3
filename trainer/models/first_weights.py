"""The weights that a network begins with, as a function of the seed alone.

Keras takes the seed of each initializer from Python's global generator when a layer is made. Any other thread may draw
from that too: an upload of the heartbeat does, for the boundary between its parts. So the same seeds are drawn here,
from a generator of the network's own.
"""

import random
from collections.abc import Collection

import keras
import numpy as np

from trainer.tensors import Arrays, Model

LARGEST_SEED = 10**9
KERNEL = "kernel"


def first_weights(network: Model, seed: int, known: Collection[str] = ()) -> Arrays:
    """The kernels of a network by layer/variable, as Keras makes them after `keras.utils.set_random_seed(seed)` if
    nothing else draws numbers meanwhile: float32, uniform (Glorot and Bengio 2010). What is not listed begins constant.

    Args:
        network: its layers in the order in which they were made.
        seed: the run's.
        known: names of kernels that come from elsewhere, and are left out.

    Raises:
        ValueError: a layer wants another kind of first weights.
    """
    draw = random.Random(seed)
    found: dict[str, np.ndarray] = {}
    for layer in network.layers:
        for variable in layer.weights:
            if variable.name != KERNEL:
                continue
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            wanted = layer.depthwise_initializer if depthwise else layer.kernel_initializer
            if not isinstance(wanted, keras.initializers.GlorotUniform):
                raise ValueError(f"{layer.name} wants {type(wanted).__name__} for its kernel")
            initializer = keras.initializers.GlorotUniform(draw.randint(1, LARGEST_SEED))
            name = f"{layer.name}/{variable.name}"
            if name not in known:
                found[name] = np.asarray(initializer(variable.shape, "float32"))
    return found

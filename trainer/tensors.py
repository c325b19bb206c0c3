"""Names for TensorFlow and Keras objects in signatures, with dtype and shape where they are fixed.

mypy sees all of them as Any: TensorFlow has no complete types, and following its sources takes minutes. The names are
for readers; nothing checks them.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy.typing as npt

Tensor: TypeAlias = Any  # any dtype and shape; in Keras's functional API the symbolic ones too
Scalar: TypeAlias = Tensor  # float32 []
Integer: TypeAlias = Tensor  # int64 []
Flag: TypeAlias = Tensor  # bool []
Vector: TypeAlias = Tensor  # float32 [n]
Logits: TypeAlias = Tensor  # float32 [n, 1 or classes]
Labels: TypeAlias = Tensor  # int32 [n]

# A variable, or the mirrored copies of one. In the functions that `extended.update` calls: the copy of one replica.
Variable: TypeAlias = Any
PerReplica: TypeAlias = Any  # one value per replica of this worker; with one replica in total, the value itself

Operation: TypeAlias = Any  # tf.Operation, on which others can depend
Layer: TypeAlias = Any  # keras.layers.Layer
Model: TypeAlias = Any  # keras.Model
Optimizer: TypeAlias = Any  # keras.optimizers.Optimizer
Strategy: TypeAlias = Any  # tf.distribute.Strategy
PhysicalDevice: TypeAlias = Any  # tf.config.PhysicalDevice

Array: TypeAlias = npt.NDArray[Any]  # on the host

# By name.
Variables: TypeAlias = Mapping[str, Variable]
Tensors: TypeAlias = Mapping[str, Tensor]  # arrays too, where the consumer calls np.asarray on each
Arrays: TypeAlias = Mapping[str, Array]

"""EfficientNet-Lite as a Keras network. Padding is TensorFlow's SAME, with which the published weights were trained."""

from keras import layers

from trainer.backbones.efficientnet_lite import EPSILON, HEAD, STEM, Block, Variant, blocks
from trainer.tensors import Tensor


def efficientnet_lite(pixels: Tensor, variant: Variant) -> Tensor:
    """Features float32 [n, 1280] of pixels [n, size, size, 3], 0 to 255.

    The batch normalisations are frozen: small batches would only make their statistics worse, and padded rows wrong.
    """
    x = layers.Rescaling(1 / 128, offset=-127 / 128, dtype="float32", name="rescale")(pixels)
    x = _convolved(x, STEM, 3, 2, "stem")
    for number, block in enumerate(blocks(variant)):
        x = _block(x, block, f"block{number}")
    x = _convolved(x, HEAD, 1, 1, "head")
    return layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)


def _block(inputs: Tensor, block: Block, name: str) -> Tensor:
    x = inputs
    if block.expansion != 1:
        x = _convolved(x, block.inputs * block.expansion, 1, 1, f"{name}_expand")
    depthwise = layers.DepthwiseConv2D(
        block.kernel, block.stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )
    x = _normalised(depthwise(x), f"{name}_depthwise")
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    project = layers.Conv2D(block.filters, 1, padding="same", use_bias=False, name=f"{name}_project")
    x = _normalised(project(x), f"{name}_project")
    if block.stride == 1 and block.inputs == block.filters:
        return layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _convolved(x: Tensor, filters: int, kernel: int, stride: int, name: str) -> Tensor:
    x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=name)(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(_normalised(x, name))


def _normalised(x: Tensor, name: str) -> Tensor:
    # Not `training=False` in the call: a functional model that is called with training=True overrides it.
    return layers.BatchNormalization(epsilon=EPSILON, trainable=False, name=f"{name}_norm")(x)

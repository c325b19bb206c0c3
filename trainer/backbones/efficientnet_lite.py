"""EfficientNet-Lite 0 to 2: what the networks are made of, their tensors, and how the PyTorch port names them. Pure.

EfficientNet (Tan and Le, 2019, arXiv:1905.11946) for devices without squeeze-excite and swish. Widths and depths are
those of TensorFlow's `efficientnet/lite`: the stem (32 filters), the head (1,280) and the repeats of the first and the
last stage are not scaled.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from trainer.backbones.torch_legacy import NotWeights
from trainer.tensors import Array

STEM, HEAD = 32, 1280
EPSILON = 1e-3
"""Of the batch normalisations that the published weights come from."""


@dataclass(frozen=True)
class Variant:
    """How a network of the family differs from the smallest."""

    width: float
    depth: float
    size: int  # side of the pictures that it was trained on, in pixels


VARIANTS = {
    "efficientnet-lite0": Variant(1.0, 1.0, 224),
    "efficientnet-lite1": Variant(1.0, 1.1, 240),
    "efficientnet-lite2": Variant(1.1, 1.2, 260),
}


@dataclass(frozen=True)
class Block:
    """An inverted residual: expand by 1x1, convolve each channel, project by 1x1."""

    kernel: int
    stride: int
    expansion: int
    inputs: int
    filters: int


# Repeats, and the first block of each stage; the others have stride 1 and as many inputs as filters.
_STAGES = (
    (1, Block(3, 1, 1, 32, 16)),
    (2, Block(3, 2, 6, 16, 24)),
    (2, Block(5, 2, 6, 24, 40)),
    (3, Block(3, 2, 6, 40, 80)),
    (3, Block(5, 1, 6, 80, 112)),
    (4, Block(5, 2, 6, 112, 192)),
    (1, Block(3, 1, 6, 192, 320)),
)


def blocks(variant: Variant) -> Iterator[Block]:
    """The blocks of a network, from the stem to the head."""
    for number, (repeats, first) in enumerate(_STAGES):
        ends = number in (0, len(_STAGES) - 1)
        count = repeats if ends else math.ceil(repeats * variant.depth)
        inputs = STEM if number == 0 else _rounded(first.inputs * variant.width)
        filters = _rounded(first.filters * variant.width)
        yield Block(first.kernel, first.stride, first.expansion, inputs, filters)
        for _ in range(count - 1):
            yield Block(first.kernel, 1, first.expansion, filters, filters)


def parts(variant: Variant) -> tuple[str, ...]:
    """The names of a network's parts, from the stem to the head; a layer's name begins with that of its part."""
    return ("stem", *(f"block{number}" for number, _ in enumerate(blocks(variant))), "head")


def _rounded(filters: float) -> int:
    """To a multiple of 8 that is not more than a tenth smaller, as the paper's code does."""
    near = max(8, int(filters + 4) // 8 * 8)
    return near + 8 if near < 0.9 * filters else near


_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_IN_BLOCK = {"_expand_conv": "expand", "_depthwise_conv": "depthwise", "_project_conv": "project"}
_NORM_IN_BLOCK = {"_bn0": "expand", "_bn1": "depthwise", "_bn2": "project"}
_TOP = {"_conv_stem": "stem", "_conv_head": "head"}
_NORM_ON_TOP = {"_bn0": "stem", "_bn1": "head"}
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")
UNUSED = ("num_batches_tracked",)  # of training
CLASSIFIER = ("_fc.weight", "_fc.bias")
"""The layer for the 1,000 classes of ImageNet: weight [1000, 1280] and bias."""


def shapes(variant: Variant) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of the network, by layer/variable."""
    made: dict[str, tuple[int, ...]] = {}

    def add(name: str, kernel: tuple[int, ...], channels: int) -> None:
        made[f"{name}/kernel"] = kernel
        made.update({f"{name}_norm/{variable}": (channels,) for variable in _NORM.values()})

    add("stem", (3, 3, 3, STEM), STEM)
    filters = STEM
    for number, block in enumerate(blocks(variant)):
        name, wide = f"block{number}", block.inputs * block.expansion
        if block.expansion != 1:
            add(f"{name}_expand", (1, 1, block.inputs, wide), wide)
        add(f"{name}_depthwise", (block.kernel, block.kernel, wide, 1), wide)
        add(f"{name}_project", (1, 1, wide, block.filters), block.filters)
        filters = block.filters
    add("head", (1, 1, filters, HEAD), HEAD)
    return made


def renamed(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The backbone's tensors by layer/variable, kernels in TensorFlow's order (height, width, in, out).

    Raises:
        NotWeights: a tensor has a name or rank that this family does not have.
    """
    return {
        _name(name): _turned(name, tensor)
        for name, tensor in tensors.items()
        if name not in CLASSIFIER and not name.endswith(UNUSED)
    }


def _name(name: str) -> str:
    block = _BLOCK.fullmatch(name)
    part, _, kind = name.partition(".")
    where = ""
    convolutions, norms = _TOP, _NORM_ON_TOP
    if block:
        number, part, kind = block.groups()
        where, convolutions, norms = f"block{number}_", _IN_BLOCK, _NORM_IN_BLOCK
    if part in convolutions and kind == "weight":
        return f"{where}{convolutions[part]}/kernel"
    if part in norms and kind in _NORM:
        return f"{where}{norms[part]}_norm/{_NORM[kind]}"
    raise NotWeights(f"{name!r} is no tensor of EfficientNet-Lite")


def _turned(name: str, tensor: Array) -> Array:
    """Kernels: PyTorch has (out, in, height, width), of depthwise ones (channels, 1, height, width)."""
    if tensor.ndim == 1:
        return tensor
    if tensor.ndim != 4:
        raise NotWeights(f"{name!r} has shape {tensor.shape}, which no tensor of EfficientNet-Lite has")
    order = (2, 3, 0, 1) if "_depthwise_conv" in name else (2, 3, 1, 0)
    return np.ascontiguousarray(tensor.transpose(order))

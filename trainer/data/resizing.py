"""How a decoded picture becomes a square: squashed, cropped or padded. Graph functions, usable inside a SavedModel too.

Sides and places are whole numbers computed from the picture's own sides, so they are the same everywhere. What is left
over after halving an odd number is on the right and at the bottom.
"""

import tensorflow as tf

from trainer.config import CROP, PAD
from trainer.data.limits import MAX_PIXELS
from trainer.tensors import Flag, Integer, Tensor

GREY = 127
"""What a padded picture is padded with: about the mean of pictures, from which networks measure their inputs."""

_MOST_BETWEEN = MAX_PIXELS // 16
"""Pixels that antialiasing may keep between its two passes, as floats: 48 MB."""


def to_square(picture: Tensor, size: int, resize: str, antialias: bool) -> Tensor:
    """uint8 [height, width, 3], neither side 0 → uint8 [size, size, 3], bilinear and rounded."""
    if resize == CROP:
        picture = _centre(picture)
    if resize == PAD:
        inner = tf.cast(inner_sides(_sides(picture), size), tf.int32)
        return _padded(_scaled(picture, inner, antialias), size)
    return _scaled(picture, [size, size], antialias)


def inner_sides(sides: Integer, size: int) -> Integer:
    """Height and width in a square of `size`: the longer one fills it, the other is rounded half up, and at least 1."""
    longer = tf.reduce_max(sides)
    return tf.maximum((2 * size * sides + longer) // (2 * longer), 1)


def _sides(picture: Tensor) -> Integer:
    return tf.shape(picture, tf.int64)[:2]


def _centre(picture: Tensor) -> Tensor:
    """The largest square, cut out before anything is scaled: a long picture would be scaled to one much longer."""
    sides = _sides(picture)
    side = tf.reduce_min(sides)
    top, left = tf.unstack((sides - side) // 2)
    return picture[top : top + side, left : left + side]


def _padded(picture: Tensor, size: int) -> Tensor:
    room = size - _sides(picture)
    before = room // 2
    places = tf.stack([before, room - before], axis=1)
    padded = tf.pad(picture, tf.concat([places, [[0, 0]]], axis=0), constant_values=tf.constant(GREY, tf.uint8))
    return tf.ensure_shape(padded, [size, size, 3])


def _scaled(picture: Tensor, sides: Tensor | list[int], antialias: bool) -> Tensor:
    if not antialias:
        resized = tf.image.resize(picture, sides, method="bilinear")
    else:
        across = _is_better_across(_sides(picture), tf.cast(sides, tf.int64))
        resized = tf.cond(across, lambda: _smoothed_across(picture, sides), lambda: _smoothed(picture, sides))
    return tf.cast(tf.round(resized), tf.uint8)


def _is_better_across(before: Integer, after: Integer) -> Flag:
    """Whether the columns should be shrunk first.

    TensorFlow shrinks the rows first and keeps the result at the full width: of a picture of 64 by a million pixels
    that would be 2.7 GB at size 224. The other way round it is no more than the picture itself.
    """
    kept, kept_across = after[0] * before[1], after[1] * before[0]
    return (kept > _MOST_BETWEEN) & (kept_across < kept)


def _smoothed(picture: Tensor, sides: Tensor | list[int]) -> Tensor:
    return tf.image.resize(picture, sides, method="bilinear", antialias=True)


def _smoothed_across(picture: Tensor, sides: Tensor | list[int]) -> Tensor:
    turned = _smoothed(tf.transpose(picture, [1, 0, 2]), tf.reverse(sides, [0]))
    return tf.transpose(turned, [1, 0, 2])

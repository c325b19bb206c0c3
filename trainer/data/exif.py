"""How a picture is to be turned: Exif's orientation, read and applied in the graph.

Exif is a TIFF file inside the JPEG: a header with the byte order and the place of the first directory (IFD0), which has
entries of twelve bytes: tag, type, count, value. Anything malformed counts as 1, "as it is stored".
"""

import tensorflow as tf

from trainer.tensors import Integer, Tensor

LARGEST_SEGMENT = 65_536
"""Bytes: the length of a JPEG segment is a number of 16 bits."""

_ORIENTATION = 0x0112
_ENTRY = 12
_TWO_BYTES, _FOUR_BYTES = (3, 8), (4, 9)
"""TIFF's types of whole numbers, without a sign and with one. The tag should be a SHORT (3); others are met."""


def orientation(tiff: Tensor) -> Integer:
    """Exif's orientation, 1 to 8; 1 where there is none.

    Args:
        tiff: string scalar, what follows `Exif\\0\\0` in the segment; may be cut off or be anything.
    """
    data = tf.cast(tf.io.decode_raw(tf.strings.substr(tiff, 0, LARGEST_SEGMENT), tf.uint8), tf.int64)
    size = tf.size(data, tf.int64)
    header = _padded(data[:8], 8)
    little = tf.reduce_all(header[:2] == tf.constant([0x49, 0x49], tf.int64))
    big = tf.reduce_all(header[:2] == tf.constant([0x4D, 0x4D], tf.int64))
    magic = tf.reduce_all(tf.sort(header[2:4]) == tf.constant([0, 42], tf.int64))  # some swap these two alone
    known = tf.logical_and(tf.logical_or(little, big), magic)
    start = tf.minimum(_number(header[4:8], little), size)
    count = _padded(data[start : start + 2], 2)
    whole = tf.maximum(size - start - 2, 0) // _ENTRY  # entries that are not cut off
    entries = tf.where(known, tf.minimum(_number(count, little), whole), 0)
    table = tf.reshape(data[start + 2 : start + 2 + entries * _ENTRY], [-1, _ENTRY])
    found = tf.boolean_mask(table, _number(table[:, :2], little) == _ORIENTATION)
    return tf.cond(tf.shape(found)[0] == 1, lambda: _value(found[0], little), lambda: tf.constant(1, tf.int64))


def _value(entry: Tensor, little: Tensor) -> Integer:
    kind, count = _number(entry[2:4], little), _number(entry[4:8], little)
    two = tf.reduce_any(kind == tf.constant(_TWO_BYTES, tf.int64))
    four = tf.reduce_any(kind == tf.constant(_FOUR_BYTES, tf.int64))
    value = tf.where(two, _number(entry[8:10], little), _number(entry[8:12], little))
    valid = (count == 1) & (two | four) & (value >= 1) & (value <= 8)
    return tf.where(valid, value, 1)


def _padded(octets: Tensor, count: int) -> Tensor:
    """With zeros where the file is over."""
    return tf.ensure_shape(tf.pad(octets, [[0, count - tf.size(octets)]]), [count])


def _number(octets: Tensor, little: Tensor) -> Integer:
    """The numbers that the last axis, of two or four bytes, writes: int64 [..., 2 or 4] → int64 [...]."""
    width = octets.shape[-1]
    powers = [256**i for i in range(width)]
    weights = tf.where(little, tf.constant(powers, tf.int64), tf.constant(powers[::-1], tf.int64))
    return tf.reduce_sum(octets * weights, axis=-1)


def turn(picture: Tensor, orientation: Integer) -> Tensor:
    """The picture upright: uint8 [h, w, 3] → uint8 [h or w, w or h, 3]."""

    def among(*values: int) -> Tensor:
        return tf.reduce_any(orientation == tf.constant(values, tf.int64))

    upright = tf.cond(orientation >= 5, lambda: tf.transpose(picture, [1, 0, 2]), lambda: picture)
    upright = tf.ensure_shape(upright, [None, None, 3])
    axes = tf.boolean_mask([0, 1], tf.stack([among(3, 4, 7, 8), among(2, 3, 6, 7)]))
    return tf.cond(orientation > 1, lambda: tf.reverse(upright, axes), lambda: upright)

"""Turns encoded bytes into pixels, the same way for training, evaluate, predict and the exported model.

JPEG or PNG of any size → uint8 [size, size, 3], resized bilinearly without keeping the aspect ratio (as
image_dataset_from_directory does by default) and rounded. The header is read first, and a picture that claims more than
`MAX_PIXELS` is refused before it is decoded: a PNG of 1 MB can expand to gigabytes. EXIF rotation is not applied.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.tensors import Integer, Operation, Tensor

MAX_PIXELS = 64_000_000

Pixels = npt.NDArray[np.uint8]


def _big_endian(encoded: Tensor, at: int) -> Integer:
    four = tf.io.decode_raw(tf.strings.substr(encoded, at, 4), tf.uint8)
    return tf.tensordot(tf.cast(four, tf.int64), tf.constant([1 << 24, 1 << 16, 1 << 8, 1], tf.int64), 1)


def _decode_jpeg(encoded: Tensor) -> Tensor:
    shape = tf.cast(tf.io.extract_jpeg_shape(encoded), tf.int64)
    with tf.control_dependencies([_within_limit(shape[0], shape[1])]):
        return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def _decode_png(encoded: Tensor) -> Tensor:
    complete = tf.debugging.assert_greater_equal(tf.strings.length(encoded), 33, "a PNG without a header")
    with tf.control_dependencies([complete] if complete is not None else []):
        limit = _within_limit(_big_endian(encoded, 20), _big_endian(encoded, 16))
    with tf.control_dependencies([limit]):
        return tf.io.decode_png(encoded, channels=3)


def _within_limit(height: Integer, width: Integer) -> Operation:
    # Division, because the product of two 32-bit sides can overflow.
    fits = tf.logical_and(height > 0, tf.logical_and(width > 0, width <= MAX_PIXELS // tf.maximum(height, 1)))
    return tf.debugging.Assert(fits, ["not between 1 and", MAX_PIXELS, "pixels: height", height, "width", width])


def _refuse(encoded: Tensor) -> Tensor:
    with tf.control_dependencies([tf.debugging.Assert(False, ["neither JPEG nor PNG"])]):
        return tf.zeros([1, 1, 3], tf.uint8)


def decode(encoded: Tensor, size: int) -> Tensor:
    """Decode one picture: string scalar → uint8 [size, size, 3]. A graph function, usable inside a SavedModel too.

    Raises:
        tf.errors.InvalidArgumentError: not a JPEG or PNG, damaged, or too large.
    """
    start = tf.strings.substr(encoded, 0, 8)
    is_jpeg = tf.strings.substr(start, 0, 3) == b"\xff\xd8\xff"
    is_png = start == b"\x89PNG\r\n\x1a\n"
    picture = tf.cond(
        is_jpeg,
        lambda: _decode_jpeg(encoded),
        lambda: tf.cond(is_png, lambda: _decode_png(encoded), lambda: _refuse(encoded)),
    )
    picture = tf.ensure_shape(picture, [None, None, 3])
    resized = tf.image.resize(picture, [size, size], method="bilinear")
    return tf.cast(tf.round(resized), tf.uint8)


@cache
def decoder(size: int) -> Callable[[Tensor], Tensor]:
    """`decode` for one size, traced once: bytes → uint8 tensor [size, size, 3]."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode_one(encoded: Tensor) -> Tensor:
        with tf.device("/cpu:0"):
            return decode(encoded, size)

    return decode_one


def pixels(encoded: bytes, size: int) -> Pixels:
    """Decode one picture on the CPU: uint8 [size, size, 3].

    Raises:
        ValueError: why it cannot be used, in one line.
    """
    try:
        return np.asarray(decoder(size)(tf.constant(encoded)).numpy(), np.uint8)
    except tf.errors.OpError as error:
        raise ValueError(_reason(error.message)) from error


def _reason(message: str) -> str:
    """The readable part of TensorFlow's message: its last line, after the source locations."""
    if "neither JPEG nor PNG" in message:
        return "neither a JPEG nor a PNG"
    if "not between 1 and" in message:
        return f"not between 1 and {MAX_PIXELS:,} pixels (refused before decoding)"
    if "a PNG without a header" in message:
        return "no complete header"
    lines = [line.strip() for line in message.split("[[{{")[0].splitlines() if line.strip()]
    return "damaged: " + lines[-1].rstrip(".")[:160]

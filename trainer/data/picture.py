"""Checks one encoded picture as training would see it, and measures it."""

import struct

import tensorflow as tf

from trainer.config import NEWEST_PIXEL_PATH
from trainer.data.decode import PixelPath, pixels
from trainer.data.jpeg import exif_orientation
from trainer.tensors import Integer, Tensor

CHECKED = PixelPath(NEWEST_PIXEL_PATH, 16)
"""How a checked picture is decoded; whether it can be does not depend on the size."""


def check(encoded: bytes) -> tuple[int, int]:
    """Width and height in pixels of a picture that training can use: it is decoded in full.

    Raises:
        ValueError: why it cannot be used, in a few words, as for `trainer.data.decode.pixels`.
    """
    pixels(encoded, CHECKED)
    return measure(encoded)


def measure(encoded: bytes) -> tuple[int, int]:
    """Width and height in pixels from the header of a JPEG or PNG; (0, 0) if the header cannot be read."""
    if encoded.startswith(b"\x89PNG"):
        width, height = struct.unpack(">II", encoded[16:24].ljust(8, b"\0"))
        return width, height
    try:
        height, width, _ = tf.io.extract_jpeg_shape(encoded).numpy()
    except tf.errors.InvalidArgumentError:
        return 0, 0
    return int(width), int(height)


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _orientation(encoded: Tensor) -> Integer:
    with tf.device("/cpu:0"):
        return exif_orientation(encoded)


def is_turned(encoded: bytes) -> bool:
    """Whether training turns or mirrors a picture, because its Exif says so."""
    return b"Exif\0\0" in encoded and int(_orientation(tf.constant(encoded)).numpy()) > 1

"""Checks one encoded picture as training would see it, and measures it."""

import struct

import tensorflow as tf

from trainer.data.decode import pixels

CHECK_SIZE = 16
"""Side in pixels that a checked picture is resized to; whether it can be decoded does not depend on it."""


def check(encoded: bytes) -> tuple[int, int]:
    """Width and height in pixels of a picture that training can use: it is decoded in full.

    Raises:
        ValueError: why it cannot be used, in a few words, as for `trainer.data.decode.pixels`.
    """
    pixels(encoded, CHECK_SIZE)
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

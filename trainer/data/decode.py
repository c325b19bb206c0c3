"""Turns encoded bytes into pixels, the same way for training, evaluate, predict and the exported model.

JPEG or PNG of any size → uint8 [size, size, 3], resized bilinearly, by default without keeping the aspect ratio (as
image_dataset_from_directory does), and rounded. The header is read first, and a picture that claims more than
`MAX_PIXELS` is refused before it is decoded: a PNG of 1 MB can expand to gigabytes.

Different pixels mean different training, so the path is versioned, and a run keeps its version:

1. A JPEG is decoded as it is stored, whatever its Exif says, up to `MAX_PIXELS`.
2. A JPEG is turned upright by its Exif before it is resized; above `MAX_PIXELS` it is scaled down while it is decoded.

`trainer.data.resizing` makes the decoded picture a square. It goes by the sides that it gets: upright, and scaled down.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.config import NEWEST_PIXEL_PATH, RESIZES, SQUASH, RunConfig
from trainer.data import jpeg
from trainer.data.limits import LARGEST_PICTURE, MAX_PIXELS, MAX_SCALED_PIXELS, MAX_SCANS, TOO_LARGE
from trainer.data.resizing import to_square
from trainer.tensors import Integer, Operation, Tensor
from trainer.words import mebibytes

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PixelPath:
    """All that a picture's pixels depend on besides its bytes.

    Attributes:
        version: of the decoding, as above.
        size: side of the result in pixels.
        resize: how a picture becomes a square: "squash" changes its aspect ratio, "crop" and "pad" keep it.
        antialias: whether a picture is smoothed as it is made smaller.
    """

    version: int
    size: int
    resize: str = SQUASH
    antialias: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.version <= NEWEST_PIXEL_PATH or self.resize not in RESIZES:
            raise ValueError(f"{self}: not known to this version of catdog")


def path_of(config: RunConfig) -> PixelPath:
    """The way of a run."""
    return PixelPath(config.pixel_path, config.image_size, config.resize, config.antialias)


def _big_endian(encoded: Tensor, at: int) -> Integer:
    four = tf.io.decode_raw(tf.strings.substr(encoded, at, 4), tf.uint8)
    return tf.tensordot(tf.cast(four, tf.int64), tf.constant([1 << 24, 1 << 16, 1 << 8, 1], tf.int64), 1)


def _decode_jpeg_as_stored(encoded: Tensor) -> Tensor:
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


def decode(encoded: Tensor, path: PixelPath) -> Tensor:
    """Decode one picture: string scalar → uint8 [size, size, 3]. A graph function, usable inside a SavedModel too.

    Raises:
        tf.errors.InvalidArgumentError: not a JPEG or PNG, damaged, or too large.
    """
    decode_jpeg = _decode_jpeg_as_stored if path.version == 1 else jpeg.decode_upright
    start = tf.strings.substr(encoded, 0, 8)
    is_jpeg = tf.strings.substr(start, 0, 3) == b"\xff\xd8\xff"
    is_png = start == b"\x89PNG\r\n\x1a\n"
    picture = tf.cond(
        is_jpeg,
        lambda: decode_jpeg(encoded),
        lambda: tf.cond(is_png, lambda: _decode_png(encoded), lambda: _refuse(encoded)),
    )
    picture = tf.ensure_shape(picture, [None, None, 3])
    return to_square(picture, path.size, path.resize, path.antialias)


@cache
def decoder(path: PixelPath) -> Callable[[Tensor], Tensor]:
    """`decode` for one path, traced once: bytes → uint8 tensor [size, size, 3]."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode_one(encoded: Tensor) -> Tensor:
        with tf.device("/cpu:0"):
            return decode(encoded, path)

    return decode_one.get_concrete_function()  # calling it spares a tenth of a picture's time


def pixels(encoded: bytes, path: PixelPath) -> Pixels:
    """Decode one picture on the CPU: uint8 [size, size, 3].

    Raises:
        ValueError: why it cannot be used, in one line.
    """
    if fault := too_large(len(encoded)):
        raise ValueError(fault)
    try:
        return np.asarray(decoder(path)(tf.constant(encoded)).numpy(), np.uint8)
    except tf.errors.OpError as error:
        raise ValueError(_reason(error.message)) from error


def too_large(size: int) -> str:
    """Why a picture of so many bytes is not even read; empty when it is."""
    return f"{TOO_LARGE} {mebibytes(LARGEST_PICTURE)}" if size > LARGEST_PICTURE else ""


_REASONS = {
    "neither JPEG nor PNG": "neither a JPEG nor a PNG",
    "not between 1 and": f"not between 1 and {MAX_PIXELS:,} pixels (refused before decoding)",
    "a PNG without a header": "no complete header",
    jpeg.SEVERAL_SCANS: f"a progressive JPEG of more than {MAX_PIXELS:,} pixels (refused before decoding)",
    jpeg.TOO_MANY_SCANS: f"a progressive JPEG of more than {MAX_SCANS} scans (refused before decoding)",
    jpeg.TOO_LARGE: f"a JPEG of more than {MAX_SCALED_PIXELS:,} pixels (refused before decoding)",
}


def _reason(message: str) -> str:
    """The readable part of TensorFlow's message: its last line, after the source locations."""
    for part, words in _REASONS.items():
        if part in message:
            return words
    lines = [line.strip() for line in message.split("[[{{")[0].splitlines() if line.strip()]
    return "damaged: " + lines[-1].rstrip(".")[:160]

"""Randomness of layers that does not depend on how many replicas there are.

A random layer's numbers are a function of (seed, step, layer name, row of the global batch). Each replica draws only
its rows: its Philox counter starts where a draw for the whole global batch would be at the first of them.
"""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import keras
import tensorflow as tf

from trainer.tensors import Integer, Tensor

PHILOX = 1
_NUMBERS_PER_COUNT = 4  # Philox-4x32 makes four 32-bit numbers for each value of its counter


@dataclass(frozen=True)
class Draw:
    """The position of a batch: run seed, step, and index of its first row in the global batch."""

    seed: int
    step: Integer
    first_row: Integer


# Keras calls layers with tensors only; a trace runs on one thread, and each replica on its own, so this reaches the
# right layers.
_draw: ContextVar[Draw | None] = ContextVar("draw", default=None)


@contextmanager
def drawing(draw: Draw) -> Iterator[None]:
    """Random layers called inside use this seed, step and row."""
    token = _draw.set(draw)
    try:
        yield
    finally:
        _draw.reset(token)


def layer_key(seed: int, name: str) -> int:
    """63 bits from a run's seed and a layer's name."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "little") >> 1


def uniform_rows(draw: Draw, name: str, rows: int, width: int) -> Tensor:
    """Uniform numbers in [0, 1), float32 [rows, width], for the rows from draw.first_row on."""
    counts = math.ceil(width / _NUMBERS_PER_COUNT)
    start = tf.cast(draw.first_row, tf.uint64) * tf.constant(counts, tf.uint64)
    # Counter: 128 bits, the low half counts numbers, the high half is the step, so that no two draws overlap.
    counter = tf.stack([start, tf.cast(draw.step, tf.uint64)])
    key = tf.constant([layer_key(draw.seed, name)], tf.uint64)
    shape = [rows, counts * _NUMBERS_PER_COUNT]
    drawn = tf.raw_ops.StatelessRandomUniformV2(shape=shape, key=key, counter=counter, alg=PHILOX, dtype=tf.float32)
    return drawn[:, :width]


class RowDropout(keras.layers.Layer):
    """Dropout (Srivastava et al. 2014) whose mask does not depend on the number of replicas.

    Outside `drawing`, or with training=False, it returns its input. It has no variables, and the exported network has
    keras.layers.Dropout in its place.
    """

    def __init__(self, rate: float, name: str, dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.rate = rate

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Inputs [rows, …] of a fixed shape → the same shape and dtype."""
        draw = _draw.get()
        if not training or self.rate == 0 or draw is None:
            return inputs
        rows, features = inputs.shape[0], inputs.shape[1:]
        drawn = uniform_rows(draw, self.name, rows, math.prod(features))
        keep = tf.cast(tf.reshape(drawn, (rows, *features)) >= self.rate, inputs.dtype)
        return inputs * keep * tf.cast(1 / (1 - self.rate), inputs.dtype)

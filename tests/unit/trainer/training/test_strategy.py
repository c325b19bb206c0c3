"""What is set up before the first op."""

import tensorflow as tf

from trainer.process.container import peak_memory, resident_memory
from trainer.training.strategy import MOST_RESERVED, Devices, reserve


def test_reserved_addresses_take_little_memory_and_serve_what_is_computed_later() -> None:
    tf.zeros([1]).numpy()
    before = resident_memory()
    reserve(Devices("CPU", ("/cpu:0",)))
    assert resident_memory() - before < MOST_RESERVED / 16
    ones = tf.ones([48, 1 << 20], tf.uint8)
    assert int(tf.reduce_sum(tf.cast(ones[:, 0], tf.int32))) == 48
    assert peak_memory() >= resident_memory() - (1 << 20)


def test_nothing_is_reserved_beside_gpus() -> None:
    before = resident_memory()
    reserve(Devices("GPU", ("/gpu:0",)))
    assert resident_memory() - before < 1 << 20

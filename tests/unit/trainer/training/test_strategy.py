"""What is set up before the first step."""

import dataclasses

import pytest
import tensorflow as tf

from trainer.config import RunConfig
from trainer.process.container import resident_memory
from trainer.training.learner import build_learner, step_bytes
from trainer.training.strategy import Devices, reserve, set_precision

CPU = Devices("CPU", ("/cpu:0",))


def test_reserved_addresses_take_little_memory() -> None:
    tf.zeros([1]).numpy()
    before = resident_memory()
    reserve(CPU, 512 << 20)
    assert resident_memory() - before < 40 << 20


@pytest.mark.parametrize(("devices", "size"), [(Devices("GPU", ("/gpu:0",)), 512 << 20), (CPU, 1 << 20)])
def test_nothing_is_reserved_beside_gpus_or_for_small_steps(devices: Devices, size: int) -> None:
    before = resident_memory()
    reserve(devices, size)
    assert resident_memory() - before < 1 << 20


def test_what_a_step_needs_goes_by_rows_and_precision() -> None:
    """The article's network at 180 pixels: its ten largest outputs by hand, 298 MiB in float32 for 32 pictures."""
    config, strategy = RunConfig(model="article", image_size=180), tf.distribute.OneDeviceStrategy("/cpu:0")
    full = step_bytes(build_learner(config, 2, strategy), 32)
    assert full == pytest.approx(2 * 298 * 2**20, rel=0.02)
    assert step_bytes(build_learner(config, 2, strategy), 64) == 2 * full
    set_precision("mixed_bfloat16")
    try:
        half = step_bytes(build_learner(dataclasses.replace(config, precision="mixed_bfloat16"), 2, strategy), 32)
    finally:
        set_precision("float32")
    assert 0.5 * full < half < 0.6 * full

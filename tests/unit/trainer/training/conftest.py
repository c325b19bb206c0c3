"""Each test process is configured once, as `--deterministic` with four logical CPU devices is."""

import pytest
import tensorflow as tf

from trainer.config import RunConfig
from trainer.strategy import configure


@pytest.fixture(scope="session", autouse=True)
def _four_exact_cpus() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    if tf.config.get_logical_device_configuration(cpu) is None:
        configure(RunConfig(deterministic=True, devices=4))

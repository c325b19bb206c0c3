"""Input of the second epoch, before augmentation: catdog's feeds against image_dataset_from_directory.

    python -m benchmarks.second_epoch [--data DIR]

Batches of 32 pictures of 180x180, shuffled, as the training step gets them. Keras's pipeline follows its guide,
with prefetch; it decodes again in each epoch. The variant with cache() is measured too.
"""

import argparse
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from benchmarks.machine import describe
from trainer.config import NEWEST_PIXEL_PATH
from trainer.data import cache
from trainer.data.augment import Augmentation
from trainer.data.decode import PixelPath
from trainer.data.demo import DemoSize, write_demo
from trainer.data.order import Layout, Schedule, global_order
from trainer.data.pipeline import prefetched, training_feeds
from trainer.data.source import open_source
from trainer.process.container import processors

SIZE, BATCH, REPEATS = 180, 32, 3


def _keras_rate(data: str, cached: bool) -> float:
    dataset = keras.utils.image_dataset_from_directory(
        os.path.join(data, "train"), image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False
    )
    dataset = (dataset.cache() if cached else dataset).prefetch(tf.data.AUTOTUNE)
    rates = []
    for epoch in range(REPEATS + 1):
        began, count = time.monotonic(), 0
        for pixels, _ in dataset:
            count += int(pixels.shape[0])
        if epoch:
            rates.append(count / (time.monotonic() - began))
    return sorted(rates)[REPEATS // 2]


def _catdog_rate(data: str) -> float:
    source = open_source(data)
    filled = cache.fill(
        source.data.splits["train"], source.read, PixelPath(NEWEST_PIXEL_PATH, SIZE), 1 << 34, None, processors()
    )
    schedule, layout = Schedule(len(filled), BATCH), Layout(BATCH, 1, 1)
    per_epoch, rates = schedule.steps_per_epoch, []
    for epoch in range(1, REPEATS + 1):
        feeds = training_feeds(
            filled,
            schedule,
            layout,
            range(1),
            Augmentation(False, 0.0, 0.0),
            0,
            epoch * per_epoch,
            (epoch + 1) * per_epoch,
            partial(global_order, 0, len(filled)),
        )
        began = time.monotonic()
        count = sum(int(feed.weights.sum()) for (feed,) in prefetched(feeds))
        rates.append(count / (time.monotonic() - began))
    return sorted(rates)[REPEATS // 2]


def measure(data: str) -> dict[str, Any]:
    """Median pictures per second in the second and later epochs."""
    rates = {
        "image_dataset_from_directory": _keras_rate(data, False),
        "image_dataset_from_directory + cache()": _keras_rate(data, True),
        "catdog": _catdog_rate(data),
    }
    base = rates["image_dataset_from_directory"]
    return {
        "benchmark": "second_epoch",
        "pictures_per_second": {name: round(rate) for name, rate in rates.items()},
        "times_default": {name: round(rate / base, 1) for name, rate in rates.items()},
        "machine": describe(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("CATDOG_TEST_DATA", ""))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        named = asked.data or str(write_demo(Path(folder) / "demo", size=DemoSize(1000, 1, 1)))
        print(json.dumps(measure(named), indent=1))

"""Input of the second epoch, before augmentation: catdog's feeds against image_dataset_from_directory.

    python -m benchmarks.second_epoch [--data DIR]

Batches of 32 pictures of 180x180, shuffled, as the training step gets them. Keras's pipeline follows its guide,
with prefetch; it decodes again in each epoch. The variant with cache() is measured too.
"""

import itertools
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

from benchmarks import table
from benchmarks.table import Figure, Result
from trainer.config import NEWEST_PIXEL_PATH
from trainer.data import cache
from trainer.data.augment import Augmentation
from trainer.data.decode import PixelPath
from trainer.data.demo import DemoSize, write_demo
from trainer.data.order import Layout, Schedule, global_order
from trainer.data.pipeline import prefetched, training_feeds
from trainer.data.source import open_source
from trainer.process.container import processors

SIZE, BATCH = 180, 32


def _keras_epochs(data: str, cached: bool) -> Callable[[], float]:
    dataset = keras.utils.image_dataset_from_directory(
        os.path.join(data, "train"), image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False
    )
    dataset = (dataset.cache() if cached else dataset).prefetch(tf.data.AUTOTUNE)

    def epoch() -> float:
        began, count = time.monotonic(), 0
        for pixels, _ in dataset:
            count += int(pixels.shape[0])
        return count / (time.monotonic() - began)

    epoch()  # the first, which is not measured
    return epoch


def _catdog_epochs(data: str) -> Callable[[], float]:
    source = open_source(data)
    filled = cache.fill(
        source.data.splits["train"], source.read, PixelPath(NEWEST_PIXEL_PATH, SIZE), 1 << 34, None, processors()
    )
    schedule, layout = Schedule(len(filled), BATCH), Layout(BATCH, 1, 1)
    per_epoch, still = schedule.steps_per_epoch, Augmentation(False, 0.0, 0.0)
    number, order_of = itertools.count(1), partial(global_order, 0, len(filled))

    def epoch() -> float:
        first = next(number) * per_epoch
        feeds = training_feeds(filled, schedule, layout, range(1), still, 0, first, first + per_epoch, order_of)
        began = time.monotonic()
        count = sum(int(feed.weights.sum()) for (feed,) in prefetched(feeds))
        return count / (time.monotonic() - began)

    return epoch


def measure(data: str, rounds: int) -> Result:
    """Pictures per second in the second and later epochs."""
    samples = table.interleaved(
        {
            "default": _keras_epochs(data, False),
            "cached": _keras_epochs(data, True),
            "catdog": _catdog_epochs(data),
        },
        rounds,
    )
    middle = table.medians(samples)
    default = "image_dataset_from_directory"
    found = {
        "catdog": Figure("second epoch", "pictures/s", middle["catdog"], middle["default"], default),
        "cached": Figure(
            "second epoch, Keras with cache()", "pictures/s", middle["cached"], middle["default"], default
        ),
    }
    return Result("second_epoch", found, {"pictures_per_second": samples})


if __name__ == "__main__":
    parser = table.options(__doc__)
    parser.add_argument("--data", default=os.environ.get("CATDOG_TEST_DATA", ""), help="default: the drawn demo set")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        named = asked.data or str(write_demo(Path(folder) / "demo", size=DemoSize(1000, 1, 1)))
        table.publish(measure(named, asked.rounds), asked.out)

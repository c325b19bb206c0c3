"""How many pictures of 224 pixels a core makes ready for a step that does nothing: what GPUs must not wait for.

    python -m benchmarks.feeds [--data DIR]

"decoded" is what a run does whose pictures fit in memory: each batch is gathered from decoded pixels in its epoch's
order, its transforms are drawn, and it is handed to a consumer that throws it away. "encoded" is what a run does whose
pictures do not fit: a JPEG is decoded and resized. Both are pictures per second of CPU time, over all threads.
"""

import itertools
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks import table
from benchmarks.table import Figure, Result
from trainer.config import NEWEST_PIXEL_PATH
from trainer.data.cache import PixelCache
from trainer.data.decode import PixelPath, pixels
from trainer.data.demo import DemoSize, write_demo
from trainer.data.order import Layout, Schedule, global_order
from trainer.data.pipeline import prefetched, training_feeds
from trainer.data.source import open_source
from trainer.recipes import augmented
from trainer.training.step import augmentation_of

SIDE, BATCH, STEPS, PICTURES = 224, 256, 8, 1024


def decoded() -> Callable[[], float]:
    """Pictures per second of CPU time from decoded ones; each call goes on where the last one ended."""
    chance = np.random.default_rng(0)
    kept = chance.integers(0, 256, (PICTURES, SIDE, SIDE, 3), np.uint8)
    cache = PixelCache(kept, np.zeros(PICTURES, np.int32), np.ones(PICTURES, np.bool_), (), False)
    number, order_of = itertools.count(), partial(global_order, 0, PICTURES)
    augmentation = augmentation_of(augmented())

    def run() -> float:
        first = next(number) * STEPS
        schedule, layout = Schedule(PICTURES, BATCH), Layout(BATCH, 1, 1)
        feeds = training_feeds(cache, schedule, layout, range(1), augmentation, 0, first, first + STEPS, order_of)
        began = time.process_time()
        count = sum(len(feed.labels) for (feed,) in prefetched(feeds))
        return count / (time.process_time() - began)

    run()
    return run


def encoded(data: str) -> Callable[[], float]:
    """Pictures per second of CPU time from JPEGs in memory."""
    source = open_source(data)
    examples = source.data.splits["train"][:BATCH]
    contents = [content for _, content in source.read(examples)]
    path = PixelPath(NEWEST_PIXEL_PATH, SIDE)

    def run() -> float:
        began = time.process_time()
        for content in contents:
            pixels(content, path)
        return len(contents) / (time.process_time() - began)

    run()
    return run


def measure(data: str, rounds: int) -> Result:
    """Both ways, in turn."""
    samples = table.interleaved({"decoded": decoded(), "encoded": encoded(data)}, rounds)
    middle = table.medians(samples)
    words = {"decoded": "from decoded pictures, with transforms drawn", "encoded": "from JPEGs, decoded and resized"}
    found = {
        name: Figure(f"feeds of {SIDE} pixels into a null step, {words[name]}", "images/s a core", middle[name])
        for name in samples
    }
    return Result("feeds", found, {"side": SIDE, "batch": BATCH, "pictures_per_cpu_second": samples})


def of_data(data: str, rounds: int) -> Result:
    """`measure` on a data set, or the drawn one without."""
    with tempfile.TemporaryDirectory() as folder:
        return measure(data or str(write_demo(Path(folder) / "demo", size=DemoSize(BATCH // 2, 1, 1))), rounds)


if __name__ == "__main__":
    parser = table.options(__doc__)
    parser.add_argument("--data", default=os.environ.get("CATDOG_TEST_DATA", ""), help="default: the drawn demo set")
    asked = parser.parse_args()
    table.publish(of_data(asked.data, asked.rounds), asked.out)

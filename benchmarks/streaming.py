"""Training on shards in a bucket at 30 ms, read and decoded again each epoch, against the same decoded before.

    python -m benchmarks.streaming --data DIR [--rounds N]

A real server (fake-gcs-server) on loopback, behind a relay that adds the delay; nothing is kept on disk. Training is
`augmented` on some of the pictures, two epochs by `python -m trainer train`, of which the second counts: in the first,
both ways read and decode. The input alone, without a step, of all pictures is compared with tf.data reading the same
shards from the local disk, as TensorFlow's guide reads TFRecords: shuffled by a buffer of 1,000, decoded and resized on
all cores, in batches, with prefetch.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from benchmarks import table
from benchmarks.delay import delayed
from benchmarks.table import Figure, Result
from tests import runs
from tests.servers import fake_gcs_server
from trainer.data.augment import Augmentation
from trainer.data.blocks import BLOCK_BYTES, MOST_LANES, block_order, blocks_of
from trainer.data.decode import path_of
from trainer.data.order import Layout, Schedule
from trainer.data.pipeline import prefetched, training_feeds
from trainer.data.source import open_source
from trainer.data.stream import Limits, PictureStream
from trainer.process.container import processors

ROUND_TRIP = 0.03
BATCH, BUFFER = 32, 1000
AHEAD = 8
FEW = {"train": 256, "valid": 100, "test": 50}
LEAST = 0.9
"""Of the rate with decoded pictures."""


def measure(data: str, rounds: int) -> Result:
    """The rates of training, and of the input alone."""
    os.environ["NO_PROXY"] = "127.0.0.1"
    with fake_gcs_server() as server, tempfile.TemporaryDirectory() as folder:
        uri = f"{server.make_bucket('stream')}/packed"
        os.environ["STORAGE_EMULATOR_HOST"] = server.url
        few = f"{server.make_bucket('few')}/packed"
        packed = {uri: data, f"{folder}/packed": data, few: some_of(Path(data), Path(folder) / "few")}
        for target, pictures in packed.items():
            runs.verb("data-pack", {"data": str(pictures), "target": target})
        waits: dict[str, list[float]] = {"decoded": [], "stream": []}
        with delayed(server.url, ROUND_TRIP) as url:
            os.environ["STORAGE_EMULATOR_HOST"] = url
            trained = {mode: partial(_second_epoch, few, mode, Path(folder), told) for mode, told in waits.items()}
            found = table.interleaved(trained, rounds)
            input_ = table.interleaved(
                {"ours": _epochs_of(uri), "theirs": _epochs_of_tf_data(f"{folder}/packed")}, rounds
            )
    rates, waited, alone = (table.medians(told) for told in (found, waits, input_))
    figures = {
        "train": Figure(
            "training on shards in a bucket at 30 ms, --input stream --shuffle blocks",
            "pictures/s",
            rates["stream"],
            rates["decoded"],
            "--input decoded",
            LEAST,
        ),
        "wait": Figure("blocked by input in two epochs, streamed", "s", waited["stream"], waited["decoded"], "decoded"),
        "input": Figure(
            "input alone, streamed from the bucket at 30 ms",
            "pictures/s",
            alone["ours"],
            alone["theirs"],
            "tf.data with the same shards on the local disk",
        ),
    }
    details = {"pictures_per_class": FEW, "training": found, "blocked": waits, "input": input_}
    return Result("streaming", figures, {"round_trip_seconds": ROUND_TRIP, **details})


def some_of(data: Path, folder: Path) -> Path:
    """The first pictures of each class."""
    for split, count in FEW.items():
        for label in sorted(path for path in (data / split).iterdir() if path.is_dir()):
            target = folder / split / label.name
            target.mkdir(parents=True)
            for path in sorted(label.iterdir())[:count]:
                (target / path.name).write_bytes(path.read_bytes())
    return folder


def _second_epoch(uri: str, mode: str, folder: Path, waits: list[float]) -> float:
    """Pictures/s of training in the second epoch; `waits` gets the seconds of the run that it was blocked by input."""
    with tempfile.TemporaryDirectory(dir=folder) as run:
        asked = runs.config(
            "augmented",
            uri,
            f"{run}/run",
            epochs=2,
            input=mode,
            shuffle="blocks",
            cache_dir=f"{run}/cache",
            cache_disk=1,
        )
        runs.train(asked)
        *_, row = (json.loads(line) for line in Path(run, "run/metrics.jsonl").read_text().splitlines())
        summary = json.loads(Path(run, "run/summary.json").read_text())
        waits.append(float(summary["ledger"]["input"]))
        return float(row["examples_per_second"])


def _epochs_of(uri: str) -> Callable[[], float]:
    source = open_source(uri, cache_disk=1)
    examples, asked = source.data.splits["train"], runs.config("augmented", uri, "")
    blocks = blocks_of(examples)
    assert blocks is not None
    ahead = 2 * MOST_LANES * BLOCK_BYTES
    held = PictureStream(examples, source.read, path_of(asked), Limits(processors(), AHEAD, pieces=ahead))
    schedule, still = Schedule(len(examples), BATCH), Augmentation(False, 0.0, 0.0)
    order_of = partial(block_order, 0, blocks, BATCH)

    def epoch() -> float:
        feeds = training_feeds(
            held, schedule, Layout(BATCH, 1, 1), range(1), still, 0, 0, schedule.steps_per_epoch, order_of
        )
        began = time.monotonic()
        with closing(prefetched(feeds)) as ready:
            count = sum(int(feed.weights.sum()) for (feed,) in ready)
        return count / (time.monotonic() - began)

    return epoch


def _epochs_of_tf_data(folder: str) -> Callable[[], float]:
    size = runs.config("augmented", folder, "").image_size
    schema = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }

    def read(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = tf.io.parse_single_example(record, schema)
        picture = tf.io.decode_jpeg(found["image/encoded"], channels=3)
        return tf.image.resize(picture, (size, size)), found["image/class/label"]

    files = sorted(str(path) for path in Path(folder, "shards").glob("train-*"))
    records = tf.data.TFRecordDataset(files, num_parallel_reads=tf.data.AUTOTUNE)
    batches = records.shuffle(BUFFER).map(read, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)

    def epoch() -> float:
        began = time.monotonic()
        count = sum(len(labels) for _, labels in batches)
        return count / (time.monotonic() - began)

    return epoch


if __name__ == "__main__":
    parser = table.options(__doc__)
    parser.add_argument("--data", required=True, help="a data set in folders")
    asked = parser.parse_args()
    table.publish(measure(asked.data, asked.rounds), asked.out)

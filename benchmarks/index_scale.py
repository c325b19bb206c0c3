"""Seconds and memory from the address of a packed data set to the order of an epoch, by the schema of its index.

    python -m benchmarks.index_scale [--pictures N] [--shards M] [--rows N] [--rounds N]

Pictures are made up: an index, and shards that are holes of the right size. Each reading is in a process of its own,
which imports neither TensorFlow nor a picture.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import table
from benchmarks.table import Figure, Result
from tests.indexes import as_rows
from trainer.data.data_set import SPLITS, fingerprint_of
from trainer.data.examples import Examples, Texts
from trainer.data.index import Index, Part, Shard
from trainer.data.index_writing import write_index
from trainer.storage.opening import open_storage

CLASSES = 1000
SHARES = {"train": 0.975, "valid": 0.025, "test": 0.0}
MEAN_BYTES = 110_000
RECORD_BYTES = 200
"""Of a record, beside the picture's own bytes."""


def make(folder: Path, pictures: int, shards: int) -> int:
    """A packed data set of so many pictures, named as ImageNet's; returns the size of its index in bytes."""
    chance = np.random.default_rng(0)
    classes = tuple(f"n{1440764 + 7 * number:08d}" for number in range(CLASSES))
    parts, stored = {}, list[Shard]()
    for split in SPLITS:
        each = int(pictures * SHARES[split]) // CLASSES
        own = max(1, round(shards * SHARES[split])) if each else 0
        names = [f"shards/{split}-{number:05d}-of-{own:05d}.tfrecord" for number in range(own)]
        part, ends = _part(chance, split, classes, each, names)
        parts[split] = part
        stored += [Shard(name, int(end), 0) for name, end in zip(names, ends, strict=True)]
    (folder / "shards").mkdir(parents=True)
    for shard in stored:
        with (folder / shard.name).open("wb") as file:
            file.truncate(shard.size)
    fingerprint = fingerprint_of(classes, {split: part.examples for split, part in parts.items()})
    write_index(open_storage(str(folder)), {}, Index(fingerprint, classes, parts, tuple(stored)))
    return _index_bytes(folder)


def _part(
    chance: np.random.Generator, split: str, classes: tuple[str, ...], each: int, names: list[str]
) -> tuple[Part, Any]:
    """So many pictures of each class, in shards in an order that is not that of ids; and where each shard ends."""
    count = each * len(classes)
    labels = np.repeat(np.arange(len(classes), dtype=np.int32), each)
    sizes = chance.lognormal(np.log(MEAN_BYTES) - 0.18, 0.6, count).astype(np.int64) + 500
    order = chance.permutation(count)
    shard, offset = np.zeros(count, np.int32), np.zeros(count, np.int64)
    ends = np.zeros(len(names), np.int64)
    for number, ids in enumerate(np.array_split(order, max(1, len(names)))):
        records = np.cumsum(sizes[ids] + RECORD_BYTES)
        shard[ids], offset[ids] = number, records - sizes[ids] - 4
        if len(names):
            ends[number] = records[-1]
    numbers = (f"{classes[label]}_{10000 + i % max(each, 1)}.JPEG" for i, label in enumerate(labels.tolist()))
    texts = Texts.of(numbers)
    prefixes = tuple(f"{split}/{name}/" for name in classes)
    checksums = chance.integers(0, 1 << 32, count, np.uint32)
    examples = Examples(labels, sizes, checksums, shard, offset, tuple(names), texts, prefixes)
    return Part(split, examples, np.full(count, 500, np.uint32), np.full(count, 375, np.uint32)), ends


def _index_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("index*"))


def measure(folder: str) -> dict[str, Any]:
    """In this process: seconds from the address to the order, and peak memory of the process in MB (2**20 bytes)."""
    from trainer.data.order import epoch_order
    from trainer.data.source import open_source

    before = _peak()
    began, cpu = time.perf_counter(), time.process_time()
    source = open_source(folder)
    listed = time.perf_counter()
    order = epoch_order(0, 0, len(source.data.splits["train"]))
    seconds = time.perf_counter() - began
    if "tensorflow" in sys.modules:
        raise SystemExit("TensorFlow was imported")
    return {
        "pictures": sum(map(len, source.data.splits.values())),
        "trained_on": len(order),
        "seconds": seconds,
        "seconds_to_the_list": listed - began,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": _peak(),
        "mb_before": before,
    }


def _peak() -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def _measured(folder: Path, rounds: int) -> dict[str, Any]:
    """The median of some processes, each new."""
    command = [sys.executable, "-m", "benchmarks.index_scale", "--measure", str(folder)]
    told = [json.loads(subprocess.check_output(command)) for _ in range(rounds)]
    middle = {key: round(statistics.median(one[key] for one in told), 3) for key in told[0]}
    return {**middle, "seconds_of_each": [round(one["seconds"], 3) for one in told]}


def compare(pictures: int, shards: int, rows: int, rounds: int) -> Result:
    """Columns with all pictures, and both schemas with some."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        for key, count in (("columns", pictures), ("fewer", rows)):
            folder = Path(name, key)
            size = make(folder, count, max(2, shards * count // pictures))
            found[key] = {"index_mb": round(size / 2**20, 1), **_measured(folder, rounds)}
        as_rows(folder)
        found["rows"] = {"index_mb": round(_index_bytes(folder) / 2**20, 1), **_measured(folder, rounds)}
    every, some = f"{pictures:,} packed pictures", f"{rows:,} of them"
    columns, fewer, before = found["columns"], found["fewer"], found["rows"]
    json_rows = "a row of JSON for each (schema 1)"
    figures = {
        "seconds": Figure(
            f"from the address to an order, {every}", "s", columns["seconds"], target=3.0, at_least=False
        ),
        "peak": Figure(f"peak memory, {every}", "MiB", columns["peak_mb"], target=300.0, at_least=False),
        "seconds_fewer": Figure(
            f"from the address to an order, {some}", "s", fewer["seconds"], before["seconds"], json_rows
        ),
        "peak_fewer": Figure(f"peak memory, {some}", "MiB", fewer["peak_mb"], before["peak_mb"], json_rows),
    }
    return Result("index_scale", figures, {"shards": shards, "processes": found})


def main() -> None:
    """Compare, or measure in this process."""
    parser = table.options(__doc__)
    parser.add_argument("--pictures", type=int, default=2_000_000)
    parser.add_argument("--shards", type=int, default=860)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure)))
    else:
        table.publish(compare(asked.pictures, asked.shards, asked.rows, asked.rounds), asked.out)


if __name__ == "__main__":
    main()

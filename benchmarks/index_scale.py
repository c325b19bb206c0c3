"""Seconds and memory from the address of a packed data set to the order of an epoch, by the schema of its index.

    python -m benchmarks.index_scale [--pictures N] [--shards M] [--rows N]

Pictures are made up: an index, and shards that are holes of the right size. Each reading is in a process of its own,
which imports neither TensorFlow nor a picture. Prints a table and writes index_scale.json beside this file.
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

from benchmarks.machine import describe
from tests.indexes import as_rows
from trainer.data.data_set import SPLITS, fingerprint_of
from trainer.data.examples import Examples, Texts
from trainer.data.index import Index, Part, Shard
from trainer.data.index_writing import write_index
from trainer.storage.opening import open_storage

CLASSES, REPEATS = 1000, 5
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


def _measured(folder: Path) -> dict[str, Any]:
    """The median of a few processes, each new."""
    command = [sys.executable, "-m", "benchmarks.index_scale", "--measure", str(folder)]
    runs = [json.loads(subprocess.check_output(command)) for _ in range(REPEATS)]
    middle = {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}
    return {**middle, "seconds_of_each": [round(run["seconds"], 3) for run in runs]}


def compare(pictures: int, shards: int, rows: int) -> dict[str, Any]:
    """Columns with all pictures, and both schemas with some."""
    results = {}
    with tempfile.TemporaryDirectory() as name:
        for key, count in (("columns", pictures), ("columns, fewer", rows)):
            folder = Path(name, key)
            size = make(folder, count, max(2, shards * count // pictures))
            results[key] = {"schema": 2, "index_mb": round(size / 2**20, 1), **_measured(folder)}
        as_rows(folder)
        results["rows, fewer"] = {"schema": 1, "index_mb": round(_index_bytes(folder) / 2**20, 1), **_measured(folder)}
    return results


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2_000_000)
    parser.add_argument("--shards", type=int, default=860)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure)))
        return
    results = compare(asked.pictures, asked.shards, asked.rows)
    print(f"{'schema':>6} {'pictures':>10} {'index':>9} {'to the order':>13} {'of a core':>10} {'peak memory':>12}")
    for one in results.values():
        print(
            f"{one['schema']:>6} {one['pictures']:>10,} {one['index_mb']:>6,.0f} MB {one['seconds']:>11.2f} s "
            f"{one['cpu_seconds']:>8.2f} s {one['peak_mb']:>9,.0f} MB"
        )
    answer = {"benchmark": "index_scale", "machine": describe(), "shards": asked.shards, **results}
    Path(__file__).with_suffix(".json").write_text(json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main()

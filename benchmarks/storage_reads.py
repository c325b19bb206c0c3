"""Reading 2,000 pictures from a bucket at 30 ms: catdog (loose, packed) against google-cloud-storage's own methods.

    python -m benchmarks.storage_reads [--objects N]

A real server (fake-gcs-server) on loopback, behind a relay that adds the delay.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.delay import delayed
from benchmarks.table import Figure, Result
from tests.servers import fake_gcs_server
from trainer.data.demo import DemoSize, write_demo
from trainer.data.reading import CONCURRENCY, reader
from trainer.data.split import list_data_set
from trainer.data_verbs import pack_data
from trainer.requests import DataPackRequest
from trainer.storage.fetch import write_many
from trainer.storage.opening import open_storage

ROUND_TRIP = 0.03
ONE_BY_ONE = 100  # objects; all of them would take a minute


def _rate(work: Callable[[], int]) -> Callable[[], float]:
    """Pictures per second of some work that returns how many it has read."""

    def run() -> float:
        began = time.monotonic()
        count = work()
        return count / (time.monotonic() - began)

    return run


def measure(objects: int, rounds: int) -> Result:
    """Pictures per second of each method."""
    os.environ["NO_PROXY"] = "127.0.0.1"
    with fake_gcs_server() as server, tempfile.TemporaryDirectory() as folder:
        bucket = server.make_bucket("reads")
        os.environ["STORAGE_EMULATOR_HOST"] = server.url
        local = open_storage(str(write_demo(Path(folder) / "demo", size=DemoSize(objects // 2, 1, 1))))
        loose = open_storage(f"{bucket}/loose")
        for _ in write_many(loose, ((stat.name, local.read(stat.name)) for stat in local.list("train/"))):
            pass
        for name in ("valid", "test"):
            for stat in local.list(name + "/"):
                loose.write(stat.name, local.read(stat.name))
        with redirect_stdout(sys.stderr):  # standard output is for the JSON
            pack_data(DataPackRequest(loose.uri, f"{bucket}/packed"))
        with delayed(server.url, ROUND_TRIP) as url:
            os.environ["STORAGE_EMULATOR_HOST"] = url
            return _rates(bucket, rounds)


def _rates(bucket: str, rounds: int) -> Result:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage
    from google.cloud.storage import transfer_manager

    client = storage.Client(project="benchmark", credentials=AnonymousCredentials())
    blobs = list(client.bucket("reads").list_blobs(prefix="loose/train/"))

    def one_by_one() -> int:
        for blob in blobs[:ONE_BY_ONE]:
            blob.download_as_bytes()
        return ONE_BY_ONE

    def library(**options: Any) -> Callable[[], int]:
        def run() -> int:
            with tempfile.TemporaryDirectory() as folder:
                pairs = [(blob, os.path.join(folder, str(i))) for i, blob in enumerate(blobs)]
                for result in transfer_manager.download_many(pairs, raise_exception=True, **options):
                    assert result is None
            return len(blobs)

        return run

    def catdog(uri: str) -> Callable[[], int]:
        opened = open_storage(uri, concurrency=CONCURRENCY)
        examples = list_data_set(opened).splits["train"]
        return lambda: sum(1 for _ in reader(opened)(examples))

    methods = {
        "one_by_one": one_by_one,
        "default": library(),
        "threads": library(worker_type="thread", max_workers=64),
        "loose": catdog(f"{bucket}/loose"),
        "packed": catdog(f"{bucket}/packed"),
    }
    samples = table.interleaved({name: _rate(work) for name, work in methods.items()}, rounds)
    middle = table.medians(samples)
    words = {
        "loose": "objects as they are",
        "packed": "packed",
        "threads": "download_many with 64 threads",
        "one_by_one": "one by one",
    }
    default = "transfer_manager.download_many as it comes"
    found = {
        name: Figure(f"reading from a bucket at 30 ms, {what}", "pictures/s", middle[name], middle["default"], default)
        for name, what in words.items()
    }
    details = {"objects": len(blobs), "mean_bytes": sum(b.size for b in blobs) // len(blobs)}
    return Result("storage_reads", found, {**details, "round_trip_seconds": ROUND_TRIP, "pictures_per_second": samples})


if __name__ == "__main__":
    parser = table.options(__doc__)
    parser.add_argument("--objects", type=int, default=2000)
    asked = parser.parse_args()
    table.publish(measure(asked.objects, asked.rounds), asked.out)

"""Two million packed pictures: seconds from the start of the command to the first step, and memory over an epoch.

    python -m benchmarks.many_pictures [--pictures N] [--minutes M] [--data DIR]

The pictures are 2,000 of 64 pixels, drawn, over and over, each with another JPEG comment: about 4 GiB in shards, which
take a while to make and are kept in DIR if it is given. Training is the network `small` at 32 pixels, in batches of
256, streamed by blocks; a step is nearly nothing, so that the input is what is seen.
"""

import os
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from benchmarks import table
from benchmarks.table import Figure, Result
from tests import runs
from tests.plenty import Plenty, photograph
from trainer.storage.opening import open_storage

DIFFERENT, SIDE = 2000, 64
SETTLED = 60.0
"""Seconds after the first step, at which memory is what growth is compared with: first uses are over."""
MOST_SECONDS, MOST_GROWTH = 10.0, 1.05


def make(folder: Path, pictures: int) -> None:
    """The data set, in two classes; a hundredth of it is for validation."""
    valid = max(1, pictures // 200)
    photographs = [photograph(seed, SIDE, SIDE) for seed in range(DIFFERENT)]
    made = Plenty(photographs, {"train": pictures // 2 - 2 * valid, "valid": valid, "test": valid})
    made.store(open_storage(str(folder)), packed=True)


def measure(data: Path, minutes: float) -> Result:
    """The figures of one run, which is ended after so many minutes."""
    with tempfile.TemporaryDirectory() as folder:
        fixed = {"model": "small", "image_size": 32, "batch_size": 256, "checkpoint_every": 0, "log_every": 1}
        asked = runs.config("baseline", data, f"{folder}/run", input="stream", shuffle="blocks", epochs=10, **fixed)
        began = time.monotonic()
        with runs.started(asked) as process:
            runs.await_step(process, 1)
            first = time.monotonic() - began
            memory = _watched(process, SETTLED, minutes * 60)
    settled, highest = memory[int(len(memory) * SETTLED / (minutes * 60))], max(memory)
    figures = {
        "first_step": Figure("start of the command to the first step", "s", first, target=MOST_SECONDS, at_least=False),
        "memory": Figure(
            f"most memory in {minutes:g} minutes of an epoch",
            "MiB",
            highest,
            settled,
            "a minute after the first step",
            MOST_GROWTH,
            at_least=False,
        ),
    }
    return Result("many_pictures", figures, {"memory_mib_each_second": [round(one) for one in memory]})


def _watched(process: "subprocess.Popen[str]", settled: float, seconds: float) -> list[float]:
    """Its resident memory in MiB, once a second; what it prints is read, so that it never waits for that."""
    found = []
    began = time.monotonic()
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    while time.monotonic() - began < max(seconds, 2 * settled) and process.poll() is None:
        with suppress(BlockingIOError):
            os.read(process.stdout.fileno(), 1 << 20)
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        found.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        time.sleep(1)
    return found


def main() -> None:
    """Make the data set unless it is there, and measure."""
    parser = table.options(__doc__)
    parser.add_argument("--pictures", type=int, default=2_000_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--data", type=Path, help="where the data set is, or is made and kept")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = asked.data or Path(folder, "data")
        if not (data / "index.json").exists():
            make(data, asked.pictures)
        table.publish(measure(data, asked.minutes), asked.out)


if __name__ == "__main__":
    main()

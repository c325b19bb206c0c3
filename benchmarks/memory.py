"""Memory, and seconds before the first step and after the last: catdog's `augmented` against a Keras user's script.

    python -m benchmarks.memory --data DIR [--epochs 2] [--precision float32]

Each runs in a fresh process, ours first. Memory does not depend on what else the machine does; seconds do. Peaks are
what the kernel tells the parent of an ended process. From ours the decoded pictures are subtracted: they are kept by
design.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.table import Figure, Result
from trainer.contract import SUMMARY
from trainer.recipes import augmented
from trainer.requests import to_json
from trainer.telemetry.stages import of_summary

PRECISIONS = ("mixed_bfloat16", "float32")
MORE_SECONDS = 2.0
"""What catdog may take longer: it writes figures, a report and a summary too."""


@dataclass(frozen=True)
class Ended:
    """A process that has ended: Unix times, its peak in MiB, and what it printed."""

    began: float
    ended: float
    peak_mib: float
    printed: str


@dataclass(frozen=True)
class Measured:
    """One training: seconds from the process's start to the end of the first step, and from the end of the last
    validation to the process's exit; MiB at most, and of them decoded pictures; parts by name."""

    to_first_step: float
    from_last: float
    peak_mib: float
    pixels_mib: float
    parts: list[dict[str, Any]]


def _ended(command: list[str], given: str = "") -> Ended:
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as typed:
        typed.write(given)
        typed.seek(0)
        began = time.time()
        child = subprocess.Popen(command, stdin=typed, stdout=said)
        _, status, usage = os.wait4(child.pid, 0)
        ended = time.time()
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        printed = said.read()
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}:\n{printed}")
    return Ended(began, ended, usage.ru_maxrss / 1024, printed)


def ours(data: str, precision: str, epochs: int, folder: Path) -> Measured:
    """A run of catdog, by the stages that its summary tells."""
    config = dataclasses.replace(augmented(), data=data, precision=precision, epochs=epochs, run=str(folder))
    done = _ended([sys.executable, "-m", "trainer", "train", "--config", "-"], to_json(config))
    summary = json.loads((folder / SUMMARY).read_text())
    told = of_summary(summary)
    assert told is not None
    rest = done.ended - (folder / SUMMARY).stat().st_mtime
    parts = [{"name": row.title, "seconds": row.seconds, "peak_mib": _mib(row.peak_bytes)} for row in told.rows]
    parts.append({"name": "report, last scrape, exit", "seconds": rest, "peak_mib": None})
    pixels = _mib(told.pixel_bytes) or 0.0
    return Measured(told.until_first_step, told.after_last_step + rest, done.peak_mib, pixels, parts)


def theirs(data: str, precision: str, epochs: int, folder: Path) -> Measured:
    """The script of a Keras user, by its marks."""
    words = ["--data", data, "--precision", precision, "--epochs", str(epochs), "--to", str(folder)]
    done = _ended([sys.executable, "-m", "benchmarks.keras_script", *words])
    marks = json.loads(done.printed.splitlines()[-1])["marks"]
    at = {mark["name"]: mark["at"] for mark in marks}
    before = [done.began, *(mark["at"] for mark in marks)]
    parts = [
        {"name": mark["name"], "seconds": mark["at"] - since, "peak_mib": mark["peak_mib"]}
        for mark, since in zip(marks, before, strict=False)
    ]
    parts.append({"name": "exit", "seconds": done.ended - before[-1], "peak_mib": None})
    return Measured(at["first step"] - done.began, done.ended - at[f"epoch {epochs}"], done.peak_mib, 0.0, parts)


def _mib(size: float | None) -> float | None:
    return None if size is None else round(size / 2**20, 1)


def figures(precision: str, one: Measured, other: Measured) -> dict[str, Figure]:
    """What is compared; of seconds and memory less is better."""
    keras = "a Keras user's script"
    both = [measured.to_first_step + measured.from_last for measured in (one, other)]
    told = {
        "peak": (f"{precision}: peak memory", "MiB", one.peak_mib, other.peak_mib, None),
        "kept": ("without decoded pictures", "MiB", one.peak_mib - one.pixels_mib, other.peak_mib, 1.0),
        "first_step": ("start to first step", "s", one.to_first_step, other.to_first_step, None),
        "from_last": ("last validation to exit", "s", one.from_last, other.from_last, None),
        "both": ("both", "s", both[0], both[1], (both[1] + MORE_SECONDS) / both[1]),
    }
    return {
        f"{precision}_{key}": Figure(what, unit, mine, their, keras, target, at_least=False)
        for key, (what, unit, mine, their, target) in told.items()
    }


def main() -> None:
    """Run both in each precision."""
    parser = table.options(__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--precision", choices=PRECISIONS, action="append")
    asked = parser.parse_args()
    found: dict[str, Figure] = {}
    parts: dict[str, Any] = {}
    for precision in asked.precision or PRECISIONS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "keras").mkdir()
            one = ours(asked.data, precision, asked.epochs, folder / "run")
            other = theirs(asked.data, precision, asked.epochs, folder / "keras")
        found |= figures(precision, one, other)
        parts[precision] = {"ours": dataclasses.asdict(one), "theirs": dataclasses.asdict(other)}
    load = [round(number, 1) for number in os.getloadavg()]
    table.publish(Result("memory", found, {"epochs": asked.epochs, "load_at_end": load, "parts": parts}), asked.out)


if __name__ == "__main__":
    main()

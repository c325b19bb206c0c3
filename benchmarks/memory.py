"""Memory, and seconds before the first step and after the last: catdog's `augmented` against a Keras user's script.

    python -m benchmarks.memory --data DIR [--steps N] [--rounds N] [--precision float32]

Each runs in a fresh process, in turns: an epoch, validation, test, export. Memory is that of the first round; it does
not depend on what else the machine does. Seconds do, and are medians: in later rounds an epoch has few steps, which
changes nothing of what comes before and after it. Peaks are what the kernel tells the parent of an ended process. From
ours the decoded pictures are subtracted: they are kept by design.
"""

import dataclasses
import json
import os
import statistics
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

AUTO = "auto"
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

    @property
    def kept_mib(self) -> float:
        """Without decoded pictures."""
        return self.peak_mib - self.pixels_mib

    @property
    def both(self) -> float:
        """Seconds at the start and at the end."""
        return self.to_first_step + self.from_last


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


def ours(data: str, precision: str, steps: int, folder: Path) -> tuple[str, Measured]:
    """A run of catdog, by the stages that its summary tells, and its precision."""
    asked: dict[str, Any] = {"precision": precision, "epochs": 1, "steps": steps}
    config = dataclasses.replace(augmented(), data=data, run=str(folder), **asked)
    done = _ended([sys.executable, "-m", "trainer", "train", "--config", "-"], to_json(config))
    summary = json.loads((folder / SUMMARY).read_text())
    told = of_summary(summary)
    assert told is not None
    rest = done.ended - (folder / SUMMARY).stat().st_mtime
    parts = [{"name": row.title, "seconds": row.seconds, "peak_mib": _mib(row.peak_bytes)} for row in told.rows]
    parts.append({"name": "report, last scrape, exit", "seconds": rest, "peak_mib": None})
    pixels = _mib(told.pixel_bytes) or 0.0
    found = Measured(told.until_first_step, told.after_last_step + rest, done.peak_mib, pixels, parts)
    return summary["precision"], found


def theirs(data: str, precision: str, steps: int, folder: Path) -> Measured:
    """The script of a Keras user, by its marks."""
    words = ["--data", data, "--precision", precision, "--epochs", "1", "--to", str(folder)]
    words += ["--steps", str(steps)] if steps else []
    done = _ended([sys.executable, "-m", "benchmarks.keras_script", *words])
    marks = json.loads(done.printed.splitlines()[-1])["marks"]
    at = {mark["name"]: mark["at"] for mark in marks}
    before = [done.began, *(mark["at"] for mark in marks)]
    parts = [
        {"name": mark["name"], "seconds": mark["at"] - since, "peak_mib": mark["peak_mib"]}
        for mark, since in zip(marks, before, strict=False)
    ]
    parts.append({"name": "exit", "seconds": done.ended - before[-1], "peak_mib": None})
    return Measured(at["first step"] - done.began, done.ended - at["epoch 1"], done.peak_mib, 0.0, parts)


def _mib(size: float | None) -> float | None:
    return None if size is None else round(size / 2**20, 1)


def measured(data: str, asked: str, steps: int, rounds: int) -> tuple[str, list[Measured], list[Measured]]:
    """The precision that was chosen, and each round of ours and of theirs."""
    one: list[Measured] = []
    other: list[Measured] = []
    chosen = asked
    for number in range(rounds):
        length = steps if number else 0  # the first is whole
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "keras").mkdir()
            chosen, found = ours(data, asked, length, Path(name) / "run")
            one.append(found)
            other.append(theirs(data, chosen, length, Path(name) / "keras"))
    return chosen, one, other


def figures(precision: str, one: list[Measured], other: list[Measured]) -> dict[str, Figure]:
    """What is compared: memory of the first round, medians of seconds; of both, less is better."""
    told = {
        "peak": (f"{precision}: peak memory", "MiB", lambda each: each.peak_mib),
        "kept": ("without decoded pictures", "MiB", lambda each: each.kept_mib),
        "first_step": ("start to first step", "s", lambda each: each.to_first_step),
        "from_last": ("last validation to exit", "s", lambda each: each.from_last),
        "both": ("both", "s", lambda each: each.both),
    }
    found: dict[str, Figure] = {}
    for key, (what, unit, of) in told.items():
        mine, their = (
            of(rounds[0]) if unit == "MiB" else statistics.median(map(of, rounds)) for rounds in (one, other)
        )
        target = {"kept": 1.0, "both": (their + MORE_SECONDS) / their}.get(key)
        found[f"{precision}_{key}"] = Figure(what, unit, mine, their, "a Keras user's script", target, at_least=False)
    return found


def main() -> None:
    """Run both in each precision."""
    parser = table.options(__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, default=10, help="of each training but the first (default: %(default)s)")
    told = "default: that in which the processor multiplies fastest"
    parser.add_argument("--precision", choices=PRECISIONS, action="append", help=told)
    asked = parser.parse_args()
    found: dict[str, Figure] = {}
    parts: dict[str, Any] = {}
    for wanted in asked.precision or (AUTO,):
        precision, one, other = measured(asked.data, wanted, asked.steps, asked.rounds)
        found |= figures(precision, one, other)
        parts[precision] = {
            name: [dataclasses.asdict(each) for each in rounds] for name, rounds in (("ours", one), ("theirs", other))
        }
    load = [round(number, 1) for number in os.getloadavg()]
    table.publish(Result("memory", found, {"steps": asked.steps, "load_at_end": load, "rounds": parts}), asked.out)


if __name__ == "__main__":
    main()

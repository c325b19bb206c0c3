"""How time and memory grow with each thing that can grow: exponents of a log-log fit, a picture, JSON. Run by hand.

    python -m benchmarks.growth [--axis NAME…] [--small] [--rounds N]

Each point is a real run of a few steps on drawn pictures (repeats, each with another JPEG comment), in a process of its
own; every axis takes its points in turns. Seconds come from the run's ledger, memory is the largest resident size of
one process. An exponent of 1 is proportional, 0 does not grow; where more than 1 is expected, the axis says why. A fit
over few points of which the first are mostly constant costs is less than what it tends to: the JSON has the points.
"""

import argparse
import dataclasses
import itertools
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Picture

from benchmarks import table
from benchmarks.table import Figure, Result
from trainer.config import RunConfig
from trainer.data.demo import DemoSize, write_demo
from trainer.requests import to_json

STEPS = 8
SPLITS = ("train", "valid")


@dataclass(frozen=True)
class Data:
    """A drawn data set: classes, and pictures of the training split in all; a tenth as many to validate."""

    classes: int = 2
    pictures: int = 512


@dataclass(frozen=True)
class Point:
    """A run: where it lies on its axis, on what data, with which options."""

    x: float
    data: Data
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """What grows, from point to point; `metrics` are what is fitted, and `why` explains exponents above 1."""

    what: str
    points: Sequence[Point]
    metrics: Sequence[str]
    why: str = ""


def axes(small: bool) -> dict[str, Axis]:
    """Every axis; `small`: with points that end soon, to try this program."""
    thousands = (256, 1024, 4096) if small else (2_000, 20_000, 200_000)
    labels = (2, 8, 32) if small else (2, 32, 1000)
    tiny = {"model": "small", "image_size": 32}
    many = 512 if small else 4_000
    return {
        "pictures": Axis(
            "pictures", [Point(n, Data(2, n), tiny) for n in thousands], ("start", "decode", "validation", "memory")
        ),
        "classes": Axis(
            "classes", [Point(n, Data(n, many), tiny) for n in labels], ("start", "decode", "step", "memory", "export")
        ),
        "size": Axis(
            "pixels of a picture",
            [Point(n * n, Data(), {"image_size": n}) for n in ((80, 96, 128) if small else (96, 192, 384))],
            ("step", "memory"),
        ),
        "batch": Axis(
            "pictures of a batch",
            [Point(n, Data(), {"image_size": 96, "batch_size": n}) for n in ((4, 8, 16) if small else (8, 32, 128))],
            ("step", "memory"),
        ),
        "parameters": Axis(
            "parameters (the output layer's, by classes)",
            [Point(0, Data(n, many), {}) for n in (2, 100, 400 if small else 1000)],  # 0.98 to 6 or 14 million
            ("step", "memory", "checkpoint", "export"),
        ),
        "workers": Axis(
            "workers on this machine, one global batch",
            [Point(n, Data(), {"image_size": 96, "workers": n}) for n in (1, 2, 4)],
            ("start", "step", "memory"),
            "more workers than cores share them, and each starts TensorFlow",
        ),
    }


def draw(folder: Path, data: Data) -> Path:
    """The data set's folder: repeats of a few drawn pictures, no two of which have the same bytes."""
    drawn = sorted(write_demo(folder / "drawn", size=DemoSize(8, 1, 1)).glob("train/*/*.jpg"))
    bodies = [path.read_bytes() for path in drawn]
    root, number = folder / "data", itertools.count()
    for split, count in zip(SPLITS, (data.pictures, max(data.classes, data.pictures // 10)), strict=True):
        for label in range(data.classes):
            place = root / split / f"class{label:04d}"
            place.mkdir(parents=True)
            for i in range(count // data.classes):
                n = next(number)
                (place / f"{i:06d}.jpg").write_bytes(commented(bodies[n % len(bodies)], str(n)))
    return root


def commented(jpeg: bytes, text: str) -> bytes:
    """The same picture with a comment (COM, ITU-T T.81, B.2.4.5) after its first marker."""
    told = text.encode()
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(told)) + told + jpeg[2:]


def run(data: Path, point: Point) -> dict[str, float]:
    """One run's seconds by what they went to, a step's among them, its memory in MiB and its parameters."""
    with tempfile.TemporaryDirectory() as folder:
        config = dataclasses.replace(
            RunConfig(precision="float32", epochs=1, steps=STEPS, log_every=1000, checkpoint_every=0),
            data=str(data), run=f"{folder}/run", **point.options,
        )  # fmt: skip
        command = [sys.executable, "-m", "trainer", "train", "--config", "-"]
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, text=True)
            assert process.stdin is not None
            with process.stdin as pipe:
                pipe.write(to_json(config))
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                output.seek(0)
                raise SystemExit(f"{point}: exit {process.returncode}\n{output.read()}")
        summary = json.loads(Path(f"{folder}/run/summary.json").read_text())
        [row] = [json.loads(line) for line in Path(f"{folder}/run/metrics.jsonl").read_text().splitlines()]
    ledger = summary["ledger"]
    return {
        "start": ledger.get("starting", 0.0) + ledger.get("waiting", 0.0),
        "decode": ledger.get("decode", 0.0),
        "step": config.batch_size / row["examples_per_second"],
        "validation": ledger.get("evaluation", 0.0),
        "checkpoint": ledger.get("checkpoint", 0.0),
        "export": ledger.get("export", 0.0),
        "memory": usage.ru_maxrss / 1024,
        "parameters": summary["parameters"],
    }


def measure(axis: Axis, rounds: int) -> list[dict[str, Any]]:
    """The medians of each point."""
    found: list[list[dict[str, float]]] = [[] for _ in axis.points]
    with tempfile.TemporaryDirectory() as folder:
        places: dict[Data, Path] = {}
        for number, point in enumerate(axis.points):
            if point.data not in places:
                places[point.data] = draw(Path(folder) / str(number), point.data)
        for _ in range(rounds):
            for point, each in zip(axis.points, found, strict=True):
                each.append(run(places[point.data], point))
                print(f"{axis.what}: {point.x or each[-1]['parameters']:,.0f}", file=sys.stderr)
    return [
        {
            "x": point.x or each[0]["parameters"],
            **{name: statistics.median(one[name] for one in each) for name in axis.metrics},
            "rounds": each,
        }
        for point, each in zip(axis.points, found, strict=True)
    ]


def exponent(points: Sequence[Mapping[str, Any]], metric: str) -> float | None:
    """The slope of log(metric) over log(x); None where a value is 0, whose logarithm there is not."""
    x, y = ([float(point[name]) for point in points] for name in ("x", metric))
    return float(np.polyfit(np.log(x), np.log(y), 1)[0]) if min(y) > 0 else None


def draw_picture(measured: Mapping[str, tuple[Axis, list[dict[str, Any]]]], path: Path) -> None:
    """Each axis as a plot with both scales logarithmic: what is measured, relative to the first point."""
    columns = min(3, len(measured))
    picture = Picture(figsize=(5 * columns, 4 * -(-len(measured) // columns)), layout="constrained")
    for number, (axis, points) in enumerate(measured.values(), start=1):
        plot = picture.add_subplot(-(-len(measured) // columns), columns, number)
        x = [point["x"] for point in points]
        for metric in axis.metrics:
            if (slope := exponent(points, metric)) is not None:
                plot.loglog(x, [p[metric] / points[0][metric] for p in points], "o-", label=f"{metric}: {slope:.2f}")
        plot.loglog(x, [one / x[0] for one in x], ":", color="grey", label="proportional: 1")
        plot.set_xlabel(axis.what)
        plot.set_ylabel("times the first point")
        plot.legend(fontsize=8)
    picture.savefig(path, dpi=100)


def figures(measured: Mapping[str, tuple[Axis, list[dict[str, Any]]]]) -> dict[str, Figure]:
    """The exponents, with 1 as the most that needs no words."""
    found = {}
    for name, (axis, points) in measured.items():
        for metric in axis.metrics:
            words = f"{metric} over {axis.what}" + (f" (above 1: {axis.why})" if axis.why else "")
            value = exponent(points, metric)
            found[f"{name}_{metric}"] = Figure(words, "exponent", value, target=1.05, at_least=False)
    return found


def main() -> None:
    """Measure the axes that were asked for; print the table, write JSON and growth.png."""
    parser = table.options(__doc__)
    parser.set_defaults(rounds=1)
    parser.add_argument("--axis", choices=list(axes(False)), nargs="+", default=list(axes(False)))
    parser.add_argument("--small", action=argparse.BooleanOptionalAction, default=False, help="points that end soon")
    asked = parser.parse_args()
    every = axes(asked.small)
    measured = {name: (every[name], measure(every[name], asked.rounds)) for name in asked.axis}
    points = {name: found for name, (_, found) in measured.items()}
    table.publish(Result("growth", figures(measured), {"steps": STEPS, "points": points}), asked.out)
    draw_picture(measured, asked.out / "growth.png")


if __name__ == "__main__":
    main()

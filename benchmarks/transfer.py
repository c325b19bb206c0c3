"""Accuracy and time of the recipe `transfer`, over seeds; and what fine-tuning gains where frozen features do not do.

    python -m benchmarks.transfer accuracy --data DIR [--model NAME --size N --flip]
    python -m benchmarks.transfer fine-tuning [--data DIR]

Without --data, the second draws 120 classes of patterns (a shape, filled with stripes of an angle and a width), 20
pictures each to train on and 10 to test on: ImageNet's features tell shapes better than widths of stripes. With --data
it shows what fine-tuning does where frozen features are nearly enough.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from benchmarks.machine import describe
from trainer.training.scores import wilson_interval

SEEDS = (0, 1, 2)
SIDE = 96
SHAPES, ANGLES, WIDTHS = 6, 5, 4
COUNTS = {"train": 20, "valid": 10, "test": 10}


def _trained(run: Path, *words: str) -> dict[str, Any]:
    """A run's summary, and the seconds that the command took."""
    began = time.monotonic()
    command = [
        str(Path(sys.executable).with_name("catdog")),
        "train",
        "--recipe",
        "transfer",
        "--run",
        str(run),
        *words,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return {**summary, "seconds": round(time.monotonic() - began, 1)}


def _over_seeds(folder: Path, name: str, *words: str) -> dict[str, Any]:
    made = [_trained(folder / f"{name}-{seed}", "--seed", str(seed), *words) for seed in SEEDS]
    valid = [one["valid"]["accuracy"] for one in made]
    return {
        "command": " ".join(words),
        "valid": valid,
        "valid_mean": round(statistics.mean(valid), 5),
        "test": [one["test"]["accuracy"] for one in made],
        "test_interval_of_seed_0": wilson_interval(made[0]["test"]["accuracy"], made[0]["test"]["examples"]),
        "temperature": [round(one["calibration"]["temperature"], 3) for one in made],
        "seconds": [one["seconds"] for one in made],
        "features": [one.get("features", {}).get("pictures") for one in made],
    }


def accuracy(data: str, model: str, size: int, flip: bool) -> dict[str, Any]:
    """Three seeds on the same pictures: the first computes features, the others find them."""
    words = ["--data", data, "--model", model, "--image-size", str(size), *(["--flip"] if flip else [])]
    with tempfile.TemporaryDirectory() as name:
        return _over_seeds(Path(name), "run", *words, "--cache-dir", f"{name}/cache")


def fine_tuning(data: str) -> dict[str, Any]:
    """Frozen, and fine-tuned from a block on, over the same seeds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cached = ("--cache-dir", str(folder / "cache"))
        if data:
            frozen = _over_seeds(folder, "frozen", "--data", data, *cached)
            tuned = _over_seeds(folder, "tuned", "--data", data, *cached, *GENTLE_TUNING)
        else:
            draw(folder / "data")
            words = ("--data", str(folder / "data"), "--image-size", str(SIDE), *cached)
            frozen = _over_seeds(folder, "frozen", *words, "--epochs", "40")
            tuned = _over_seeds(folder, "tuned", *words, *TUNING)
    gains = [round(100 * (b - a), 2) for a, b in zip(frozen["test"], tuned["test"], strict=True)]
    return {"frozen": frozen, "tuned": tuned, "gained_points": gains}


TUNING = ("--epochs", "60", "--head-epochs", "40", "--unfreeze", "block5", "--tune-learning-rate", "0.0005")
GENTLE_TUNING = ("--epochs", "24", "--head-epochs", "20", "--unfreeze", "block12", "--tune-learning-rate", "0.0001")


def draw(folder: Path) -> None:
    """The drawn classes as a split data set."""
    chance = random.Random(0)
    for split, count in COUNTS.items():
        for label in range(SHAPES * ANGLES * WIDTHS):
            place = folder / split / f"class{label:03d}"
            place.mkdir(parents=True)
            for number in range(count):
                _pattern(chance, label).save(place / f"{number}.png")


def _pattern(chance: random.Random, label: int) -> Image.Image:
    shape, rest = divmod(label, ANGLES * WIDTHS)
    angle, width = divmod(rest, WIDTHS)
    dark, light = ([chance.randrange(low, high) for _ in range(3)] for low, high in ((0, 110), (140, 256)))
    stripes = Image.new("RGB", (2 * SIDE, 2 * SIDE), tuple(light))
    pen, period = ImageDraw.Draw(stripes), (6, 9, 13, 19)[width]
    for left in range(chance.randrange(period), 2 * SIDE, period):
        pen.rectangle((left, 0, left + period // 2 - 1, 2 * SIDE), fill=tuple(dark))
    turned = stripes.rotate(36 * angle + chance.uniform(-6, 6), Image.Resampling.BILINEAR)
    filled = turned.crop((SIDE // 2, SIDE // 2, SIDE // 2 + SIDE, SIDE // 2 + SIDE))
    mask = Image.new("L", (SIDE, SIDE), 0)
    _outline(ImageDraw.Draw(mask), shape, chance)
    ground = Image.effect_noise((SIDE, SIDE), chance.uniform(20, 60)).convert("RGB")
    return Image.composite(filled, ground, mask)


def _outline(pen: ImageDraw.ImageDraw, shape: int, chance: random.Random) -> None:
    radius = chance.randrange(SIDE // 3, SIDE // 2 - 2)
    x, y = (chance.randrange(radius, SIDE - radius) for _ in range(2))
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == 0:
        pen.ellipse(box, fill=255)
    elif shape == 1:
        pen.rectangle(box, fill=255)
    elif shape == 5:
        pen.ellipse(box, fill=255)
        pen.ellipse((x - radius // 2, y - radius // 2, x + radius // 2, y + radius // 2), fill=0)
    else:
        pen.regular_polygon((x, y, radius), (3, 5, 8)[shape - 2], rotation=chance.randrange(360), fill=255)


def main() -> None:
    """Print what was asked for as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("accuracy", "fine-tuning"))
    parser.add_argument("--data", default="")
    parser.add_argument("--model", default="efficientnet-lite0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--flip", action="store_true")
    asked = parser.parse_args()
    if asked.what == "accuracy":
        result = accuracy(asked.data, asked.model, asked.size, asked.flip)
    else:
        result = fine_tuning(asked.data)
    print(json.dumps({"benchmark": f"transfer {asked.what}", "machine": describe(), **result}, indent=1))


if __name__ == "__main__":
    main()

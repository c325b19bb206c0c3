"""Sample data for the tests of the figures."""

import io

import numpy as np
from PIL import Image

from trainer.telemetry.figures.photos import Mistake

LIMIT = 200_000


def opened(png):
    picture = Image.open(io.BytesIO(png))
    picture.load()
    return picture


def history(epochs):
    return [
        {
            "epoch": epoch,
            "step": epoch * 63,
            "train": {"loss": 0.7 / epoch, "accuracy": 1 - 0.5 / epoch},
            "valid": {"loss": 0.4 + 0.01 * abs(epoch - 20), "accuracy": 0.8 - 0.002 * abs(epoch - 30)},
            "learning_rate": 0.001,
            "examples_per_second": 60.0,
            "seconds": 33.0,
        }
        for epoch in range(1, epochs + 1)
    ]


def picture(seed, height=60, width=90):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def mistakes(count, name="cats"):
    return [Mistake(picture(at), f"test/{name}/{at}.jpg", name, "dogs", 1 - at / 100) for at in range(count)]


def confusion(classes):
    return np.eye(classes, dtype=np.int64) * 40 + np.random.default_rng(0).integers(0, 3, (classes, classes))

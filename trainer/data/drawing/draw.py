"""One picture of the demo data set, a pure function of (label, seed, index, split).

Cats and dogs differ only in shape: ears, snout, eyes, nose, whiskers and tail. Colours, coats, poses, scenes, sizes,
light and file properties come from the same distributions for both, so a classifier has to learn shapes and cannot rely
on colour or position.

Coordinates: an animal is drawn in its own units, where 1 is about half the width of its head, x points right, y points
down and (0, 0) is the middle of the head. Everything is painted at twice the final size and reduced, to smooth edges.
"""

import math

import numpy as np
from PIL import Image

from trainer.data.drawing.animal import POSES, bust, coat_of, head_front, head_side, sitting
from trainer.data.drawing.dice import Dice
from trainer.data.drawing.paint import Brush
from trainer.data.drawing.scene import background, develop, occlude

DEMO_VERSION = 1
"""Raised whenever a change here alters the pictures: a set drawn by another version is drawn again."""

LABELS = ("cats", "dogs")
SPLITS = ("train", "valid", "test")


def draw(label: str, seed: int, index: int, split: str) -> Image.Image:
    """Draws one picture, RGB, 120 to 260 pixels on a side; a pure function of its arguments.

    label is "cats" or "dogs", split "train", "valid" or "test". Raises ValueError for any other. The same
    version of Pillow always draws the same pixels; another version may round edges differently.
    """
    if label not in LABELS:
        raise ValueError(f"demo label {label!r} is unknown; use one of {', '.join(LABELS)}")
    if split not in SPLITS:
        raise ValueError(f"demo split {split!r} is unknown; use one of {', '.join(SPLITS)}")
    dice = Dice("picture", DEMO_VERSION, label, seed, index, split)
    cat = label == "cats"
    width = dice.integer(120, 260)
    height = min(260, max(120, round(width * dice.between(0.75, 1.33))))
    canvas = (2 * width, 2 * height)
    image = background(dice, canvas)

    pose = dice.pick(POSES)
    unit = min(canvas) * (dice.between(0.26, 0.34) if pose is bust else dice.between(0.22, 0.28))
    mirror = dice.pick((-1, 1))
    # The head stays in the picture. A body that reaches right of it (before mirroring) gets room; the rest is cropped.
    margin = 1.15 * unit
    x = margin + (canvas[0] - 2 * margin) * dice.between(0, 1 if pose in (bust, sitting) else 0.6)
    y = 1.35 * unit + (canvas[1] - 2.6 * unit) * dice.between(0, 1 if pose is bust else 0.7)
    if mirror < 0:
        x = canvas[0] - x
    coat = coat_of(dice, canvas, unit)
    slope = math.radians(dice.between(-12, 12))
    across = np.array([math.cos(slope), math.sin(slope)]) * unit
    down = np.array([-math.sin(slope), math.cos(slope)]) * unit
    brush = Brush(image, np.column_stack([across * mirror, down, (x, y)]), coat.ink, dice.integer(2, 5))
    pose(brush, dice, coat, cat)
    head = brush.shifted(0, 0, dice.between(-15, 15), dice.between(0.95, 1.15))
    if dice.chance(0.15):
        head_side(head, dice, coat, cat)
    else:
        head_front(head, dice, coat, cat, dice.between(-0.7, 0.7))
    occlude(image, dice, (x, y), unit)
    return develop(image.reduce(2), dice)

"""Draws the demo data set: cartoon cats and dogs, for runs that are given no data.

A picture is a pure function of (label, seed, index, split). Cats and dogs differ in shape alone: ears, snout, eyes,
nose, whiskers and tail. Colours, coats, poses, scenes, sizes, light and file properties come from the same
distributions for both, so a classifier has to learn shapes and cannot get by on colour or position.

Coordinates: an animal is drawn in its own units, where 1 is about half the width of its head, x to the right, y down
and (0, 0) the middle of the head. Everything is painted at twice the final size and then reduced, which smooths edges.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from trainer.container import processors
from trainer.exits import Exit, ExitError

DEMO_VERSION = 1
"""Raised whenever a change here alters the pictures: a set drawn by another version is drawn again."""

LABELS = ("cats", "dogs")
SPLITS = ("train", "valid", "test")
MARKER = "demo.json"

Colour = tuple[int, int, int]
Points = NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True)
class DemoSize:
    """Pictures per class in each split."""

    train: int
    valid: int
    test: int


DEFAULT_SIZE = DemoSize(train=700, valid=200, test=200)


# --- chance ----------------------------------------------------------------------------------------------------------


class _Dice:
    """Random draws from the raw 64-bit stream of Philox.

    numpy keeps the raw stream of a bit generator for ever but may change what Generator's methods make of it (NEP 19),
    so the few methods needed are made here.
    """

    def __init__(self, *key: str | int) -> None:
        digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=16).digest()
        self._bits = np.random.Philox(key=int.from_bytes(digest, "little"))

    def array(self, *shape: int) -> Points:
        """Uniform numbers in [0, 1), float64, of the given shape."""
        raw = self._bits.random_raw(math.prod(shape))
        return np.asarray(raw >> np.uint64(11), np.float64).reshape(shape) * 2.0**-53

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.between(0, high - low + 1))

    def chance(self, probability: float) -> bool:
        return self.between(0, 1) < probability

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.integer(0, len(choices) - 1)]


# --- shapes: arrays of points, float64 (n, 2) ------------------------------------------------------------------------


def _pts(*xy: tuple[float, float]) -> Points:
    return np.array(xy, np.float64)


def _spline_basis(samples: int) -> Points:
    t = np.arange(samples)[:, None] / samples
    return np.hstack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2


_BASIS = _spline_basis(6)


def _closed(points: Points) -> Points:
    """A smooth closed curve through the points (Catmull-Rom spline)."""
    stacked = np.stack([np.roll(points, 1, 0), points, np.roll(points, -1, 0), np.roll(points, -2, 0)], 1)
    return (_BASIS @ stacked).reshape(-1, 2)


def _open(points: Points) -> Points:
    """A smooth open curve through the points."""
    padded = np.vstack([points[:1], points, points[-1:]])
    stacked = np.stack([padded[:-3], padded[1:-2], padded[2:-1], padded[3:]], 1)
    return np.vstack([(_BASIS @ stacked).reshape(-1, 2), points[-1:]])


def _ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0) -> Points:
    angle = np.linspace(0, 2 * math.pi, 24, endpoint=False)
    turn = math.radians(degrees)
    across, down = rx * np.cos(angle), ry * np.sin(angle)
    return np.stack(
        [x + across * math.cos(turn) - down * math.sin(turn), y + across * math.sin(turn) + down * math.cos(turn)], 1
    )


def _tube(path: Points, start: float, end: float) -> Points:
    """The outline of a smooth tube along the path, its radius going from start to end, with a rounded tip."""
    line = _open(path)
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    side = np.stack([-along[:, 1], along[:, 0]], 1) * np.linspace(start, end, len(line))[:, None]
    tip = line[-1:] + along[-1:] * end
    return np.vstack([line + side, tip, (line - side)[::-1]])


def _flip(points: Points) -> Points:
    return points * np.array([-1.0, 1.0])


def _both(points: Points) -> Points:
    """A shape symmetric about x = 0 from its right half, listed from top to bottom."""
    return np.vstack([points, _flip(points)[::-1]])


# --- paint -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Brush:
    """Paints shapes, given in the animal's coordinates, on an image. matrix is (2, 3): units to pixels."""

    image: Image.Image
    matrix: Points
    ink: Colour
    width: int

    def shifted(self, x: float, y: float, degrees: float = 0, scale: float = 1) -> _Brush:
        """The same brush with its origin at (x, y), turned and scaled."""
        c, s = math.cos(math.radians(degrees)) * scale, math.sin(math.radians(degrees)) * scale
        local = np.array([[c, -s, x], [s, c, y], [0, 0, 1]])
        return _Brush(self.image, self.matrix @ local, self.ink, self.width)

    def pixels(self, shape: Points) -> Points:
        return np.asarray(shape @ self.matrix[:, :2].T + self.matrix[:, 2])

    def fill(self, shape: Points, paint: Colour | Image.Image, outline: bool = True) -> None:
        """Fills with a colour, or with the part of an image of the same size that lies under the shape."""
        where = np.rint(self.pixels(shape))
        if isinstance(paint, Image.Image):
            left, top = np.maximum(where.min(0), 0).astype(int).tolist()
            right, bottom = (np.minimum(where.max(0), np.array(self.image.size) - 1) + 1).astype(int).tolist()
            if right <= left or bottom <= top:
                return
            mask = Image.new("L", (right - left, bottom - top))
            ImageDraw.Draw(mask).polygon((where - (left, top)).ravel().tolist(), fill=255)
            self.image.paste(paint.crop((left, top, right, bottom)), (left, top), mask)
        else:
            ImageDraw.Draw(self.image).polygon(where.ravel().tolist(), fill=paint)
        if outline:
            ring = np.vstack([where, where[:1]]).ravel().tolist()
            ImageDraw.Draw(self.image).line(ring, fill=self.ink, width=self.width)

    def stroke(self, path: Points, colour: Colour, width: float) -> None:
        """A line along the path; width in the animal's units, at least one pixel of the finished picture."""
        pixels = max(2, round(width * math.hypot(self.matrix[0, 0], self.matrix[1, 0])))
        ImageDraw.Draw(self.image).line(np.rint(self.pixels(path)).ravel().tolist(), fill=colour, width=pixels)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    r, g, b = (round(a + (z - a) * share) for a, z in zip(first, second, strict=True))
    return r, g, b


def _any_colour(dice: _Dice) -> Colour:
    """Any colour, muted ones more often than bright ones."""
    hue = dice.between(0, 2 * math.pi)
    chroma, value = 90 * dice.between(0, 1) ** 1.5, dice.between(40, 235)
    r, g, b = (int(min(255, max(0, value + chroma * math.cos(hue + turn)))) for turn in (0, 2.1, 4.2))
    return r, g, b


_WHITE: Colour = (250, 248, 244)
_FURS: tuple[Colour, ...] = (
    (222, 150, 74),  # ginger
    (238, 214, 172),  # cream
    (140, 96, 58),  # brown
    (84, 58, 44),  # chocolate
    (52, 50, 54),  # black
    (140, 142, 150),  # grey
    (96, 108, 124),  # blue grey
    (242, 238, 230),  # white
    (196, 174, 140),  # fawn
)
_EYES: tuple[Colour, ...] = ((120, 170, 60), (220, 170, 50), (90, 60, 35), (80, 140, 190))
_NOSES: tuple[Colour, ...] = ((40, 32, 34), (60, 44, 44), (214, 130, 138), (120, 70, 62))


@dataclass(frozen=True)
class _Coat:
    """The colours of one animal; fur is an image as large as the canvas."""

    fur: Image.Image
    base: Colour
    light: Colour  # belly, muzzle, paws
    inner: Colour  # inside of the ear, or its shaded side
    eye: Colour
    nose: Colour
    ink: Colour
    collar: Colour | None


def _coat(dice: _Dice, size: tuple[int, int], unit: float) -> _Coat:
    """Colours and pattern, drawn alike for cats and dogs; unit is the animal's unit in pixels."""
    base = _mix(dice.pick(_FURS), _any_colour(dice), dice.between(0, 0.3))
    second = _mix(dice.pick(_FURS), _any_colour(dice), dice.between(0, 0.3))
    fur = Image.new("RGB", size, base)
    draw = ImageDraw.Draw(fur)
    width, height = size
    match dice.pick(("plain", "plain", "stripes", "spots", "patches", "shaded")):
        case "stripes":
            colour = _mix(base, second if dice.chance(0.5) else (30, 24, 20), dice.between(0.2, 0.5))
            step, lean = unit * dice.between(0.3, 0.6), dice.between(-0.5, 0.5)
            y = np.linspace(0, height, 24)
            wave = unit * 0.15 * np.sin(y / unit * dice.between(2, 5))
            for x in np.arange(-height / 2, width + height / 2, step):
                line = np.stack([x + wave + lean * (y - height / 2), y], 1)
                draw.line(line.ravel().tolist(), fill=colour, width=max(2, round(step * 0.4)))
        case "spots":
            colour = _mix(base, second, dice.between(0.3, 0.7))
            for x, y, r in dice.array(round(min(400, 3 * width * height / unit**2)), 3).tolist():
                r = unit * (0.06 + 0.14 * r)
                draw.ellipse((x * width - r, y * height - r, x * width + r, y * height + r), fill=colour)
        case "patches":
            colour = _mix(base, second, dice.between(0.3, 0.8))
            for x, y, r in dice.array(round(min(80, 0.5 * width * height / unit**2)), 3).tolist():
                r = unit * (0.25 + 0.45 * r)
                draw.ellipse((x * width - r, y * height - r, x * width + r, y * height + 0.7 * r), fill=colour)
        case "shaded":
            fur = _gradient(dice, size, (base, _mix(base, second, 0.8)))
    dark = sum(base) < 240
    ink = _mix(base, (225, 220, 215) if dark else (25, 20, 18), dice.between(0.35, 0.8))
    return _Coat(
        fur=fur,
        base=base,
        light=_mix(base, _WHITE, dice.pick((0.0, 0.3, 0.7, 1.0))),
        inner=_mix(base, dice.pick(((235, 160, 160), (40, 30, 30), base)), dice.between(0.3, 0.7)),
        eye=_mix(dice.pick(_EYES), _WHITE, dice.between(0, 0.5)),
        nose=dice.pick(_NOSES),
        ink=ink,
        collar=_any_colour(dice) if dice.chance(0.4) else None,
    )


def _smooth(grid: Points, size: tuple[int, int]) -> Image.Image:
    """The grid, (rows, columns) or (rows, columns, 3) in 0..255, blown up smoothly; in two steps, for speed."""
    small = Image.fromarray(grid.astype(np.uint8)).resize((24, 24), Image.Resampling.BICUBIC)
    return small.resize(size, Image.Resampling.BILINEAR)


def _gradient(dice: _Dice, size: tuple[int, int], colours: Sequence[Colour]) -> Image.Image:
    """A smooth field between random mixtures of the colours."""
    rows, columns = dice.integer(2, 4), dice.integer(2, 4)
    weights = dice.array(rows, columns, len(colours)) ** 3 + 1e-3
    grid = (weights / weights.sum(2, keepdims=True)) @ np.array(colours, np.float64)
    return _smooth(grid, size)


# --- the animal ------------------------------------------------------------------------------------------------------


def _eye(brush: _Brush, dice: _Dice, coat: _Coat, cat: bool, x: float, y: float, size: float, asleep: bool) -> None:
    """An almond with an upright slit for a cat, a round eye with a wide pupil for a dog."""
    if asleep:
        arc = _open(size * _pts((-1, 0), (-0.5, 0.5), (0.5, 0.5), (1, 0)))
        brush.shifted(x, y).stroke(arc, coat.ink, 0.07)
        return
    black: Colour = (18, 16, 18)
    look = dice.between(-0.2, 0.2) * size
    if cat:
        lean = -18 if x > 0 else 18
        almond = _pts((-size * 1.15, 0), (0, -size * 0.85), (size * 1.15, 0), (0, size * 0.8))
        part = brush.shifted(x, y, lean)
        part.fill(_closed(almond), coat.eye)
        part.fill(_ellipse(look, 0, size * dice.between(0.2, 0.4), size * 0.75), black, outline=False)
    else:
        brush.fill(_ellipse(x, y, size * 0.85, size * 0.9), coat.eye)
        brush.fill(_ellipse(x + look, y, size * 0.6, size * 0.65), black, outline=False)
    brush.fill(_ellipse(x + size * 0.2, y - size * 0.3, size * 0.2, size * 0.2), _WHITE, outline=False)


def _nose(brush: _Brush, dice: _Dice, coat: _Coat, cat: bool, x: float, y: float) -> None:
    """A small triangle for a cat, a wide rounded nose for a dog."""
    if cat:
        size = dice.between(0.1, 0.15)
        brush.fill(_pts((x - size, y - size * 0.6), (x + size, y - size * 0.6), (x, y + size * 0.8)), coat.nose)
    else:
        size = dice.between(0.2, 0.28)
        brush.shifted(x, y).fill(_closed(size * _pts((-1, -0.1), (0, -0.7), (1, -0.1), (0, 0.7))), coat.nose)


def _whiskers(brush: _Brush, dice: _Dice, colour: Colour, x: float, y: float, side: int) -> None:
    reach, droop = dice.between(0.7, 1.1), dice.between(-0.15, 0.3)
    for row in (-1, 0, 1):
        end = (x + side * reach, y + row * 0.2 + droop)
        brush.stroke(_open(_pts((x, y + row * 0.07), (x + side * reach * 0.5, y + row * 0.15), end)), colour, 0.03)


def _tongue(brush: _Brush, dice: _Dice, x: float, y: float) -> None:
    length = dice.between(0.18, 0.38)
    tongue = _pts((-0.12, 0), (0.12, 0), (0.13, length * 0.7), (0, length), (-0.13, length * 0.7))
    brush.shifted(x, y).fill(_closed(tongue), (226, 112, 124))


def _cat_ears(brush: _Brush, dice: _Dice, coat: _Coat, yaw: float) -> None:
    """Two upright triangles; the one on the far side of a turned head looks narrower."""
    height, lean, spread = dice.between(0.5, 0.85), dice.between(-0.1, 0.3), dice.between(0.6, 0.75)
    for side in (-1, 1):
        near = 1 + 0.25 * yaw * side
        x = side * spread * near + 0.1 * yaw
        half = 0.36 / max(near, 0.8)
        tip = (x + side * lean, -0.62 - height)
        ear = _pts((x - half, -0.45), (x - half * 0.55 + side * lean * 0.4, -0.62 - height * 0.5), tip)
        ear = np.vstack([ear, _pts((x + half * 0.65 + side * lean * 0.4, -0.55 - height * 0.45), (x + half, -0.3))])
        brush.fill(ear, coat.fur)
        middle = ear.mean(0) + np.array([0, 0.05])
        brush.fill(middle + (ear - middle) * 0.55, coat.inner, outline=False)


def _dog_ears(brush: _Brush, dice: _Dice, coat: _Coat, yaw: float) -> None:
    """Two ears that hang down beside the head, or stand half up with the tips folded over."""
    folded, length, out = dice.chance(0.35), dice.between(0.75, 1.35), dice.between(0.15, 0.4)
    paint = coat.fur if dice.chance(0.5) else coat.inner
    for side in (-1, 1):
        near = 1 + 0.2 * yaw * side
        x = 0.62 * near
        if folded:
            ear = _pts(
                (x - 0.3, -0.7), (x - 0.02, -1.08), (x + 0.34, -1.0), (x + 0.5 + out, -0.55), (x + 0.42 + out, -0.25)
            )
            ear = np.vstack([ear, _pts((x + 0.2, -0.5))])
        else:
            ear = _pts((x - 0.28, -0.72), (x + 0.1, -0.82), (x + 0.25 + out, -0.45), (x + 0.32 + out, -0.7 + length))
            ear = np.vstack([ear, _pts((x + 0.1 + out * 0.7, -0.6 + length), (x, -0.35 + length * 0.4))])
        if side < 0:
            ear = _flip(ear)
        brush.shifted(0.1 * yaw, 0).fill(_closed(ear), paint)


def _head_front(brush: _Brush, dice: _Dice, coat: _Coat, cat: bool, yaw: float) -> None:
    """A head seen from the front, turned by yaw in [-1, 1]."""
    asleep, tongue = dice.chance(0.08), dice.chance(0.3)
    wide, tall = dice.between(0.92, 1.1), dice.between(0.92, 1.08)
    if cat:
        _cat_ears(brush, dice, coat, yaw)
        right = _pts((0.3, -0.78), (0.78, -0.5), (0.98, 0.08), (0.72, 0.58), (0.25, 0.8))
    else:
        right = _pts((0.3, -0.84), (0.72, -0.58), (0.84, -0.05), (0.66, 0.5), (0.25, 0.85))
    head = _closed(_both(right * (wide, tall)))
    brush.fill(head, coat.fur)
    if dice.chance(0.3):
        blaze = _closed(_both(_pts((0.04, -0.7), (0.12, -0.3), (0.3, 0.3))))
        brush.shifted(0.2 * yaw, 0).fill(blaze, coat.light, outline=False)
    if not cat:
        _dog_ears(brush, dice, coat, yaw)
    gap, level, size = dice.between(0.36, 0.44), dice.between(-0.2, -0.08), dice.between(0.18, 0.24)
    for side in (-1, 1):
        _eye(brush, dice, coat, cat, side * gap + 0.22 * yaw, level, size, asleep)
    if cat:
        x, y = 0.3 * yaw, dice.between(0.2, 0.28)
        if tongue:
            _tongue(brush, dice, x, y + 0.3)
        for side in (-1, 1):
            brush.fill(_ellipse(x + side * 0.16, y + 0.2, 0.21, 0.17), coat.light, outline=False)
        _nose(brush, dice, coat, cat, x, y)
        mouth = _pts(
            (x - 0.3, y + 0.25), (x - 0.15, y + 0.34), (x, y + 0.14), (x + 0.15, y + 0.34), (x + 0.3, y + 0.25)
        )
        brush.stroke(mouth, coat.ink, 0.05)
        pale = _WHITE if sum(coat.base) < 420 else coat.ink
        for side in (-1, 1):
            _whiskers(brush, dice, pale, x + side * 0.28, y + 0.18, side)
    else:
        x, y, half = 0.5 * yaw, dice.between(0.4, 0.52), dice.between(0.4, 0.52)
        if tongue:
            _tongue(brush, dice, x, y + 0.33)
        brush.fill(_ellipse(x, y, half, dice.between(0.36, 0.46)), coat.light)
        _nose(brush, dice, coat, cat, x, y - 0.18)
        mouth = _pts((x - 0.24, y + 0.2), (x - 0.1, y + 0.25), (x, y), (x + 0.1, y + 0.25), (x + 0.24, y + 0.2))
        brush.stroke(mouth, coat.ink, 0.05)


def _head_side(brush: _Brush, dice: _Dice, coat: _Coat, cat: bool) -> None:
    """A head in profile, looking to the left: short face and upright ear, or long snout and hanging ear."""
    asleep, tongue = dice.chance(0.12), dice.chance(0.3)
    back = _pts((0.2, 0.82), (0.75, 0.5), (0.88, -0.1), (0.6, -0.65), (0.1, -0.84))
    if cat:
        face = _pts((-0.45, -0.66), (-0.78, -0.18), (-0.98, 0.12), (-0.92, 0.42), (-0.45, 0.7))
        nose, chin = (-0.96, 0.14), (-0.82, 0.42)
        x, lean, height = dice.between(0.2, 0.4), dice.between(-0.1, 0.3), dice.between(0.55, 0.85)
        for dx, paint in ((-0.35, coat.inner), (0.0, coat.fur)):
            ear = _pts((x + dx - 0.38, -0.55), (x + dx + lean, -0.65 - height), (x + dx + 0.38, -0.45))
            brush.fill(ear, paint)
    else:
        long = dice.between(0.25, 0.7)
        face = _pts((-0.45, -0.7), (-0.66, -0.25), (-0.95 - long, -0.02), (-1.0 - long, 0.38), (-0.7, 0.56))
        nose, chin = (-0.98 - long, 0.06), (-0.8 - long * 0.6, 0.42)
    if tongue:
        _tongue(brush, dice, chin[0] + 0.1, chin[1] - 0.05)
    brush.fill(_closed(np.vstack([back, face])), coat.fur)
    if dice.chance(0.5):
        brush.fill(_ellipse(chin[0] + 0.12, chin[1] - 0.12, 0.2, 0.13), coat.light, outline=False)
    _eye(brush, dice, coat, cat, -0.38, dice.between(-0.25, -0.1), dice.between(0.15, 0.21), asleep)
    _nose(brush, dice, coat, cat, *nose)
    brush.stroke(_pts((nose[0] + 0.08, chin[1] - 0.14), (chin[0] + 0.3, chin[1] - 0.06)), coat.ink, 0.05)
    if cat:
        _whiskers(brush, dice, _WHITE if sum(coat.base) < 420 else coat.ink, -0.7, 0.26, dice.pick((-1, 1)))
    else:
        length, out = dice.between(0.7, 1.15), dice.between(0.1, 0.4)
        ear = _pts(
            (0.05, -0.68),
            (0.4, -0.6),
            (0.45 + out, 0.0),
            (0.35 + out, -0.55 + length),
            (0.1 + out * 0.5, -0.5 + length),
        )
        brush.fill(_closed(np.vstack([ear, _pts((0.02, -0.1))])), coat.fur if dice.chance(0.5) else coat.inner)


def _tail(brush: _Brush, dice: _Dice, coat: _Coat, cat: bool, x: float, y: float) -> None:
    """From (x, y) to the right: long, thin and curling for a cat, short and tapering for a dog."""
    if cat:
        up, curl = dice.between(-1.7, 0.2), dice.between(-0.6, 0.6)
        path = _pts(
            (x, y),
            (x + 0.6, y + 0.1),
            (x + 0.95, y + up * 0.5),
            (x + 0.9 + curl * 0.5, y + up),
            (x + 0.9 + curl, y + up - 0.25),
        )
        brush.fill(_tube(path, 0.17, 0.13), coat.fur)
    else:
        up, out = dice.between(-1.0, 0.3), dice.between(0.4, 0.8)
        path = _pts((x, y), (x + out * 0.6, y + up * 0.3), (x + out, y + up))
        brush.fill(_tube(path, 0.24, 0.07), coat.fur)


def _leg(brush: _Brush, coat: _Coat, x: float, top: float, foot: float, half: float) -> None:
    brush.fill(_tube(_pts((x, top), (x, (top + foot) / 2), (x - 0.03, foot)), half, half * 0.85), coat.fur)
    brush.fill(_ellipse(x - 0.1, foot + 0.02, half * 1.35, half * 0.7), coat.light)


def _collar(brush: _Brush, coat: _Coat, y: float, half: float) -> None:
    if coat.collar is not None:
        band = _open(_pts((-half, y - 0.1), (0, y + 0.06), (half, y - 0.1)))
        brush.stroke(band, coat.collar, 0.17)
        brush.fill(_ellipse(0, y + 0.14, 0.12, 0.12), _mix(coat.collar, (250, 220, 90), 0.7))


def _body_bust(brush: _Brush, dice: _Dice, coat: _Coat, cat: bool) -> None:
    """Neck and shoulders, going on below the picture."""
    half = dice.between(0.9, 1.3)
    brush.fill(_closed(_both(_pts((0.5, 0.3), (half * 0.8, 1.0), (half, 2.0), (half, 5.0)))), coat.fur)
    if dice.chance(0.5):
        brush.fill(_closed(_both(_pts((0.3, 0.6), (0.45, 1.3), (0.2, 2.2)))), coat.light, outline=False)
    _collar(brush, coat, 0.95, 0.72)


def _body_sitting(brush: _Brush, dice: _Dice, coat: _Coat, cat: bool) -> None:
    """A pear from the front, with two front legs, haunches and a tail to one side."""
    half, foot = dice.between(0.85, 1.15), dice.between(2.2, 2.7)
    _tail(brush, dice, coat, cat, half * 0.7, foot - 0.35)
    brush.fill(
        _closed(_both(_pts((0.42, 0.4), (0.62, 1.1), (half, foot - 0.6), (half * 0.8, foot), (0.2, foot)))), coat.fur
    )
    if dice.chance(0.5):
        brush.fill(_ellipse(0, 1.35, 0.38, 0.6), coat.light, outline=False)
    for side in (-1, 1):
        brush.fill(_ellipse(side * half * 0.85, foot - 0.02, 0.34, 0.17), coat.light)
        _leg(brush, coat, side * 0.28 + 0.05, 1.4, foot, 0.2)
    _collar(brush, coat, 0.9, 0.55)


def _body_standing(brush: _Brush, dice: _Dice, coat: _Coat, cat: bool) -> None:
    """From the side, the head at the left end."""
    long, foot, thick = dice.between(2.0, 2.7), dice.between(2.1, 2.7), dice.between(0.58, 0.75)
    _tail(brush, dice, coat, cat, long + 0.35, 0.95)
    stride = dice.between(-0.2, 0.25)
    for x in (0.55 + stride, long - 0.2 + stride):
        _leg(brush, coat, x, 1.3, foot - 0.08, 0.2)
    trunk = _pts(
        (0.0, 0.3), (0.7, 0.55), (long * 0.6, 0.62), (long + 0.3, 0.75), (long + 0.45, 1.2), (long, 1.2 + thick * 0.8)
    )
    trunk = np.vstack([trunk, _pts((long * 0.5, 1.15 + thick), (0.3, 1.2 + thick * 0.9), (-0.25, 1.0))])
    brush.fill(_closed(trunk), coat.fur)
    for x in (0.2 - stride, long + 0.1 - stride):
        _leg(brush, coat, x, 1.3, foot, 0.21)
    _collar(brush.shifted(0.15, 0), coat, 0.85, 0.5)


def _body_lying(brush: _Brush, dice: _Dice, coat: _Coat, cat: bool) -> None:
    """Lying down, the head at the left end, paws in front."""
    long = dice.between(2.0, 2.7)
    _tail(brush, dice, coat, cat, long + 0.1, 1.1)
    trunk = _pts(
        (-0.2, 0.3),
        (0.8, 0.3),
        (long * 0.7, 0.2),
        (long + 0.3, 0.65),
        (long + 0.35, 1.25),
        (long * 0.5, 1.4),
        (-0.3, 1.38),
    )
    brush.fill(_closed(trunk), coat.fur)
    brush.fill(_ellipse(long - 0.3, 1.0, 0.55, 0.4), coat.fur)
    for x in (-0.55, 0.1):
        brush.fill(_ellipse(x, 1.32, 0.38, 0.17), coat.light)
    _collar(brush, coat, 0.9, 0.55)


_POSES = (_body_bust, _body_sitting, _body_standing, _body_lying)


# --- the scene -------------------------------------------------------------------------------------------------------


def _background(dice: _Dice, size: tuple[int, int]) -> Image.Image:
    """A backdrop with things in it, some with the outlines of ears, tails and snouts."""
    width, height = size
    a, b, c = _any_colour(dice), _any_colour(dice), _any_colour(dice)
    image = _gradient(dice, size, (a, _mix(a, b, 0.5), b))
    draw = ImageDraw.Draw(image)
    horizon = round(height * dice.between(0.35, 0.85))
    match dice.pick(("gradient", "field", "room", "hills", "noise")):
        case "field":
            draw.rectangle((0, horizon, width, height), fill=c)
            for x, y, r in dice.array(120, 3).tolist():
                foot = horizon + y * (height - horizon)
                blade = (x * width, foot, x * width + (r - 0.5) * 16, foot - 10 - 18 * y)
                draw.line(blade, fill=_mix(c, b, r * 0.7), width=3)
        case "room":
            step = round(width * dice.between(0.06, 0.2))
            for x in range(0, width, step) if dice.chance(0.5) else ():
                draw.rectangle((x, 0, x + step // 2, horizon), fill=_mix(a, b, 0.6))
            draw.rectangle((0, horizon, width, height), fill=c)
            x, y = dice.between(0, 0.7) * width, dice.between(0, 0.3) * height
            frame = (x, y, x + dice.between(0.2, 0.4) * width, y + dice.between(0.2, 0.4) * height)
            draw.rectangle(frame, fill=_any_colour(dice), outline=_any_colour(dice), width=6)
        case "hills":
            for _ in range(dice.integer(2, 5)):
                x, half, top = dice.between(0, width), dice.between(0.1, 0.4) * width, dice.between(0.1, 0.7) * height
                draw.polygon((x - half, height, x, top, x + half, height), fill=_any_colour(dice))
            draw.rectangle((0, horizon, width, height), fill=c)
        case "noise":
            cells = dice.array(dice.integer(6, 24), dice.integer(6, 24), 3)
            grain = Image.fromarray((cells * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
            image = Image.blend(image, grain, dice.between(0.1, 0.3))
    for _ in range(dice.integer(0, 3)):
        _thing(image, dice, dice.between(0, width), dice.between(0, height), min(size) * dice.between(0.04, 0.16))
    return image


def _thing(image: Image.Image, dice: _Dice, x: float, y: float, size: float) -> None:
    """One object: a ball, a tent, a leaf, a box, a rope or a bundle of straws."""
    colour, ink = _any_colour(dice), _any_colour(dice)
    brush = _Brush(image, np.array([[1.0, 0, 0], [0, 1, 0]]), ink, 2).shifted(x, y, dice.between(-60, 60), size)
    match dice.pick(("ball", "tent", "leaf", "box", "rope", "straws")):
        case "ball":
            brush.fill(_ellipse(0, 0, 1, 1), colour)
            brush.stroke(_open(_pts((-1, 0), (0, 0.3), (1, 0))), ink, 0.2)
        case "tent":
            brush.fill(_pts((-0.7, 0.8), (0, -1), (0.7, 0.8)), colour)
        case "leaf":
            brush.fill(_closed(_pts((0, -1.2), (0.5, 0), (0.3, 1), (-0.3, 1), (-0.5, 0))), colour)
        case "box":
            brush.fill(_pts((-1, -0.8), (1, -0.8), (1, 0.8), (-1, 0.8)), colour)
        case "rope":
            path = _pts((-1.6, 0.3), (-0.6, -0.4), (0.3, 0.5), (1.4, -0.3))
            brush.fill(_tube(path, 0.2, dice.between(0.05, 0.2)), colour)
        case "straws":
            for row in (-1, 0, 1):
                brush.stroke(_pts((-1.5, row * 0.15), (1.5, row * 0.45)), colour, 0.06)


def _occlude(image: Image.Image, dice: _Dice, head: tuple[float, float], radius: float) -> None:
    """Things in front of the animal: grass, a fence rail, balls. Nothing large covers the face."""
    width, height = image.size
    draw = ImageDraw.Draw(image)
    match dice.pick(("none", "none", "none", "grass", "bar", "things")):
        case "grass":
            colour = _any_colour(dice)
            for x, tall, lean in dice.array(40, 3).tolist():
                top = height - tall * min(height * 0.3, max(0.0, height - head[1]))
                foot = x * width
                blade = (foot - 5, height, foot + 5, height, foot + (lean - 0.5) * 40, top)
                draw.polygon(blade, fill=_mix(colour, (20, 30, 20), lean * 0.4))
        case "bar":
            half = radius * dice.between(0.06, 0.13)
            x = head[0] + dice.pick((-1, 1)) * radius * dice.between(0.5, 2)
            draw.rectangle((x - half, 0, x + half, height), fill=_any_colour(dice))
        case "things":
            for _ in range(dice.integer(1, 3)):
                angle, far = dice.between(0, math.pi), radius * dice.between(1.4, 3)
                x, y = head[0] + far * math.cos(angle), head[1] + far * math.sin(angle)
                _thing(image, dice, x, y, radius * dice.between(0.25, 0.5))


def _develop(image: Image.Image, dice: _Dice) -> Image.Image:
    """Light, tint, grain and blur, as from many cameras. Takes the finished size; (height, width, 3) uint8 inside."""
    width, height = image.size
    if dice.chance(0.3):
        image = image.filter(ImageFilter.GaussianBlur(dice.between(0.4, 1.0)))
    light = _smooth(dice.array(2, 3) * 75 + 180, image.size)
    image = ImageChops.multiply(image, Image.merge("RGB", (light, light, light)))
    tint = np.array([dice.between(0.88, 1.12) for _ in range(3)], np.float32)
    contrast, bright = np.float32(dice.between(0.7, 1.15)), np.float32(dice.between(-8, 42))
    pixels = (np.asarray(image, np.float32) - 128) * (contrast * tint) + (128 + bright)
    if dice.chance(0.5):
        grain = dice.array(height, width, 1).astype(np.float32) - np.float32(0.5)
        pixels += grain * np.float32(dice.between(8, 36))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def draw(label: str, seed: int, index: int, split: str) -> Image.Image:
    """Draws one picture, RGB, 120 to 260 pixels on a side; a function of its arguments alone.

    label is "cats" or "dogs", split "train", "valid" or "test". Raises ValueError for any other. Pixels are the same
    wherever the same Pillow draws them; another version of Pillow may round edges differently.
    """
    if label not in LABELS:
        raise ValueError(f"demo label {label!r} is unknown; use one of {', '.join(LABELS)}")
    if split not in SPLITS:
        raise ValueError(f"demo split {split!r} is unknown; use one of {', '.join(SPLITS)}")
    dice = _Dice("picture", DEMO_VERSION, label, seed, index, split)
    cat = label == "cats"
    width = dice.integer(120, 260)
    height = min(260, max(120, round(width * dice.between(0.75, 1.33))))
    canvas = (2 * width, 2 * height)
    image = _background(dice, canvas)

    pose = dice.pick(_POSES)
    unit = min(canvas) * (dice.between(0.26, 0.34) if pose is _body_bust else dice.between(0.22, 0.28))
    mirror = dice.pick((-1, 1))
    # The head stays in the picture. A body that reaches right of it (before mirroring) gets room; the rest is cropped.
    margin = 1.15 * unit
    x = margin + (canvas[0] - 2 * margin) * dice.between(0, 1 if pose in (_body_bust, _body_sitting) else 0.6)
    y = 1.35 * unit + (canvas[1] - 2.6 * unit) * dice.between(0, 1 if pose is _body_bust else 0.7)
    if mirror < 0:
        x = canvas[0] - x
    coat = _coat(dice, canvas, unit)
    slope = math.radians(dice.between(-12, 12))
    across = np.array([math.cos(slope), math.sin(slope)]) * unit
    down = np.array([-math.sin(slope), math.cos(slope)]) * unit
    brush = _Brush(image, np.column_stack([across * mirror, down, (x, y)]), coat.ink, dice.integer(2, 5))
    pose(brush, dice, coat, cat)
    head = brush.shifted(0, 0, dice.between(-15, 15), dice.between(0.95, 1.15))
    if dice.chance(0.15):
        _head_side(head, dice, coat, cat)
    else:
        _head_front(head, dice, coat, cat, dice.between(-0.7, 0.7))
    _occlude(image, dice, (x, y), unit)
    return _develop(image.reduce(2), dice)


# --- the set on disk -------------------------------------------------------------------------------------------------


def _save_share(folder: Path, seed: int, size: DemoSize, worker: int, workers: int) -> None:
    """Draws every workers-th picture, starting at worker, into the existing class folders."""
    jobs = [(split, label, i) for split in SPLITS for label in LABELS for i in range(getattr(size, split))]
    for split, label, index in jobs[worker::workers]:
        quality = _Dice("quality", DEMO_VERSION, label, seed, index, split).integer(60, 95)
        path = folder / split / label / f"{label}-{index:05d}.jpg"
        draw(label, seed, index, split).save(path, "JPEG", quality=quality)


def _draw_all(folder: Path, seed: int, size: DemoSize, workers: int) -> None:
    """Draws the set into an empty folder.

    The share of each worker but the first is drawn by a process of its own: a fresh interpreter, because a process
    that has started TensorFlow must not fork, and multiprocessing's spawn would run the caller's main module again.
    """
    for split in SPLITS:
        for label in LABELS:
            (folder / split / label).mkdir(parents=True)
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    numbers = [str(number) for number in (seed, size.train, size.valid, size.test)]
    others = [
        subprocess.Popen(
            [sys.executable, "-m", "trainer.data.demo", str(folder), *numbers, str(worker), str(workers)],
            env=environment,
        )
        for worker in range(1, workers)
    ]
    try:
        _save_share(folder, seed, size, 0, workers)
        failed = sum(process.wait() != 0 for process in others)
    finally:
        for process in others:
            process.kill()  # does nothing to one that has ended
            process.wait()
    if failed:
        raise RuntimeError(f"drawing the demo set failed in {failed} of {workers} processes; the error is above")


def _marker(seed: int, size: DemoSize) -> dict[str, object]:
    return {"version": DEMO_VERSION, "seed": seed, "size": asdict(size)}


def _is_complete(folder: Path, seed: int, size: DemoSize) -> bool:
    """Whether the folder holds this set, with every picture there."""
    try:
        found = json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        return False
    if found != _marker(seed, size):
        return False
    folders = ((split, folder / split / label) for split in SPLITS for label in LABELS)
    return all(len(list(pictures.glob("*.jpg"))) == getattr(size, split) for split, pictures in folders)


def _make_way(dst: Path) -> None:
    """Removes another demo set (or a damaged one) at dst; refuses when there is anything that is not part of one."""
    try:
        names = {entry.name for entry in dst.iterdir()}
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise ExitError(Exit.USAGE, f"the demo set cannot go to {dst}: it is a file; name a folder") from None
    if names and (MARKER not in names or names - {MARKER, *SPLITS}):
        raise ExitError(Exit.USAGE, f"the demo set cannot go to {dst}: it holds other files; name a new folder")
    aside = _sibling(dst)
    try:
        dst.rename(aside)
    except FileNotFoundError:
        return  # another process was faster
    shutil.rmtree(aside)


def _sibling(dst: Path) -> Path:
    """A new name in the same folder, so that a rename between the two is atomic."""
    return dst.with_name(f".{dst.name}.{uuid.uuid4().hex}")


def _put(staging: Path, dst: Path) -> bool:
    """Renames staging to dst; False if another process has put a set there in between."""
    try:
        staging.rename(dst)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def write_demo(dst: Path, seed: int = 0, size: DemoSize = DEFAULT_SIZE) -> Path:
    """Makes dst hold the demo set of this version, seed and size, as dst/{train,valid,test}/{cats,dogs}/*.jpg.

    Does nothing if it is there already. Else draws beside dst and renames, so that dst is never seen half made; of
    several processes at once, one puts its set in place and the others find it. An older demo set at dst is replaced.
    Returns dst. Raises ExitError (USAGE) if dst is a file or a folder with anything else in it, OSError if it cannot
    be written.
    """
    if _is_complete(dst, seed, size):
        return dst
    _make_way(dst)
    staging = _sibling(dst)
    staging.mkdir(parents=True)
    try:
        pictures = 2 * (size.train + size.valid + size.test)
        _draw_all(staging, seed, size, workers=max(1, min(processors(), pictures // 100)))
        (staging / MARKER).write_text(json.dumps(_marker(seed, size)) + "\n")
        while not _put(staging, dst) and not _is_complete(dst, seed, size):
            _make_way(dst)
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # gone already if it was renamed
    return dst


if __name__ == "__main__":  # one worker of _draw_all
    _seed, *_sizes, _worker, _workers = (int(argument) for argument in sys.argv[2:])
    _save_share(Path(sys.argv[1]), _seed, DemoSize(*_sizes), _worker, _workers)

"""Colours, and brushes that paint shapes on an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from trainer.data.drawing.dice import Dice
from trainer.data.drawing.shapes import Points

Colour = tuple[int, int, int]

WHITE: Colour = (250, 248, 244)


@dataclass(frozen=True)
class Brush:
    """Paints shapes, given in the animal's coordinates, on an image. matrix is (2, 3): units to pixels."""

    image: Image.Image
    matrix: Points
    ink: Colour
    width: int

    def shifted(self, x: float, y: float, degrees: float = 0, scale: float = 1) -> Brush:
        """The same brush with its origin at (x, y), turned and scaled."""
        c, s = math.cos(math.radians(degrees)) * scale, math.sin(math.radians(degrees)) * scale
        local = np.array([[c, -s, x], [s, c, y], [0, 0, 1]])
        return Brush(self.image, self.matrix @ local, self.ink, self.width)

    def pixels(self, shape: Points) -> Points:
        """The shape's points in pixels of the image."""
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


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """A mix of two colours: the first at share 0, the second at 1."""
    r, g, b = (round(a + (z - a) * share) for a, z in zip(first, second, strict=True))
    return r, g, b


def any_colour(dice: Dice) -> Colour:
    """Any colour, muted ones more often than bright ones."""
    hue = dice.between(0, 2 * math.pi)
    chroma, value = 90 * dice.between(0, 1) ** 1.5, dice.between(40, 235)
    r, g, b = (int(min(255, max(0, value + chroma * math.cos(hue + turn)))) for turn in (0, 2.1, 4.2))
    return r, g, b


def smooth(grid: Points, size: tuple[int, int]) -> Image.Image:
    """The grid, (rows, columns) or (rows, columns, 3) in 0..255, enlarged smoothly; in two steps, for speed."""
    small = Image.fromarray(grid.astype(np.uint8)).resize((24, 24), Image.Resampling.BICUBIC)
    return small.resize(size, Image.Resampling.BILINEAR)


def gradient(dice: Dice, size: tuple[int, int], colours: Sequence[Colour]) -> Image.Image:
    """A smooth field between random mixtures of the colours."""
    rows, columns = dice.integer(2, 4), dice.integer(2, 4)
    weights = dice.array(rows, columns, len(colours)) ** 3 + 1e-3
    grid = (weights / weights.sum(2, keepdims=True)) @ np.array(colours, np.float64)
    return smooth(grid, size)

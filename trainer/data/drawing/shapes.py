"""Shapes: arrays of points, float64 (n, 2), in an animal's own units."""

import math

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def pts(*xy: tuple[float, float]) -> Points:
    """Points from pairs."""
    return np.array(xy, np.float64)


def _spline_basis(samples: int) -> Points:
    t = np.arange(samples)[:, None] / samples
    return np.hstack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2


_BASIS = _spline_basis(6)


def closed_curve(points: Points) -> Points:
    """A smooth closed curve through the points (Catmull-Rom spline)."""
    stacked = np.stack([np.roll(points, 1, 0), points, np.roll(points, -1, 0), np.roll(points, -2, 0)], 1)
    return (_BASIS @ stacked).reshape(-1, 2)


def open_curve(points: Points) -> Points:
    """A smooth open curve through the points."""
    padded = np.vstack([points[:1], points, points[-1:]])
    stacked = np.stack([padded[:-3], padded[1:-2], padded[2:-1], padded[3:]], 1)
    return np.vstack([(_BASIS @ stacked).reshape(-1, 2), points[-1:]])


def ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0) -> Points:
    """Around (x, y) with the given radii, turned by degrees."""
    angle = np.linspace(0, 2 * math.pi, 24, endpoint=False)
    turn = math.radians(degrees)
    across, down = rx * np.cos(angle), ry * np.sin(angle)
    return np.stack(
        [x + across * math.cos(turn) - down * math.sin(turn), y + across * math.sin(turn) + down * math.cos(turn)], 1
    )


def tube(path: Points, start: float, end: float) -> Points:
    """The outline of a smooth tube along the path, its radius changing from start to end, with a rounded tip."""
    line = open_curve(path)
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    side = np.stack([-along[:, 1], along[:, 0]], 1) * np.linspace(start, end, len(line))[:, None]
    tip = line[-1:] + along[-1:] * end
    return np.vstack([line + side, tip, (line - side)[::-1]])


def mirrored(points: Points) -> Points:
    """The shape with left and right swapped."""
    return points * np.array([-1.0, 1.0])


def symmetric(points: Points) -> Points:
    """A shape symmetric about x = 0 from its right half, listed from top to bottom."""
    return np.vstack([points, mirrored(points)[::-1]])

"""The confusion matrix as a figure."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from trainer.telemetry.figures.canvas import DPI, INK, QUIET, png, short
from trainer.telemetry.figures.fonts import families
from trainer.training.scores import Matrix
from trainer.words import percent

MOST_ANNOTATED_CLASSES = 12
MOST_CLASS_TICKS = 60

Shares = npt.NDArray[np.float64]
"""Shares in [0, 1] of the true class, [C, C], as a Matrix."""


def confusion_png(matrix: Matrix, labels: Sequence[str]) -> bytes:
    """Draw a confusion matrix, coloured by the share of each true class.

    Up to MOST_ANNOTATED_CLASSES classes, every cell shows its count and its share of the row; up to MOST_CLASS_TICKS,
    the axes name every class, beyond that every k-th.

    Args:
        matrix: int [C, C], counts; rows are the true classes, columns the predicted ones.
        labels: the C class names.

    Raises:
        ValueError: the shapes do not match, a count is negative, or there is no class.
    """
    classes = len(labels)
    if classes == 0 or matrix.shape != (classes, classes):
        raise ValueError(
            f"confusion matrix has shape {list(matrix.shape)}, expected [{classes}, {classes}] for {classes} labels"
        )
    if (matrix < 0).any():
        raise ValueError("confusion matrix holds a negative count")
    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    longest = max(len(short(label)) for label in labels)
    body = min(max(0.9 * classes, 3.2), 7.2)
    margin = 0.75 + 0.085 * longest
    width, height = margin + body + 1.25, margin + body + 0.25
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((margin / width, margin / height, body / width, body / height))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    size = 10.0 if classes <= MOST_ANNOTATED_CLASSES else max(5.0, min(9.0, 270 / classes))
    ticks = range(0, classes, math.ceil(classes / MOST_CLASS_TICKS))
    names = [short(labels[tick]) for tick in ticks]
    fonts = families("".join(names))
    upright = longest <= 6 and classes <= MOST_ANNOTATED_CLASSES
    # parse_math: a class name may contain dollar signs and must never be read as a formula
    axes.set_xticks(
        ticks,
        names,
        rotation=0 if upright else 90,
        fontsize=size,
        color=INK,
        parse_math=False,
        fontfamily=fonts,
    )
    axes.set_yticks(ticks, names, fontsize=size, color=INK, parse_math=False, fontfamily=fonts)
    axes.set_xlabel("predicted class", fontsize=10, color=QUIET, labelpad=8)
    axes.set_ylabel("true class", fontsize=10, color=QUIET, labelpad=8)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(1, classes) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, classes) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=min(2.0, 12 / classes))
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    if classes <= MOST_ANNOTATED_CLASSES:
        _annotate(axes, matrix, shares, size=min(12.0, 7 + 12 * body / classes / 3.6))
    scale = figure.add_axes(((margin + body + 0.2) / width, margin / height, 0.14 / width, body / height))
    bar = figure.colorbar(image, cax=scale, format=PercentFormatter(1.0, decimals=0, symbol=" %"))
    bar.outline.set_visible(False)
    scale.tick_params(length=0, labelsize=9, labelcolor=QUIET)
    scale.set_ylabel("share of the true class", fontsize=9, color=QUIET)
    return png(figure, margin=24)


def _annotate(axes: Axes, matrix: Matrix, shares: Shares, size: float) -> None:
    for row in range(len(matrix)):
        for column in range(len(matrix)):
            count = int(matrix[row, column])
            share = f"\n{percent(float(shares[row, column]))}" if count else ""
            axes.text(
                column,
                row,
                f"{count:,}{share}",
                ha="center",
                va="center",
                fontsize=size,
                linespacing=1.3,
                color="white" if shares[row, column] > 0.55 else INK if count else QUIET,
            )

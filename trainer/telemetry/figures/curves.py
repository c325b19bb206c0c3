"""The learning curves as a figure.

The lines use colours by Okabe and Ito, which readers with a colour vision deficiency can tell apart
(https://jfly.uni-koeln.de/color/).
"""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.telemetry.curves import EpochRow, History, best_epoch, overfitting_start, rows
from trainer.telemetry.figures.canvas import DPI, dress, png
from trainer.words import decimal, percent

_TRAINING, _VALIDATION = "#D55E00", "#0072B2"
_BEST, _OVERFITTING = "#00785a", "#8f3f74"


def curves_png(history: History) -> bytes:
    """Draw accuracy and loss per epoch, training and validation, with the best epoch and the start of overfitting.

    Raises:
        ValueError: the history is empty or malformed.
    """
    epochs = rows(history)
    if not epochs:
        raise ValueError("no curves to draw: the history has no epoch yet")
    figure = Figure(figsize=(9, 4), dpi=DPI, facecolor="white")
    accuracy, loss = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.06, right=0.91, top=0.76, bottom=0.13, wspace=0.52)
    markers = [
        (best_epoch(epochs), "best epoch", _BEST, 1.13, (0, (5, 2))),
        (overfitting_start(epochs), "overfitting from epoch", _OVERFITTING, 1.04, (0, (1.5, 1.5))),
    ]
    _panel(
        accuracy,
        "Accuracy",
        epochs,
        [row.train_accuracy for row in epochs],
        [row.valid_accuracy for row in epochs],
        is_share=True,
    )
    _panel(loss, "Loss", epochs, [row.train_loss for row in epochs], [row.valid_loss for row in epochs], is_share=False)
    for axes in (accuracy, loss):
        for epoch, text, colour, height, dashes in markers:
            if epoch is not None:
                _mark(axes, epoch, f"{text} {epoch}", colour, height, dashes)
    return png(figure)


def _panel(
    axes: Axes, title: str, epochs: Sequence[EpochRow], train: list[float], valid: list[float], *, is_share: bool
) -> None:
    numbers = [row.epoch for row in epochs]
    dots = "o" if len(numbers) < 3 else None
    axes.plot(numbers, train, color=_TRAINING, linewidth=1.4, marker=dots, markersize=4)
    axes.plot(numbers, valid, color=_VALIDATION, linewidth=1.9, marker=dots, markersize=4)
    dress(axes, title, 1.24, numbers[0], numbers[-1], is_share=is_share)
    _label_ends(axes, [("training", _TRAINING, train), ("validation", _VALIDATION, valid)], is_share=is_share)


def _label_ends(axes: Axes, lines: list[tuple[str, str, list[float]]], *, is_share: bool) -> None:
    """Name each line at its right end with its last value, moved apart where the labels would overlap."""
    bottom, top = axes.get_ylim()
    ends = []
    for name, colour, values in lines:
        finite = [value for value in values if math.isfinite(value)]
        if finite:
            ends.append(((finite[-1] - bottom) / (top - bottom), name, colour, finite[-1]))
    ends.sort()
    apart = 0.17
    heights = [end[0] for end in ends]
    if len(ends) == 2 and heights[1] - heights[0] < apart:
        middle = min(max(sum(heights) / 2, apart / 2), 1 - apart / 2)
        heights = [middle - apart / 2, middle + apart / 2]
    for height, (_, name, colour, value) in zip(heights, ends, strict=True):
        number = percent(value) if is_share else decimal(value)
        axes.text(
            1.025,
            height,
            f"{name}\n{number}",
            transform=axes.transAxes,
            color=colour,
            fontsize=10,
            va="center",
            linespacing=1.25,
        )


def _mark(axes: Axes, epoch: int, text: str, colour: str, height: float, dashes: tuple[int, tuple[float, ...]]) -> None:
    """Draw a vertical line at an epoch, labelled above the panel; each kind of line has its own label height."""
    left, right = axes.get_xlim()
    across = (epoch - left) / (right - left)
    axes.plot(
        [epoch, epoch],
        [0, height + 0.055],
        transform=axes.get_xaxis_transform(),
        color=colour,
        linewidth=1.2,
        linestyle=dashes,
        clip_on=False,
        zorder=1.5,
    )
    to_the_right = across < 0.5
    axes.annotate(
        text,
        (epoch, height),
        xycoords=axes.get_xaxis_transform(),
        xytext=(5 if to_the_right else -5, 0),
        textcoords="offset points",
        ha="left" if to_the_right else "right",
        va="bottom",
        fontsize=9.5,
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        annotation_clip=False,
    )

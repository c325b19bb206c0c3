"""The learning curves of several runs over each other.

The first seven lines use colours by Okabe and Ito (see `curves`), their black and yellow replaced by grey and brown,
which can be seen on a white and on an inverted page; from the eighth on they come again, dashed.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trainer.telemetry.curves import EpochRow, best_epoch
from trainer.telemetry.figures.canvas import DPI, INK, dress, png, short

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#8a6d1a", "#6b7280")
_DASHES: tuple[tuple[int, tuple[float, ...]], ...] = ((0, ()), (0, (4, 1.5)), (0, (1, 1)))

LARGEST = 1e9
"""A loss above it is not drawn: the axis would show nothing else."""

_LEGEND_COLUMNS = 3


def overlay_png(names: Sequence[str], histories: Sequence[Sequence[EpochRow]]) -> bytes:
    """Draw accuracy and loss per epoch of each run: validation as a wide line, training as a thin one.

    A ring marks the best epoch. Runs without an epoch are in the legend only.

    Raises:
        ValueError: no run has an epoch.
    """
    numbers = [row.epoch for history in histories for row in history]
    if not numbers:
        raise ValueError("no curves to draw: no run has an epoch yet")
    rows = -(-len(names) // _LEGEND_COLUMNS)
    height = 3.6 + 0.25 * rows
    figure = Figure(figsize=(9, height), dpi=DPI, facecolor="white")
    accuracy, loss = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.06, right=0.985, top=1 - 0.45 / height, bottom=(0.75 + 0.25 * rows) / height)
    for axes, title, is_share in ((accuracy, "Accuracy", True), (loss, "Loss", False)):
        for at, history in enumerate(histories):
            _lines(axes, at, history, is_share=is_share)
        dress(axes, title, 1.06, min(numbers), max(numbers), is_share=is_share)
    handles = [Line2D([], [], color=_colour(at), linestyle=_dashes(at), linewidth=2) for at in range(len(names))]
    labels = [short(name, 38) for name in names]
    figure.legend(handles, labels, loc="lower left", ncols=_LEGEND_COLUMNS, frameon=False, fontsize=10, labelcolor=INK)
    return png(figure)


def _lines(axes: Axes, at: int, history: Sequence[EpochRow], *, is_share: bool) -> None:
    epochs = [row.epoch for row in history]
    train = _drawn([row.train_accuracy if is_share else row.train_loss for row in history])
    valid = _drawn([row.valid_accuracy if is_share else row.valid_loss for row in history])
    dots = "o" if len(epochs) < 3 else None
    colour = _colour(at)
    axes.plot(epochs, train, color=colour, linestyle=_dashes(at), linewidth=0.8, alpha=0.6, marker=dots, markersize=2.5)
    axes.plot(epochs, valid, color=colour, linestyle=_dashes(at), linewidth=1.9, marker=dots, markersize=4)
    best = best_epoch(history)
    if best in epochs:
        place = epochs.index(best)
        [ring] = axes.plot([best], [valid[place]], "o", markersize=7, color=colour, clip_on=False)
        ring.set(markerfacecolor="white", markeredgewidth=1.8)


def _drawn(values: Sequence[float]) -> list[float]:
    return [value if abs(value) < LARGEST else np.nan for value in values]


def _colour(at: int) -> str:
    return COLOURS[at % len(COLOURS)]


def _dashes(at: int) -> tuple[int, tuple[float, ...]]:
    return _DASHES[at // len(COLOURS) % len(_DASHES)]

"""The four figures of a run, as PNG bytes.

Pure functions: arrays in, bytes out, the same bytes for the same input on the same matplotlib and Pillow. Matplotlib is
used through its objects, never through pyplot, so nothing is shared between calls or threads. The lines have
colours of Okabe and Ito, which readers with a colour vision deficiency can tell apart (https://jfly.uni-koeln.de/color/).
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageOps

from trainer.telemetry.curves import EpochRow, History, best_epoch, overfitting_start, rows

Pixels = NDArray[np.uint8]

MOST_MISTAKES = 12
MOST_ANNOTATED_CLASSES = 12
MOST_CLASS_TICKS = 60

_DPI = 200
_INK, _QUIET, _GRID = "#1f2328", "#59636e", "#d8dee4"
_TRAINING, _VALIDATION = "#D55E00", "#0072B2"
_BEST, _OVERFITTING = "#00785a", "#8f3f74"
_ZOOM = 2  # device pixels per picture pixel: text stays crisp on a fine screen, and repeated pixels cost PNG little
_PHOTO_COLOURS = 192


@dataclass(frozen=True)
class Mistake:
    """One wrongly classified picture: pixels uint8 [H, W, 3], and the probability in [0, 1] given to `predicted`."""

    pixels: Pixels
    path: str
    true: str
    predicted: str
    probability: float


def curves_png(history: History) -> bytes:
    """Draw accuracy and loss per epoch, training and validation, with the best epoch and the start of overfitting.

    Raises:
        ValueError: the history is empty or malformed.
    """
    epochs = rows(history)
    if not epochs:
        raise ValueError("no curves to draw: the history has no epoch yet")
    figure = Figure(figsize=(9, 4), dpi=_DPI, facecolor="white")
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
    return _png(figure)


def augmentation_png(original: Pixels, variants: Pixels) -> bytes:
    """Draw the original beside a 3 x 3 grid of augmented variants (the first nine).

    Args:
        original: uint8 [H, W, 3].
        variants: uint8 [N, H, W, 3], N >= 1.

    Raises:
        ValueError: wrong dtype or shape, or no variant.
    """
    _check_picture(original, "original")
    if variants.ndim != 4 or len(variants) == 0:
        raise ValueError(f"variants have shape {list(variants.shape)}, expected [N, H, W, 3] with N >= 1")
    shown = list(variants[:9])
    for variant in shown:
        _check_picture(variant, "variant")
    side, gap, big, caption = 132, 8, 220, 28
    grid = 3 * side + 2 * gap
    left = big + 4 * gap
    places = [_Place(original, (0, caption), big, ("original",))]
    for at, variant in enumerate(shown):
        row, column = divmod(at, 3)
        corner = (left + column * (side + gap), caption + row * (side + gap))
        places.append(_Place(variant, corner, side, ("augmented variants",) if at == 0 else ()))
    return _sheet(places, width=left + grid, height=caption + grid)


def confusion_png(matrix: NDArray[np.int64], labels: Sequence[str]) -> bytes:
    """Draw a confusion matrix, coloured by the share of each true class.

    Up to MOST_ANNOTATED_CLASSES classes every cell shows its count and its share of the row; up to MOST_CLASS_TICKS
    every class is named on the axes, beyond that every k-th.

    Args:
        matrix: int [C, C], counts; rows are the true classes, columns the predicted ones.
        labels: the C class names.

    Raises:
        ValueError: the shapes do not fit each other, a count is negative, or there is no class.
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
    longest = max(len(_short(label)) for label in labels)
    body = min(max(0.9 * classes, 3.2), 7.2)
    margin = 0.75 + 0.085 * longest
    width, height = margin + body + 1.25, margin + body + 0.25
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    axes = figure.add_axes((margin / width, margin / height, body / width, body / height))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    size = 10.0 if classes <= MOST_ANNOTATED_CLASSES else max(5.0, min(9.0, 270 / classes))
    ticks = range(0, classes, math.ceil(classes / MOST_CLASS_TICKS))
    names = [_short(labels[tick]) for tick in ticks]
    upright = longest <= 6 and classes <= MOST_ANNOTATED_CLASSES
    # parse_math: a class name may hold dollar signs and must never be read as a formula
    axes.set_xticks(
        ticks,
        names,
        rotation=0 if upright else 90,
        fontsize=size,
        color=_INK,
        parse_math=False,
    )
    axes.set_yticks(ticks, names, fontsize=size, color=_INK, parse_math=False)
    axes.set_xlabel("predicted class", fontsize=10, color=_QUIET, labelpad=8)
    axes.set_ylabel("true class", fontsize=10, color=_QUIET, labelpad=8)
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
    scale.tick_params(length=0, labelsize=9, labelcolor=_QUIET)
    scale.set_ylabel("share of the true class", fontsize=9, color=_QUIET)
    return _png(figure, margin=24)


def mistakes_png(mistakes: Sequence[Mistake]) -> bytes:
    """Draw up to MOST_MISTAKES wrong pictures, the surest first, with labels, probability and file name.

    Raises:
        ValueError: there is no mistake to draw, or one has pixels of the wrong dtype or shape.
    """
    if not mistakes:
        raise ValueError("no mistakes to draw: leave the figure out")
    worst = sorted(mistakes, key=lambda mistake: (-mistake.probability, mistake.path))[:MOST_MISTAKES]
    side, gap, caption, columns = 152, 16, 50, min(4, len(worst))
    places = []
    for at, mistake in enumerate(worst):
        _check_picture(mistake.pixels, f"mistake {mistake.path}")
        row, column = divmod(at, columns)
        lines = (
            f"{_short(mistake.predicted, 15)}, {100 * mistake.probability:.1f} %",
            f"in truth {_short(mistake.true, 17)}",
            _short_path(mistake.path, 27),
        )
        corner = (column * (side + gap), caption + row * (side + gap + caption))
        places.append(_Place(mistake.pixels, corner, side, lines))
    lines_of_pictures = math.ceil(len(worst) / columns)
    return _sheet(
        places,
        width=columns * (side + gap) - gap,
        height=lines_of_pictures * (side + gap + caption) - gap,
    )


def _panel(
    axes: Axes, title: str, epochs: Sequence[EpochRow], train: list[float], valid: list[float], *, is_share: bool
) -> None:
    numbers = [row.epoch for row in epochs]
    dots = "o" if len(numbers) < 3 else None
    axes.plot(numbers, train, color=_TRAINING, linewidth=1.4, marker=dots, markersize=4)
    axes.plot(numbers, valid, color=_VALIDATION, linewidth=1.9, marker=dots, markersize=4)
    axes.text(0, 1.24, title, transform=axes.transAxes, fontsize=13, fontweight="bold", color=_INK)
    axes.set_xlabel("epoch", fontsize=10, color=_QUIET)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    if is_share:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.grid(axis="y", color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(length=0, labelsize=10, labelcolor=_QUIET)
    if len(numbers) == 1:
        axes.set_xlim(numbers[0] - 1, numbers[0] + 1)
    else:
        axes.set_xlim(numbers[0], numbers[-1])
    _label_ends(axes, [("training", _TRAINING, train), ("validation", _VALIDATION, valid)], is_share=is_share)


def _label_ends(axes: Axes, lines: list[tuple[str, str, list[float]]], *, is_share: bool) -> None:
    """Name each line at its right end with its last value, pushed apart where the ends meet."""
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
        number = f"{100 * value:.1f} %" if is_share else f"{value:.3f}"
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
    """Draw a vertical line at an epoch, named above the panel; each kind of line has its own height for the name."""
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


def _annotate(axes: Axes, matrix: NDArray[np.int64], shares: NDArray[np.float64], size: float) -> None:
    for row in range(len(matrix)):
        for column in range(len(matrix)):
            count = int(matrix[row, column])
            share = f"\n{100 * shares[row, column]:.1f} %" if count else ""
            axes.text(
                column,
                row,
                f"{count:,}{share}",
                ha="center",
                va="center",
                fontsize=size,
                linespacing=1.3,
                color="white" if shares[row, column] > 0.55 else _INK if count else _QUIET,
            )


@dataclass(frozen=True)
class _Place:
    """A picture on a sheet: its top left corner (x, y) and side in picture pixels, and the lines of text above it."""

    pixels: Pixels
    corner: tuple[int, int]
    side: int
    lines: tuple[str, ...]


def _sheet(places: Sequence[_Place], width: int, height: int) -> bytes:
    """Draw pictures and their captions on white; sizes in picture pixels, each _ZOOM x _ZOOM device pixels."""
    full_width, full_height = width * _ZOOM, height * _ZOOM
    figure = Figure(figsize=(full_width / _DPI, full_height / _DPI), dpi=_DPI, facecolor="white")
    line_height = 15
    photos = _with_few_colours([_fitted(place.pixels, place.side) for place in places])
    for place, photo in zip(places, photos, strict=True):
        x, y = place.corner
        enlarged = photo.repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)
        figure.figimage(enlarged, xo=x * _ZOOM, yo=(height - y - place.side) * _ZOOM, origin="upper")
        for at, line in enumerate(reversed(place.lines)):
            is_first = at == len(place.lines) - 1
            figure.text(
                x / width,
                1 - (y - 6 - at * line_height) / height,
                line,
                fontsize=8.2 if is_first else 7.4,
                fontweight="bold" if is_first and len(place.lines) > 1 else "normal",
                color=_INK if is_first else _QUIET,
                va="baseline",
                parse_math=False,
            )
    return _png(figure)


def _fitted(pixels: Pixels, side: int) -> Pixels:
    """Return uint8 [side, side, 3]: the whole picture, its shape kept, on light grey."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    board = Image.new("RGB", (side, side), "#eef0f2")
    board.paste(picture.resize(size, Image.Resampling.LANCZOS), ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(board, dtype=np.uint8)


def _with_few_colours(photos: Sequence[Pixels]) -> list[Pixels]:
    """Dither all photos to one palette, so that the sheet fits 256 colours and a few hundred KB."""
    tall = max(len(photo) for photo in photos)
    strip = np.zeros((tall, sum(photo.shape[1] for photo in photos), 3), dtype=np.uint8)
    edges = np.cumsum([0, *(photo.shape[1] for photo in photos)])
    for photo, left in zip(photos, edges, strict=False):
        strip[: len(photo), left : left + photo.shape[1]] = photo
    picture = Image.fromarray(strip)
    palette = picture.quantize(_PHOTO_COLOURS, method=Image.Quantize.MEDIANCUT)
    few = np.asarray(picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB"))
    return [few[: len(photo), left : left + photo.shape[1]] for photo, left in zip(photos, edges, strict=False)]


def _png(figure: Figure, margin: int | None = None) -> bytes:
    """Return the figure as PNG with a palette: a quarter of the bytes, and no metadata that changes from day to day.

    With a margin, the white border is cut down to so many device pixels.
    """
    size = FigureCanvasAgg(figure).get_width_height()
    raw = io.BytesIO()
    figure.savefig(raw, format="rgba", dpi=_DPI)
    drawn = Image.frombytes("RGBA", size, raw.getvalue()).convert("RGB")
    if margin is not None:
        left, top, right, bottom = ImageChops.difference(drawn, Image.new("RGB", drawn.size, "white")).getbbox() or (
            0,
            0,
            *drawn.size,
        )
        drawn = ImageOps.expand(drawn.crop((left, top, right, bottom)), margin, "white")
    out = io.BytesIO()
    drawn.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def _check_picture(pixels: Pixels, name: str) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"{name}: picture is {pixels.dtype} {list(pixels.shape)}, expected uint8 [H, W, 3]")


def _short(text: str, most: int = 24) -> str:
    """Return the text on one line, cut at the end with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _short_path(path: str, most: int) -> str:
    """Return the file name, cut in front with an ellipsis: the end tells files apart."""
    name = " ".join(path.replace("\\", "/").rsplit("/", 1)[-1].split())
    return name if len(name) <= most else "…" + name[1 - most :]

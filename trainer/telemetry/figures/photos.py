"""Sheets of pictures with captions as figures: augmented variants of one picture, and the most confident mistakes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from trainer.telemetry.figures.canvas import DPI, INK, QUIET, png, short
from trainer.telemetry.figures.fonts import families, legible
from trainer.words import percent

Pixels = npt.NDArray[np.uint8]
"""A picture, uint8 [H, W, 3], or several of one size, uint8 [N, H, W, 3]."""

MOST_MISTAKES = 12

_ZOOM = 2  # device pixels per picture pixel: text stays sharp on a high-density screen, and PNG packs repeats well
_PHOTO_COLOURS = 192


@dataclass(frozen=True)
class Mistake:
    """One wrongly classified picture: pixels uint8 [H, W, 3], and the probability in [0, 1] given to `predicted`."""

    pixels: Pixels
    path: str
    true: str
    predicted: str
    probability: float


def augmentation_png(original: Pixels, variants: Pixels) -> bytes:
    """Draw the original next to a 3 x 3 grid of augmented variants (the first nine).

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


def mistakes_png(mistakes: Sequence[Mistake]) -> bytes:
    """Draw up to MOST_MISTAKES misclassified pictures, most confident first, with labels, probability and file name.

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
            f"{short(mistake.predicted, 15)}, {percent(mistake.probability)}",
            f"actually {short(mistake.true, 17)}",
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
    figure = Figure(figsize=(full_width / DPI, full_height / DPI), dpi=DPI, facecolor="white")
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
                color=INK if is_first else QUIET,
                va="baseline",
                parse_math=False,
                fontfamily=families(line),
            )
    return png(figure)


def _fitted(pixels: Pixels, side: int) -> Pixels:
    """Return uint8 [side, side, 3]: the whole picture, its aspect ratio kept, on light grey."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    board = Image.new("RGB", (side, side), "#eef0f2")
    board.paste(picture.resize(size, Image.Resampling.LANCZOS), ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(board, dtype=np.uint8)


def _with_few_colours(photos: Sequence[Pixels]) -> list[Pixels]:
    """Dither all photos to one palette, so that the sheet fits 256 colours and a few hundred KB. Of each third row and
    column: to count the colours of all takes longer than the rest of the sheet."""
    tall = max(len(photo) for photo in photos)
    strip = np.zeros((tall, sum(photo.shape[1] for photo in photos), 3), dtype=np.uint8)
    edges = np.cumsum([0, *(photo.shape[1] for photo in photos)])
    for photo, left in zip(photos, edges, strict=False):
        strip[: len(photo), left : left + photo.shape[1]] = photo
    picture, some = Image.fromarray(strip), Image.fromarray(np.ascontiguousarray(strip[::3, ::3]))
    palette = some.quantize(_PHOTO_COLOURS, method=Image.Quantize.MEDIANCUT)
    few = np.asarray(picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB"))
    return [few[: len(photo), left : left + photo.shape[1]] for photo, left in zip(photos, edges, strict=False)]


def _check_picture(pixels: Pixels, name: str) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"{name}: picture is {pixels.dtype} {list(pixels.shape)}, expected uint8 [H, W, 3]")


def _short_path(path: str, most: int) -> str:
    """Return the file name, shortened at the start with an ellipsis: file names differ at the end."""
    name = legible(" ".join(path.replace("\\", "/").rsplit("/", 1)[-1].split()))
    return name if len(name) <= most else "…" + name[1 - most :]

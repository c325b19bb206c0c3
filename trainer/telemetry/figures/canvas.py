"""What the figures of a run share: colours, resolution, and PNG bytes.

Figures are pure functions: arrays in, bytes out, the same bytes for the same input on the same matplotlib and Pillow.
Matplotlib is used through its objects, never through pyplot, so nothing is shared between calls or threads.
"""

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image, ImageChops, ImageOps

from trainer.telemetry.figures.fonts import legible

DPI = 200
INK, QUIET, GRID = "#1f2328", "#59636e", "#d8dee4"


def png(figure: Figure, margin: int | None = None) -> bytes:
    """Return the figure as PNG with a palette: a quarter of the size, and no metadata that changes over time.

    With a margin, the white border is trimmed to that many device pixels.
    """
    size = FigureCanvasAgg(figure).get_width_height()
    raw = io.BytesIO()
    figure.savefig(raw, format="rgba", dpi=DPI)
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


def dress(axes: Axes, title: str, height: float, first: int, last: int, *, is_share: bool) -> None:
    """Give a panel of curves, from the first epoch to the last, axes, a grid and a title at `height` (1: its top)."""
    axes.text(0, height, title, transform=axes.transAxes, fontsize=13, fontweight="bold", color=INK)
    axes.set_xlabel("epoch", fontsize=10, color=QUIET)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    if is_share:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(length=0, labelsize=10, labelcolor=QUIET)
    alone = 1 if first == last else 0
    axes.set_xlim(first - alone, last + alone)


def short(text: str, most: int = 24) -> str:
    """Return the text on one line, legible here, cut at the end with an ellipsis."""
    line = legible(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"

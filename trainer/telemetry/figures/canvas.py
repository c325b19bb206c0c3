"""What the figures of a run share: colours, resolution, and PNG bytes.

Figures are pure functions: arrays in, bytes out, the same bytes for the same input on the same matplotlib and Pillow.
Matplotlib is used through its objects, never through pyplot, so nothing is shared between calls or threads.
"""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
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


def short(text: str, most: int = 24) -> str:
    """Return the text on one line, legible here, cut at the end with an ellipsis."""
    line = legible(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"

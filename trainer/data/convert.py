"""Pictures in other formats as PNG, for `catdog data import` alone: training decodes JPEG and PNG and nothing else.

Without loss, upright, and as RGB in 8 bits, the way our decoder sees a PNG: alpha is dropped and not blended with
anything, 16 bits become their upper 8, colour profiles are not applied. Of several frames or pages the first is taken.
The same file gives the same bytes again with the same versions of Pillow and its libraries.
"""

import io
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from trainer.data.limits import MAX_PIXELS

try:
    import pillow_heif
except ImportError:  # it is not one of our dependencies
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()

_FORMATS = {
    **{"webp": "WEBP", "bmp": "BMP", "gif": "GIF", "tiff": "TIFF", "avif": "AVIF", "heic": "HEIF"},
    **{"jpeg2000": "JPEG2000", "ppm": "PPM"},
}
_FEATURES = {"webp": "webp", "avif": "avif", "jpeg2000": "jpg_2000"}

# Settings of the whole process; there are none for one picture.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of facts beside the pixels

_AT_ONCE = threading.BoundedSemaphore(min(4, os.cpu_count() or 1))
"""A picture at the limit takes 600 MB while it is converted, and 64 are imported at a time."""

# What Pillow raises for a damaged file; most of its readers expect sound ones.
_DAMAGED = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, OverflowError, EOFError),
    *(AttributeError, ZeroDivisionError, RuntimeError, MemoryError, AssertionError, struct.error),
)


def to_png(encoded: bytes, kind: str) -> bytes:
    """The picture as a PNG; `kind` as `formats.kind_of` tells it.

    Raises:
        ValueError: why it cannot be converted, in a few words.
    """
    if missing := _missing(kind):
        raise ValueError(missing)
    with _AT_ONCE, _explained(kind):
        with Image.open(io.BytesIO(encoded), formats=[_FORMATS[kind]]) as picture:
            made = _rgb(_upright(picture), kind)
        made.info = {}
        file = io.BytesIO()
        made.save(file, "PNG")
        return file.getvalue()


def _missing(kind: str) -> str:
    """What has to be installed for this kind; empty when it is there."""
    if kind == "heic":
        return "" if pillow_heif is not None else "a HEIC picture; `pip install pillow-heif` makes import convert it"
    if kind in _FEATURES and not features.check(_FEATURES[kind]):
        return f"a picture in {kind.upper()}, which this build of Pillow cannot read"
    return ""


@contextmanager
def _explained(kind: str) -> Iterator[None]:
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"not between 1 and {MAX_PIXELS:,} pixels (refused before decoding)") from error
    except _Unfit as error:
        raise ValueError(str(error)) from error
    except UnidentifiedImageError as error:
        raise ValueError(f"damaged {kind.upper()}: its header cannot be read") from error
    except _DAMAGED as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"damaged {kind.upper()}: {words[:120]}") from error


class _Unfit(Exception):
    """A sound picture of which there is no sure way to 8 bits of RGB."""


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as its orientation says; what cannot be read there counts as upright."""
    picture.load()
    try:
        return ImageOps.exif_transpose(picture)
    except _DAMAGED:
        return picture


def _rgb(picture: Image.Image, kind: str) -> Image.Image:
    if picture.mode.startswith("I;16") or (picture.mode == "I" and kind in ("ppm", "jpeg2000")):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        raise _Unfit("32 bits a value, of no known range; convert it to 8 bits")
    if picture.mode in ("LAB", "HSV"):
        raise _Unfit(f"in the colours {picture.mode}; convert it to RGB")
    picture.info.pop("transparency", None)  # which Pillow would warn of
    premultiplied = {"RGBa": "RGBA", "La": "LA"}.get(picture.mode)
    return (picture.convert(premultiplied) if premultiplied else picture).convert("RGB")

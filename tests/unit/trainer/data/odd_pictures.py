"""Draws pictures as they are met in the wild: each is a JPEG or PNG that people's viewers show."""

import binascii
import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

WIDTH, HEIGHT = 50, 36


def scene(height: int = HEIGHT, width: int = WIDTH, channels: int = 3) -> npt.NDArray[np.uint8]:
    """Smooth colours that differ in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    layers = [127 + 70 * np.sin(x / (7 + c) + c) * np.cos(y / (9 - c)) + x - y for c in range(channels)]
    return np.clip(np.stack(layers, axis=-1), 0, 255).round().astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    return saved(Image.fromarray(scene()).convert(mode), "JPEG", **{"quality": 92, **options})


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segments(encoded: bytes, *segments: bytes) -> bytes:
    """Right after the start of the picture, as cameras do."""
    return encoded[:2] + b"".join(segments) + encoded[2:]


def tiff(orientation: int, order: str = "<", before: int = 0, kind: int = 3) -> bytes:
    """A TIFF file with a directory of `before` entries and the orientation."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    entries = b"".join(struct.pack(order + "HHII", 0x0100 + i, 4, 1, 7) for i in range(before))
    value = struct.pack(order + ("HH" if kind == 3 else "I"), *([orientation, 0] if kind == 3 else [orientation]))
    entries += struct.pack(order + "HHI", 0x0112, kind, 1) + value
    return head + struct.pack(order + "H", before + 1) + entries + bytes(4)


def exif(orientation: int, order: str = "<", **more: int) -> bytes:
    return segment(0xE1, b"Exif\0\0" + tiff(orientation, order, **more))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", binascii.crc32(name + data))


def raw_png(depth: int, colour: int, rows: list[bytes], *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, len(rows), depth, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + data + chunk(b"IEND", b"")


def interlaced_png() -> bytes:
    """Adam7, which Pillow reads and does not write."""
    picture, data = scene(), b""
    for y, x, dy, dx in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        data += b"".join(b"\0" + row.tobytes() for row in picture[y::dy, x::dx])
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def turned() -> dict[str, bytes]:
    """All orientations in both byte orders, as different writers put them."""
    found = {}
    for value in range(1, 9):
        for order, name in (("<", "little"), (">", "big")):
            found[f"turned {value} {name}.jpg"] = with_segments(jpeg(), exif(value, order))
    return found


def odd_pictures() -> dict[str, bytes]:
    """By the name they might have; 16-bit PNGs are apart."""
    image = Image.fromarray(scene())
    plain, grey, small = jpeg(), image.convert("L"), jpeg()
    alpha = Image.fromarray(scene(channels=4), "RGBA")
    palette = image.quantize(16)
    rows = [row.tobytes() for row in scene()]
    grey_rows = [row.tobytes() for row in np.asarray(grey)]
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<x:xmpmeta/>" * 50)
    icc = segment(0xE2, b"ICC_PROFILE\0\1\1" + np.random.default_rng(0).bytes(60_000) + b"\xff\xda\xff\xda")
    huge = segment(0xE1, b"Exif\0\0" + tiff(6) + small + bytes(65_000 - len(small) - len(tiff(6))))
    return {
        "plain.jpg": plain,
        "grey.jpg": jpeg("L"),
        "cmyk.jpg": jpeg("CMYK"),
        "progressive.jpg": jpeg(progressive=True),
        "progressive grey.jpg": jpeg("L", progressive=True),
        "progressive turned.jpg": with_segments(jpeg(progressive=True), exif(8)),
        "grey turned.jpg": with_segments(jpeg("L"), exif(5, ">")),
        "cmyk turned.jpg": with_segments(jpeg("CMYK"), exif(3)),
        "4:4:4.jpg": jpeg(subsampling=0),
        "4:2:2.jpg": jpeg(subsampling=1),
        "4:2:0.jpg": jpeg(subsampling=2),
        "poor.jpg": jpeg(quality=10),
        "finest.jpg": jpeg(quality=100),
        "optimised.jpg": jpeg(optimize=True),
        "restarts.jpg": jpeg(restart_marker_rows=1),
        "commented.jpg": with_segments(plain, segment(0xFE, b"Exif\0\0 is only a word here")),
        "trailing zeros.jpg": plain + bytes(500),
        "trailing text.jpg": plain + b"<html>",
        "motion photo.jpg": plain + np.random.default_rng(1).bytes(100_000) + b"\xff\xda" * 300,
        "mpo-like.jpg": plain + small,
        "mpo.jpg": saved(image, "MPO", save_all=True, append_images=[image.rotate(180)]),
        "mpo turned.jpg": with_segments(saved(image, "MPO", save_all=True, append_images=[image]), exif(6)),
        "huge exif.jpg": with_segments(plain, huge),
        "exif of nonsense.jpg": with_segments(plain, segment(0xE1, b"Exif\0\0" + small)),
        "thumbnail in exif.jpg": with_segments(plain, segment(0xE1, b"Exif\0\0" + tiff(7, ">", before=9) + small)),
        "exif after jfif.jpg": plain[:20] + exif(6) + plain[20:],
        "exif after xmp and icc.jpg": with_segments(plain, xmp, icc, exif(4)),
        "exif after a large profile.jpg": with_segments(plain, icc, icc, icc, exif(2)),
        "exif after filling bytes.jpg": with_segments(plain, b"\xff" * 5, exif(8)),
        "two exifs.jpg": with_segments(plain, exif(3), exif(6)),
        "exif of long.jpg": with_segments(plain, exif(6, kind=4)),
        "orientation 0.jpg": with_segments(plain, exif(0)),
        "orientation 9.jpg": with_segments(plain, exif(9)),
        "adobe.jpg": with_segments(plain, segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")),
        "photoshop.jpg": with_segments(plain, segment(0xED, b"Photoshop 3.0\0" + bytes(300))),
        "jfif of revision 0.jpg": plain[:11] + b"\0\0" + plain[13:],
        "png in truth.jpg": saved(image, "PNG"),
        "jpeg in truth.png": plain,
        "no suffix": plain,
        "tall.jpg": saved(Image.fromarray(scene(300, 1)), "JPEG", quality=95),
        "wide.png": saved(Image.fromarray(scene(1, 300)), "PNG"),
        "one pixel.png": saved(Image.fromarray(scene(1, 1)), "PNG"),
        "plain.png": saved(image, "PNG"),
        "grey.png": saved(grey, "PNG"),
        "palette.png": saved(palette, "PNG"),
        "palette of 2.png": saved(image.quantize(2), "PNG", bits=1),
        "palette with alpha.png": saved(palette, "PNG", transparency=bytes([0] * 8 + [255] * 8)),
        "grey with alpha.png": saved(Image.merge("LA", (grey, Image.new("L", grey.size, 90))), "PNG"),
        "alpha.png": saved(alpha, "PNG"),
        "transparent black.png": saved(Image.new("RGBA", (40, 40)), "PNG"),
        "black and white.png": saved(image.convert("1"), "PNG"),
        "grey of 2 bits.png": raw_png(2, 0, [bytes(range(i, i + 13)) for i in range(30)]),
        "grey of 4 bits.png": raw_png(4, 0, [bytes(range(i, i + 25)) for i in range(30)]),
        "gamma.png": raw_png(8, 2, rows, chunk(b"gAMA", struct.pack(">I", 100_000))),
        "srgb.png": raw_png(8, 2, rows, chunk(b"sRGB", b"\0")),
        "one transparent grey.png": raw_png(8, 0, grey_rows, chunk(b"tRNS", b"\0\x80")),
        "one transparent colour.png": raw_png(8, 2, rows, chunk(b"tRNS", bytes(6))),
        "animated.png": saved(image, "PNG", save_all=True, append_images=[image.rotate(90)], duration=100),
        "interlaced.png": interlaced_png(),
        "text in it.png": raw_png(8, 2, rows, chunk(b"tEXt", b"Comment\0hello")),
        "trailing.png": saved(image, "PNG") + bytes(200),
    }


def deep_pictures() -> dict[str, tuple[bytes, npt.NDArray[np.uint8]]]:
    """PNGs of 16 bits, with the upper eight of each value as RGB: Pillow shows the grey ones white."""
    colours = scene().astype(np.uint16) * 256 + np.arange(WIDTH, dtype=np.uint16)[None, :, None] * 5
    grey, low = colours[..., 0], colours[..., 1] // 16
    pairs = {
        "grey of 16 bits.png": (raw_png(16, 0, [row.tobytes() for row in grey.astype(">u2")]), grey),
        "grey of 12 in 16 bits.png": (raw_png(16, 0, [row.tobytes() for row in low.astype(">u2")]), low),
        "colour of 16 bits.png": (raw_png(16, 2, [row.tobytes() for row in colours.astype(">u2")]), colours),
    }
    shown = {name: (encoded, (deep >> 8).astype(np.uint8)) for name, (encoded, deep) in pairs.items()}
    return {name: (encoded, np.dstack([d] * 3) if d.ndim == 2 else d) for name, (encoded, d) in shown.items()}

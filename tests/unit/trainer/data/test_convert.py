"""What an import makes of other formats: the pixels that a viewer shows, upright, as our decoder reads them."""

import io
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.data import convert
from trainer.data.convert import to_png
from trainer.data.formats import kind_of

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 40, 3), np.uint8)
LOSSLESS: list[tuple[str, str, dict[str, Any]]] = [
    ("webp", "WEBP", {"lossless": True}),
    ("bmp", "BMP", {}),
    ("tiff", "TIFF", {}),
    ("tiff", "TIFF", {"compression": "tiff_lzw"}),
    ("tiff", "TIFF", {"compression": "tiff_adobe_deflate", "big_tiff": True}),
    ("jpeg2000", "JPEG2000", {}),
    ("ppm", "PPM", {}),
]


def encoded(picture: Image.Image, written: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, written, **options)
    return file.getvalue()


def decoded(png: bytes) -> Any:
    return tf.io.decode_png(png, channels=3).numpy()


def converted(data: bytes) -> Any:
    return decoded(to_png(data, kind_of(data)))


@pytest.mark.parametrize(("kind", "written", "options"), LOSSLESS)
def test_what_is_stored_without_loss_keeps_its_pixels(kind: str, written: str, options: dict[str, Any]) -> None:
    data = encoded(Image.fromarray(PIXELS), written, **options)
    assert kind_of(data) == kind
    assert np.array_equal(converted(data), PIXELS)
    assert to_png(data, kind) == to_png(data, kind)


@pytest.mark.parametrize("written", ["WEBP", "AVIF"])
def test_what_has_losses_gets_no_more_of_them(written: str) -> None:
    data = encoded(Image.fromarray(PIXELS), written)
    assert np.array_equal(converted(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
def test_each_mode_becomes_rgb_and_alpha_is_dropped_as_from_a_png(mode: str) -> None:
    picture = Image.fromarray(np.dstack([PIXELS, RNG.integers(0, 256, PIXELS.shape[:2], np.uint8)]))
    picture = picture.convert("RGB").convert(mode) if mode in ("P", "CMYK", "1") else picture.convert(mode)
    made = converted(encoded(picture, "TIFF"))
    if mode == "CMYK":
        assert np.array_equal(made, np.asarray(picture.convert("RGB")))
    else:
        assert np.array_equal(made, decoded(encoded(picture, "PNG")))


def test_transparent_colours_of_a_gif_and_a_webp_stay_what_they_are() -> None:
    palette = Image.fromarray(PIXELS).quantize(16)
    made = converted(encoded(palette, "GIF", transparency=3))
    assert np.array_equal(made, np.asarray(palette.convert("RGB")))
    alpha = Image.fromarray(np.dstack([PIXELS, np.zeros(PIXELS.shape[:2], np.uint8)]))
    assert np.array_equal(converted(encoded(alpha, "WEBP", lossless=True, exact=True)), PIXELS)


@pytest.mark.parametrize("written", ["GIF", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_taken(written: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue", "green")]
    options: dict[str, Any] = {"lossless": True} if written == "WEBP" else {}
    data = encoded(frames[0], written, save_all=True, append_images=frames[1:], **options)
    assert (converted(data) == (255, 0, 0)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("written", ["WEBP", "TIFF", "AVIF"])
def test_orientation_is_applied_once(written: str, orientation: int) -> None:
    upright = Image.new("RGB", (48, 32), "white")
    upright.paste("black", (0, 0, 24, 16))  # the corner shows which way it lies
    turned = upright.transpose(TURNS[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if written == "WEBP" else {"quality": 100} if written == "AVIF" else {}
    made = to_png(data := encoded(turned, written, exif=exif, **options), kind_of(data))
    assert np.abs(decoded(made).astype(int) - np.asarray(upright).astype(int)).max() <= (16 if written == "AVIF" else 0)
    assert b"eXIf" not in made


# How a camera that was held upright stores a picture that is to be shown by this orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_an_orientation_that_cannot_be_read_is_upright() -> None:
    data = encoded(Image.fromarray(PIXELS), "WEBP", lossless=True, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(converted(data), PIXELS)


def test_of_16_bits_the_upper_8_are_taken_and_32_have_no_range() -> None:
    wide = RNG.integers(0, 1 << 16, (6, 8), np.uint16)
    for data in (encoded(Image.fromarray(wide), "TIFF"), b"P5 8 6 65535\n" + wide.astype(">u2").tobytes()):
        assert np.array_equal(converted(data), np.repeat((wide >> 8)[..., None], 3, axis=2))
    for values in (np.ones((4, 4), np.float32), np.ones((4, 4), np.int32)):
        with pytest.raises(ValueError, match="32 bits a value, of no known range"):
            converted(encoded(Image.fromarray(values), "TIFF"))


def test_a_colour_profile_does_not_travel() -> None:
    data = encoded(Image.fromarray(PIXELS), "TIFF", icc_profile=b"x" * 300)
    assert b"iCCP" not in to_png(data, "tiff")


def test_a_bomb_is_refused_by_its_header() -> None:
    limit = "not between 1 and 64,000,000 pixels"
    for side in (8001, 12000, 60000):
        head = b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
        data = head + side.to_bytes(4, "little") * 2 + b"\1\0\x18\0" + bytes(24)
        with pytest.raises(ValueError, match=limit):
            to_png(data, "bmp")


@pytest.mark.parametrize("written", ["WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM"])
def test_a_cut_picture_is_damaged(written: str) -> None:
    data = encoded(Image.fromarray(PIXELS), written)
    with pytest.raises(ValueError, match=r"^damaged \w+: [^\n]+$"):
        to_png(data[: len(data) // 2], kind_of(data))


def test_without_what_reads_it_a_picture_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    monkeypatch.setattr(convert, "pillow_heif", None)
    with pytest.raises(ValueError, match="pip install pillow-heif"):
        to_png(heic, "heic")
    monkeypatch.setattr(convert.features, "check", lambda name: False)
    with pytest.raises(ValueError, match="AVIF, which this build of Pillow cannot read"):
        to_png(encoded(Image.fromarray(PIXELS), "AVIF"), "avif")


def test_heic_is_converted_where_pillow_heif_is_installed() -> None:
    data = encoded(Image.new("RGB", (64, 48), "red"), "HEIF")
    made = converted(data)
    assert kind_of(data) == "heic"
    assert np.abs(made.astype(int) - (255, 0, 0)).max() <= 8


SAMPLES = [encoded(Image.fromarray(PIXELS), written) for written in ("WEBP", "GIF", "TIFF", "BMP", "JPEG2000", "PPM")]
spoils = st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=4)), min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SAMPLES), spoils)
@pytest.mark.filterwarnings("ignore")
def test_a_spoiled_picture_is_converted_or_refused_in_one_line(sample: bytes, spoiled: list[tuple[int, bytes]]) -> None:
    data = bytearray(sample)
    for at, new in spoiled:
        start = 4 + at % (len(data) - 8)
        data[start : start + len(new)] = new
    if kind_of(bytes(data)) in ("", "jpeg", "png"):
        return
    try:
        made = to_png(bytes(data), kind_of(bytes(data)))
    except ValueError as error:
        refusal = str(error)
        made = b""
    else:
        refusal = ""
    assert made.startswith(b"\x89PNG") or (refusal and "\n" not in refusal)

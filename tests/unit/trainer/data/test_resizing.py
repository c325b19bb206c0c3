"""Squares, compared with plain NumPy; and memory, for pictures that are much longer than wide."""

import hashlib
import io
import subprocess
import sys
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.unit.trainer.data.odd_pictures import exif, jpeg, saved, scene, with_segments
from trainer.config import CROP, PAD, RESIZES, SQUASH
from trainer.data import jpeg as jpegs
from trainer.data import resizing
from trainer.data.decode import PixelPath, decoder, pixels
from trainer.data.resizing import GREY, inner_sides, to_square

REPOSITORY = Path(__file__).parents[4]
sides = st.integers(1, 40)
Picture = npt.NDArray[np.uint8]


def noise(height: int, width: int) -> Picture:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def square(picture: Picture, size: int, resize: str, antialias: bool = False) -> Picture:
    return np.asarray(to_square(tf.constant(picture), size, resize, antialias).numpy())


def scaled(picture: Picture, height: int, width: int, antialias: bool = False) -> Picture:
    resized = tf.image.resize(picture, [height, width], antialias=antialias)
    return np.asarray(tf.cast(tf.round(resized), tf.uint8).numpy())


def centre(picture: Picture) -> Picture:
    while picture.shape[0] > picture.shape[1]:  # one row less, in turns at the bottom and at the top
        picture = picture[:-1] if (picture.shape[0] - picture.shape[1]) % 2 else picture[1:]
    while picture.shape[1] > picture.shape[0]:
        picture = picture[:, :-1] if (picture.shape[1] - picture.shape[0]) % 2 else picture[:, 1:]
    return picture


def inner(side: int, longer: int, size: int) -> int:
    return max(1, floor(Fraction(side * size, longer) + Fraction(1, 2)))


def on_grey(picture: Picture, size: int) -> Picture:
    canvas = Image.new("RGB", (size, size), (GREY, GREY, GREY))
    height, width, _ = picture.shape
    canvas.paste(Image.fromarray(picture), ((size - width) // 2, (size - height) // 2))
    return np.asarray(canvas)


@given(height=sides, width=sides)
def test_at_its_own_size_a_cropped_picture_is_its_centre(height: int, width: int) -> None:
    picture = noise(height, width)
    np.testing.assert_array_equal(square(picture, min(height, width), CROP), centre(picture))


@given(height=sides, width=sides)
def test_at_its_own_size_a_padded_picture_is_whole_in_the_middle_of_grey(height: int, width: int) -> None:
    picture, size = noise(height, width), max(height, width)
    np.testing.assert_array_equal(square(picture, size, PAD), on_grey(picture, size))


@given(height=sides, width=sides, size=sides, antialias=st.booleans())
def test_a_cropped_picture_is_its_centre_resized(height: int, width: int, size: int, antialias: bool) -> None:
    picture = noise(height, width)
    expected = scaled(centre(picture), size, size, antialias)
    np.testing.assert_array_equal(square(picture, size, CROP, antialias), expected)


@given(height=sides, width=sides, size=sides, antialias=st.booleans())
def test_a_padded_picture_is_resized_and_then_padded(height: int, width: int, size: int, antialias: bool) -> None:
    picture, longer = noise(height, width), max(height, width)
    small = scaled(picture, inner(height, longer, size), inner(width, longer, size), antialias)
    np.testing.assert_array_equal(square(picture, size, PAD, antialias), on_grey(small, size))


@given(height=st.integers(1, 10**6), width=st.integers(1, 10**6), size=st.integers(1, 2048))
def test_the_inner_sides_are_rounded_half_up(height: int, width: int, size: int) -> None:
    longer = max(height, width)
    found = inner_sides(tf.constant([height, width], tf.int64), size).numpy().tolist()
    assert found == [inner(height, longer, size), inner(width, longer, size)]
    assert max(found) == size


def test_an_odd_rest_is_on_the_right_and_at_the_bottom() -> None:
    row = np.arange(12, dtype=np.uint8).reshape(1, 4, 3)
    assert square(row, 1, CROP).tolist() == [[[3, 4, 5]]]
    assert (square(row, 4, PAD)[:, 0, 0] == [GREY, 0, GREY, GREY]).all()


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("resize", RESIZES)
def test_a_square_is_the_same_in_every_way(resize: str, antialias: bool) -> None:
    picture = noise(30, 30)
    np.testing.assert_array_equal(square(picture, 11, resize, antialias), scaled(picture, 11, 11, antialias))


@given(height=sides, width=sides, size=st.integers(1, 20))
def test_antialiasing_is_that_of_pillow(height: int, width: int, size: int) -> None:
    picture = noise(height, width)
    expected = np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR))
    assert np.abs(square(picture, size, SQUASH, True).astype(int) - expected).max() <= 1


@settings(max_examples=30)
@given(height=sides, width=sides, size=st.integers(1, 40), resize=st.sampled_from(RESIZES))
def test_which_side_is_shrunk_first_does_not_show(height: int, width: int, size: int, resize: str) -> None:
    picture = noise(height, width)
    before = square(picture, size, resize, True).astype(int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resizing, "_MOST_BETWEEN", 0)
        assert np.abs(square(picture, size, resize, True) - before).max() <= 1


# Hashes of the pixels at the commit before there was a choice; of a PNG, since JPEG decoders may differ.
GOLDEN = {(60, 80): "e7f3ef16d2742a52", (80, 60): "9aea0bd66bb49284", (7, 300): "186d41b95bc7013d"}


@pytest.mark.parametrize(("height", "width"), list(GOLDEN))
@pytest.mark.parametrize("version", [1, 2])
def test_by_default_pixels_are_as_they_were(height: int, width: int, version: int) -> None:
    y, x = np.mgrid[0:height, 0:width]
    layers = [127 + 120 * np.sin(x / (7 + c) + c) * np.cos(y / (9 - c)) for c in range(3)]
    encoded = saved(Image.fromarray(np.stack(layers, axis=-1).round().astype(np.uint8)), "PNG")
    made = pixels(encoded, PixelPath(version, 24))
    assert hashlib.sha256(made.tobytes()).hexdigest()[:16] == GOLDEN[height, width]


def test_by_default_the_graph_has_nothing_of_the_other_ways() -> None:
    def operations(path: PixelPath) -> set[str]:
        return {node.type for node in decoder(path).graph.get_operations()}

    plain = operations(PixelPath(2, 24))
    assert "ResizeBilinear" in plain
    assert not plain & {"PadV2", "ScaleAndTranslate", "Minimum", "Min"}
    assert "PadV2" in operations(PixelPath(2, 24, PAD))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", [CROP, PAD])
def test_a_picture_is_turned_before_it_is_made_square(resize: str, orientation: int) -> None:
    picture = scene(37, 50)  # the rest of cropping and padding is odd, so that the order shows
    encoded = with_segments(saved(Image.fromarray(picture), "JPEG", quality=92), exif(orientation))
    with Image.open(io.BytesIO(encoded)) as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    path = PixelPath(2, 24, resize)
    expected = pixels(saved(Image.fromarray(upright), "PNG"), path)
    assert np.abs(pixels(encoded, path).astype(int) - expected).mean() <= 1


@pytest.mark.parametrize(("limit", "ratio"), [(50 * 36 - 1, 2), (50 * 36 // 4 - 1, 4)])
@pytest.mark.parametrize("resize", [CROP, PAD])
def test_a_large_picture_is_made_square_after_it_was_scaled(
    resize: str, limit: int, ratio: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jpegs, "MAX_PIXELS", limit)
    path = PixelPath(2, 9, resize)
    with Image.open(io.BytesIO(jpeg())) as image:
        image.draft("RGB", (50 // ratio, 36 // ratio))
        small = np.asarray(image.convert("RGB"))
    assert small.shape[:2] == (-(-36 // ratio), -(-50 // ratio))
    decoder.cache_clear()
    try:
        assert np.abs(pixels(jpeg(), path).astype(int) - square(small, 9, resize)).mean() <= 1
    finally:
        decoder.cache_clear()


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize(("height", "width"), [(1, 5000), (5000, 1), (1, 1), (1, 2), (3, 4999)])
def test_any_aspect_ratio_can_be_used(height: int, width: int, resize: str, antialias: bool) -> None:
    encoded = saved(Image.new("RGB", (width, height), (10, 20, 30)), "PNG")
    made = pixels(encoded, PixelPath(2, 24, resize, antialias))
    inside = made[(24 - inner(height, max(height, width), 24)) // 2, (24 - inner(width, max(height, width), 24)) // 2]
    assert inside.tolist() == [10, 20, 30]
    grey = (made == GREY).all(axis=-1).sum()
    assert grey == (24 * 24 - inner(height, max(height, width), 24) * inner(width, max(height, width), 24)) * (
        resize == PAD
    )


MEMORY = """
import resource, sys, io
import numpy as np
from PIL import Image
from trainer.data.decode import PixelPath, pixels
path = PixelPath(2, 1024, sys.argv[1], True)
def png(width, height):
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "PNG", compress_level=1)
    return file.getvalue()
long = png(400_000, 16)
pixels(png(40, 30), path)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixels(long, path)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("resize", RESIZES)
def test_antialiasing_a_long_picture_takes_little_more_than_the_picture(resize: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, resize],
        env={"PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 120 * 1024  # the picture has 19 MB; 1024 rows of its width would have 4.9 GB

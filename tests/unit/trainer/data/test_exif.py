import io
import struct
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.unit.trainer.data.odd_pictures import exif, jpeg, scene, segment, tiff, with_segments
from trainer.data.decode import PixelPath, pixels
from trainer.data.exif import orientation, turn
from trainer.data.jpeg import exif_orientation

PATH = PixelPath(2, 16)
PLAIN = jpeg()


def traced(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[bytes], int]:
    graph = tf.function(function, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    return lambda data: int(graph(tf.constant(data)))


of_tiff, of_picture = traced(orientation), traced(exif_orientation)


def pillow_of(encoded: bytes) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Image.open(io.BytesIO(encoded)).getexif().get(0x0112, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_it_is_read_in_both_byte_orders_and_behind_other_entries(value: int, order: str) -> None:
    assert of_tiff(tiff(value, order)) == value
    assert of_tiff(tiff(value, order, before=9)) == value
    assert of_tiff(tiff(value, order, kind=4)) == value


@pytest.mark.parametrize("value", range(1, 9))
def test_turning_is_what_pillow_does(value: int) -> None:
    methods = Image.Transpose
    ways = [methods.FLIP_LEFT_RIGHT, methods.ROTATE_180, methods.FLIP_TOP_BOTTOM, methods.TRANSPOSE]
    ways += [methods.ROTATE_270, methods.TRANSVERSE, methods.ROTATE_90]
    image = Image.fromarray(scene())
    expected = image if value == 1 else image.transpose(ways[value - 2])
    assert np.array_equal(turn(tf.constant(scene()), tf.constant(value, tf.int64)), np.asarray(expected))


GOOD = tiff(6)
MALFORMED = {
    "nothing": b"",
    "no directory": GOOD[:8],
    "half a header": GOOD[:3],
    "an entry cut off": GOOD[:20],
    "another byte order": b"XX" + GOOD[2:],
    "no 42": b"II\x2b\0" + GOOD[4:],
    "a directory far away": GOOD[:4] + b"\xff\xff\xff\xff" + GOOD[8:],
    "a directory at the end": GOOD[:4] + struct.pack("<I", len(GOOD)) + GOOD[8:],
    "0": tiff(0),
    "9": tiff(9),
    "65535": tiff(65_535),
    "text": GOOD[:12] + struct.pack("<H", 2) + GOOD[14:],
    "a rational": GOOD[:12] + struct.pack("<H", 5) + GOOD[14:],
    "two values": GOOD[:14] + struct.pack("<I", 2) + GOOD[18:],
    "no value": GOOD[:14] + bytes(4) + GOOD[18:],
    "twice": GOOD[:8] + struct.pack("<H", 2) + GOOD[10:22] * 2,
    "another tag": GOOD[:10] + b"\x13\x01" + GOOD[12:],
}


@pytest.mark.parametrize("what", list(MALFORMED))
def test_what_is_malformed_is_1(what: str) -> None:
    assert of_tiff(MALFORMED[what]) == 1


def test_more_entries_are_claimed_than_there_are() -> None:
    assert of_tiff(GOOD[:8] + b"\xff\xff" + GOOD[10:22]) == 6


def test_what_is_no_jpeg_has_none() -> None:
    for data in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"text"):
        assert of_picture(data) == 1


def test_segments_are_followed_from_one_to_the_next() -> None:
    assert of_picture(with_segments(PLAIN, exif(6))) == 6
    hidden = segment(0xFE, b"\xff\xe1" + exif(6)[2:])
    assert of_picture(with_segments(PLAIN, hidden)) == 1
    assert of_picture(with_segments(PLAIN, *[segment(0xFE, bytes(300))] * 100, exif(6))) == 6
    assert of_picture(with_segments(PLAIN, exif(3), exif(6))) == 3  # the first one
    assert of_picture(PLAIN + exif(6)) == 1
    after_scan = PLAIN.index(b"\xff\xda")
    assert of_picture(PLAIN[:after_scan] + exif(6) + PLAIN[after_scan:]) == 6
    assert of_picture(with_segments(PLAIN, b"\0" + exif(6)[1:])) == 1  # found by fuzzing
    for damaged in (b"\xff\xe1\0\0", b"\xff\xe1\0\1", b"\0\0\0\0", b"\xff\xe1\xff\xff"):
        assert of_picture(with_segments(PLAIN, damaged, exif(6))) == 1


numbers = st.sampled_from([0, 1, 2, 3, 6, 8, 9, 0x0112, 0xFFFF])
entries = st.tuples(
    st.sampled_from([0x0100, 0x0112, 0x010F, 0x8769]), numbers, st.sampled_from([0, 1, 2, 2**32 - 1]), numbers, numbers
)


@st.composite
def exif_files(draw: st.DrawFn) -> bytes:
    """Nearly right TIFF files, of which some bytes are then others."""
    order = draw(st.sampled_from("<>"))
    table = draw(st.lists(entries, max_size=4))
    start = draw(st.sampled_from([8, 8, 8, 8, 0, 7, 20, 2**32 - 1]))
    head = draw(st.sampled_from([b"II*\0", b"MM\0*"])) if draw(st.booleans()) else (b"II*\0", b"MM\0*")[order == ">"]
    data = head + struct.pack(order + "I", start) + struct.pack(order + "H", draw(st.sampled_from([len(table), 0, 99])))
    data += b"".join(struct.pack(order + "HHIHH", *entry) for entry in table) + draw(st.binary(max_size=8))
    changed = bytearray(data)
    for at, value in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=2)):
        changed[at] = value
    return bytes(changed[: draw(st.sampled_from([len(data), len(data), draw(st.integers(0, len(data)))]))])


@settings(max_examples=300, deadline=None)
@given(exif_files())
def test_it_is_1_or_what_pillow_reads(data: bytes) -> None:
    assert of_tiff(data) in {1, pillow_of(with_segments(PLAIN, segment(0xE1, b"Exif\0\0" + data)))}


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 10),
    st.sampled_from("<>"),
    st.lists(st.tuples(st.sampled_from([0xE0, 0xE2, 0xED, 0xFE]), st.binary(max_size=40)), max_size=3),
    st.integers(0, 5),
    st.sampled_from([3, 4]),
)
def test_it_is_what_pillow_reads_where_it_is_in_order(
    value: int, order: str, before: list[tuple[int, bytes]], entries_before: int, kind: int
) -> None:
    segments = [segment(marker, content) for marker, content in before]
    encoded = with_segments(PLAIN, *segments, exif(value, order, before=entries_before, kind=kind))
    assert of_picture(encoded) == pillow_of(encoded)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([b"\xff\xe1", b"Exif\0\0", exif(6)])), max_size=5))
def test_no_segment_that_decodes_changes_pixels_unless_it_turns_them(parts: list[bytes]) -> None:
    encoded = with_segments(PLAIN, *parts)
    try:
        before = pixels(encoded, PixelPath(1, PATH.size))
    except ValueError:
        with pytest.raises(ValueError, match=r"damaged|neither"):
            pixels(encoded, PATH)
        return
    turned = of_picture(encoded)
    assert turned in (1, 6)
    if turned == 1:
        assert np.array_equal(pixels(encoded, PATH), before)

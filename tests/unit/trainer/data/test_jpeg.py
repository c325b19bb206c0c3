import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.trainer.data.odd_pictures import exif, jpeg, saved, segment, with_segments
from trainer.data import jpeg as jpegs
from trainer.data.decode import PixelPath, decoder, pixels

REPOSITORY = Path(__file__).parents[4]
PATH = PixelPath(2, 16)
PROGRESSIVE = jpeg(progressive=True)


def sized(encoded: bytes, height: int, width: int) -> bytes:
    """The same with a header that claims another size."""
    frame = next(at for at in (encoded.find(b"\xff\xc0"), encoded.find(b"\xff\xc2")) if at > 0)
    return encoded[: frame + 5] + struct.pack(">HH", height, width) + encoded[frame + 9 :]


def with_scans(encoded: bytes, count: int) -> bytes:
    """A progressive picture whose first scan, of which a second does nothing, comes until there are `count`."""
    first = encoded.index(b"\xff\xda")
    end = min(at for at in (encoded.find(b"\xff\xda", first + 2), encoded.find(b"\xff\xc4", first)) if at > 0)
    return encoded[:first] + encoded[first:end] * (count - encoded.count(b"\xff\xda")) + encoded[first:]


def reason(encoded: bytes) -> str:
    with pytest.raises(ValueError, match="refused before decoding") as caught:
        pixels(encoded, PATH)
    return str(caught.value).removesuffix(" (refused before decoding)")


def test_a_progressive_picture_may_have_a_hundred_scans() -> None:
    assert np.array_equal(pixels(with_scans(PROGRESSIVE, 100), PATH), pixels(PROGRESSIVE, PATH))
    assert reason(with_scans(PROGRESSIVE, 101)) == "a progressive JPEG of more than 100 scans"
    assert reason(with_scans(PROGRESSIVE, 5000)) == "a progressive JPEG of more than 100 scans"


def test_scans_that_are_hidden_are_counted_too() -> None:
    many = with_scans(PROGRESSIVE, 101)
    fake = b"\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0"
    for hiding in (segment(0xFE, fake), segment(0xE1, b"Exif\0\0" + jpeg()), exif(6)):
        assert reason(with_segments(many, hiding)) == "a progressive JPEG of more than 100 scans"
    first = many.index(b"\xff\xda")
    after = many.index(b"\xff\xc4", first)  # tables between the first scan and the second
    assert (
        reason(many[:after] + segment(0xFE, b"\xff\xd9") + many[after:]) == "a progressive JPEG of more than 100 scans"
    )


def test_what_follows_a_picture_of_one_scan_is_not_counted() -> None:
    assert np.array_equal(pixels(jpeg() + with_scans(PROGRESSIVE, 300), PATH), pixels(jpeg(), PATH))


def test_version_1_takes_any_number_of_scans() -> None:
    assert np.array_equal(pixels(with_scans(PROGRESSIVE, 150), PixelPath(1, 16)), pixels(PROGRESSIVE, PATH))


def test_large_pictures_that_are_refused_are_told_why() -> None:
    assert reason(sized(PROGRESSIVE, 8001, 8001)) == "a progressive JPEG of more than 64,000,000 pixels"
    assert reason(sized(jpeg(), 22_700, 22_700)) == "a JPEG of more than 512,000,000 pixels"
    assert reason(sized(jpeg("L"), 65_000, 65_000)) == "a JPEG of more than 512,000,000 pixels"


def test_a_picture_in_a_scan_for_each_colour_needs_memory_as_a_progressive_one() -> None:
    encoded = sized(jpeg(), 9000, 9000)
    scan = encoded.index(b"\xff\xda")
    one_colour = segment(0xDA, b"\1\1\0\0\x3f\0")
    assert reason(encoded[:scan] + one_colour + encoded[scan + 14 :]) == (
        "a progressive JPEG of more than 64,000,000 pixels"
    )


def test_where_segments_are_in_disorder_a_large_picture_is_refused() -> None:
    encoded = sized(jpeg(), 9000, 9000)
    assert reason(encoded[:20] + bytes(3) + encoded[20:]) == "a progressive JPEG of more than 64,000,000 pixels"


@pytest.mark.parametrize(("limit", "ratio"), [(50 * 36, 1), (50 * 36 - 1, 2), (50 * 36 // 4 - 1, 4), (20, 8)])
def test_a_large_picture_is_scaled_as_it_is_decoded(limit: int, ratio: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpegs, "MAX_PIXELS", limit)
    fresh = PixelPath(2, 20 + ratio)
    with Image.open(io.BytesIO(jpeg())) as image:
        image.draft("RGB", (50 // ratio, 36 // ratio))
        assert image.size == (-(-50 // ratio), -(-36 // ratio))
        small = np.asarray(image.convert("RGB"))
    expected = pixels(saved(Image.fromarray(small), "PNG"), fresh)
    decoder.cache_clear()
    try:
        assert np.abs(pixels(jpeg(), fresh).astype(int) - expected).mean() <= 1
    finally:
        decoder.cache_clear()


MEMORY = """
import resource, sys
from trainer.data.decode import PixelPath, pixels
path = PixelPath(2, 180)
large, small = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read()
pixels(small, path)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
picture = pixels(large, path)
print(picture[0, 0, 0], picture[-1, -1, 0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_the_memory_for_a_phone_s_108_megapixels(tmp_path: Path) -> None:
    image = Image.new("L", (12_000, 9_000))
    image.paste(255, (0, 4_500, 12_000, 9_000))
    (tmp_path / "large.jpg").write_bytes(with_segments(saved(image, "JPEG"), exif(3)))
    (tmp_path / "small.jpg").write_bytes(with_segments(jpeg(), exif(3)))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, "large.jpg", "small.jpg"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    first, last, kibibytes = map(int, done.stdout.split()[-3:])
    assert (first > 250, last < 5) == (True, True)  # upside down
    assert kibibytes < 250 * 1024  # at full size it has 324 MB, and turning it needs as much again

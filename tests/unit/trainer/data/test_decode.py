import binascii
import functools
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from PIL import Image

from trainer.config import RunConfig
from trainer.data.decode import PixelPath, decode, decoder, path_of, pixels, too_large
from trainer.data.limits import MAX_PIXELS

REPOSITORY = Path(__file__).parents[4]
SIZE = 24
PATH = PixelPath(2, SIZE)


def noise(height: int, width: int, channels: int = 3) -> npt.NDArray[np.uint8]:
    """Smooth colours, so that JPEG keeps them."""
    y, x = np.mgrid[0:height, 0:width]
    layers = [127 + 120 * np.sin(x / (7 + c) + c) * np.cos(y / (9 - c)) for c in range(channels)]
    return np.stack(layers, axis=-1).round().astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@functools.cache
def jpeg(height: int = 60, width: int = 80, **options: Any) -> bytes:
    return saved(Image.fromarray(noise(height, width)), "JPEG", quality=90, **options)


def png(image: Image.Image) -> bytes:
    return saved(image, "PNG")


def resized(picture: npt.NDArray[np.uint8], size: int = SIZE) -> npt.NDArray[np.uint8]:
    return np.asarray(tf.cast(tf.round(tf.image.resize(picture, [size, size])), tf.uint8).numpy(), np.uint8)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", binascii.crc32(name + data))


def bomb(width: int, height: int) -> bytes:
    """A valid black PNG: its header, zeros squeezed by a thousand, its end."""
    packer = zlib.compressobj(1)
    rows = bytes((width + 1) * 100)
    body = b"".join(packer.compress(rows) for _ in range(height // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def reason(encoded: bytes) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        pixels(encoded, PATH)
    message = str(caught.value)
    assert "\n" not in message
    assert "{{" not in message
    assert len(message) < 200
    return message


@pytest.mark.parametrize(("height", "width"), [(60, 80), (80, 60), (24, 24), (1, 1), (7, 300)])
def test_a_jpeg_is_decoded_and_resized_as_tensorflow_does(height: int, width: int) -> None:
    encoded = jpeg(height, width)
    plain = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE").numpy()
    result = pixels(encoded, PATH)
    assert (result.shape, result.dtype) == ((SIZE, SIZE, 3), np.uint8)
    assert np.array_equal(result, resized(plain))


def test_a_png_keeps_every_pixel_at_its_own_size() -> None:
    picture = noise(SIZE, SIZE)
    assert np.array_equal(pixels(png(Image.fromarray(picture)), PATH), picture)


def test_a_png_is_resized_as_tensorflow_does() -> None:
    picture = noise(50, 70)
    assert np.array_equal(pixels(png(Image.fromarray(picture)), PATH), resized(picture))


def test_resizing_goes_by_a_hand_made_example() -> None:
    # Half-pixel centres: the one output pixel of a 2x2 picture is the mean of the four, and is rounded.
    picture = np.array([[[0, 10, 1], [0, 20, 1]], [[255, 30, 2], [255, 41, 2]]], np.uint8)
    assert pixels(png(Image.fromarray(picture)), PixelPath(2, 1)).tolist() == [[[128, 25, 2]]]


def test_grey_pictures_get_three_equal_channels() -> None:
    grey = noise(SIZE, SIZE, 1)[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    assert np.array_equal(pixels(png(Image.fromarray(grey)), PATH), expected)
    result = pixels(saved(Image.fromarray(grey), "JPEG", quality=100), PATH)
    assert np.array_equal(result[..., 0], result[..., 2])
    assert np.abs(result.astype(int) - expected).max() <= 4


def test_a_palette_is_looked_up() -> None:
    image = Image.fromarray(noise(SIZE, SIZE)).quantize(16)
    assert image.mode == "P"
    assert np.array_equal(pixels(png(image), PATH), np.asarray(image.convert("RGB")))


def test_alpha_is_dropped() -> None:
    picture = noise(SIZE, SIZE, 4)
    assert np.array_equal(pixels(png(Image.fromarray(picture, "RGBA")), PATH), picture[..., :3])


def test_sixteen_bits_become_eight() -> None:
    deep = noise(SIZE, SIZE, 1)[..., 0].astype(np.uint16) * 257
    result = pixels(png(Image.fromarray(deep)), PATH)
    assert np.array_equal(result, np.repeat((deep // 257).astype(np.uint8)[..., None], 3, axis=2))


def test_black_and_white_is_0_and_255() -> None:
    image = Image.fromarray(noise(SIZE, SIZE, 1)[..., 0] > 127).convert("1")
    assert np.array_equal(pixels(png(image), PATH)[..., 0], np.asarray(image, np.uint8) * 255)


def test_a_progressive_jpeg_gives_the_pixels_of_a_plain_one() -> None:
    plain, progressive = jpeg(), jpeg(progressive=True)
    assert plain != progressive
    assert np.array_equal(pixels(progressive, PATH), pixels(plain, PATH))


def test_a_cmyk_jpeg_is_turned_into_rgb() -> None:
    image = Image.fromarray(noise(SIZE, SIZE)).convert("CMYK")
    result = pixels(saved(image, "JPEG", quality=95), PATH).astype(int)
    assert np.abs(result - np.asarray(image.convert("RGB")).astype(int)).mean() < 4


def test_version_1_takes_pictures_as_they_are_stored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    turned = jpeg(exif=exif.tobytes())
    assert np.array_equal(pixels(turned, PixelPath(1, SIZE)), pixels(jpeg(), PATH))
    assert not np.array_equal(pixels(turned, PATH), pixels(jpeg(), PATH))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WEBP", "TIFF"])
def test_other_kinds_of_pictures_are_refused(kind: str) -> None:
    assert reason(saved(Image.fromarray(noise(30, 30)), kind)) == "neither a JPEG nor a PNG"


@pytest.mark.parametrize("encoded", [b"", b"x", b"not a picture at all", b"<svg/>", b"\xff\xd8", b"\x89PNG\r\n\x1a"])
def test_what_is_no_picture_is_refused(encoded: bytes) -> None:
    assert reason(encoded) == "neither a JPEG nor a PNG"


@pytest.mark.parametrize("encoded", [b"\xff\xd8\xff", b"\xff\xd8\xff\xe0", jpeg()[:20]])
def test_a_jpeg_header_that_is_cut_off_is_refused(encoded: bytes) -> None:
    assert reason(encoded) == f"damaged: Invalid JPEG data, size {len(encoded)}"


@pytest.mark.parametrize("length", [8, 20, 32])
def test_a_png_header_that_is_cut_off_is_refused(length: int) -> None:
    assert reason(png(Image.fromarray(noise(9, 9)))[:length]) == "no complete header"


@pytest.mark.parametrize("share", [0.4, 0.6, 0.9, 0.98])
def test_a_truncated_jpeg_is_refused(share: float) -> None:
    assert reason(jpeg()[: int(len(jpeg()) * share)]).startswith("damaged: jpeg::Uncompress failed")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_png_is_refused(share: float) -> None:
    encoded = png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)))
    cut = encoded[: int(len(encoded) * share)]
    assert reason(cut) == f"damaged: Invalid PNG data, size {len(cut)}"


def test_a_png_with_a_wrong_checksum_is_refused() -> None:
    encoded = bytearray(png(Image.fromarray(noise(60, 60))))
    encoded[len(encoded) // 2] ^= 1
    assert reason(bytes(encoded)).startswith("damaged: Invalid PNG data")


@pytest.mark.parametrize(("width", "height"), [(0, 10), (10, 0), (2**31 - 1, 2**31 - 1), (2**32 - 1, 2**32 - 1)])
def test_a_png_of_an_impossible_size_is_refused(width: int, height: int) -> None:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    encoded = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    assert reason(encoded) == "not between 1 and 64,000,000 pixels (refused before decoding)"


def test_a_jpeg_that_claims_too_many_pixels_is_refused() -> None:
    encoded = bytearray(jpeg())
    frame = encoded.index(b"\xff\xc0")
    encoded[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
    assert reason(bytes(encoded)) == "a JPEG of more than 512,000,000 pixels (refused before decoding)"
    with pytest.raises(ValueError, match="not between 1 and 64,000,000 pixels"):
        pixels(bytes(encoded), PixelPath(1, SIZE))


def test_the_limit_itself_is_taken() -> None:
    assert MAX_PIXELS == 64_000_000
    assert pixels(bomb(64_000, 1000), PixelPath(2, 4)).tolist() == np.zeros((4, 4, 3), int).tolist()
    assert reason(bomb(64_001, 1000)).startswith("not between 1 and 64,000,000 pixels")


BOMB = """
import resource, sys
import tensorflow as tf
from trainer.data.decode import PixelPath, pixels
path = PixelPath(2, 180)
encoded, small = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read()
pixels(small, path)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    pixels(encoded, path)
except ValueError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb(20_000, 20_000))
    (tmp_path / "small.png").write_bytes(png(Image.fromarray(noise(30, 30))))
    assert (tmp_path / "bomb.png").stat().st_size < 2_000_000
    done = subprocess.run(
        [sys.executable, "-c", BOMB, "bomb.png", "small.png"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    message, kibibytes = done.stdout.splitlines()[-2:]
    assert message == "not between 1 and 64,000,000 pixels (refused before decoding)"
    assert int(kibibytes) < 50 * 1024  # decoded it has 400 MB in one channel


def test_a_graph_decodes_as_python_does() -> None:
    inside = tf.function(lambda encoded: decode(encoded, PATH), autograph=False)
    assert np.array_equal(inside(tf.constant(jpeg())).numpy(), pixels(jpeg(), PATH))


def test_a_decoder_is_traced_once_for_each_path() -> None:
    assert decoder(PATH) is decoder(PixelPath(2, SIZE))
    assert decoder(PATH) is not decoder(PixelPath(1, SIZE))
    assert decoder(PATH) is not decoder(PixelPath(2, SIZE + 1))


@pytest.mark.parametrize("values", [(0, 24, "squash"), (3, 24, "squash"), (2, 24, "stretch")])
def test_a_path_that_is_not_known_cannot_be_made(values: tuple[int, int, str]) -> None:
    with pytest.raises(ValueError, match="not known to this version"):
        PixelPath(*values)


def test_a_run_goes_by_its_own_path() -> None:
    assert path_of(RunConfig(image_size=96)) == PixelPath(2, 96, "squash")
    assert path_of(RunConfig(image_size=96, pixel_path=1)) == PixelPath(1, 96)
    assert path_of(RunConfig(resize="pad", antialias=True)) == PixelPath(2, 180, "pad", True)


def test_a_file_that_is_too_large_is_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.data.decode.LARGEST_PICTURE", 2 << 20)
    assert too_large(2 << 20) == ""
    assert reason(bytes((2 << 20) + 1)) == "larger than 2 MiB"

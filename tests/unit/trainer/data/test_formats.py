import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.data.formats import CONVERTED, JPEG, PNG, kind_of, names, other_kind

PILLOW = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF", "tiff": "TIFF", "avif": "AVIF"}
PILLOW |= {"jpeg2000": "JPEG2000", "ppm": "PPM"}


@pytest.mark.parametrize(("kind", "written"), PILLOW.items())
def test_content_tells_the_kind(kind: str, written: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, written)
    assert kind_of(file.getvalue()) == kind


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"", ""),
        (b"BM, not a bitmap but a text about one", ""),
        (b"RIFF1234WAVEfmt ", ""),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "avif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", ""),
        (b"MM\0\x2a\0\0\0\x08", "tiff"),
        (b"GIF90a", ""),
        (b"P6\n# made by hand\n", "ppm"),
        (b"P65\n", ""),
    ],
)
def test_the_first_bytes_of_others(start: bytes, kind: str) -> None:
    assert kind_of(start) == kind


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "an empty file"),
        (bytes(500), "nothing but zeros"),
        (b"\r\n<!DOCTYPE HTML><p>404", "a web page"),
        (b"<?xml version='1.0'?>\n<svg>", "an SVG drawing"),
        (b"\xff\x0a\xfa", "a JPEG XL picture"),
        (b"\0\5\x16\7\0", "what macOS keeps"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"text", ""),
    ],
)
def test_what_is_no_picture_is_named_where_it_is_known(data: bytes, words: str) -> None:
    assert words in other_kind(data)
    assert bool(words) == bool(other_kind(data))


def test_converted_files_end_in_png_and_files_of_one_stem_are_told_apart() -> None:
    listed = ["a/x.webp", "a/y.webp", "a/y.bmp", "a/z.gif", "a/z.png", "a/w", "a/v.2024", "a/u.JPG"]
    made = names(listed)
    assert {path: made[path].of("webp", False) for path in listed} == {
        "a/x.webp": "a/x.png",
        "a/y.webp": "a/y.webp.png",
        "a/y.bmp": "a/y.bmp.png",
        "a/z.gif": "a/z.gif.png",
        "a/z.png": "a/z.png",
        "a/w": "a/w.png",
        "a/v.2024": "a/v.2024.png",
        "a/u.JPG": "a/u.png",
    }


def test_jpeg_and_png_keep_their_names_where_training_knows_them() -> None:
    made = names(["a/x.jpg", "a/y.webp"])
    assert (made["a/x.jpg"].of(JPEG, True), made["a/x.jpg"].of(PNG, True)) == ("a/x.jpg", "a/x.jpg")
    assert (made["a/y.webp"].of(JPEG, False), made["a/y.webp"].of(PNG, False)) == ("a/y.jpg", "a/y.png")
    assert made["a/y.webp"].of("", False) == "a/y.webp"


parts = st.sampled_from(["a", "A", "b", "a.webp", "a.jpg", "b.2"])
endings = st.sampled_from(["", ".jpg", ".JPG", ".png", ".webp", ".WEBP", ".bmp", ".webp.png", "-2.png", ".tar"])
paths = st.lists(st.tuples(parts, endings).map(lambda one: f"c/{one[0]}{one[1]}"), unique=True, max_size=12)


@given(paths, st.data())
def test_no_two_files_get_one_name_whatever_their_contents(listed: list[str], data: st.DataObject) -> None:
    made = names(listed)
    kinds = [data.draw(st.sampled_from([JPEG, PNG, "", *CONVERTED])) for _ in listed]
    stored = [
        made[path].of(kind, path.lower().endswith((".jpg", ".png"))) for path, kind in zip(listed, kinds, strict=True)
    ]
    assert len(set(stored)) == len(stored)
    assert names(reversed(listed)) == made


@given(st.binary(max_size=80))
def test_any_bytes_are_of_some_kind_or_none(data: bytes) -> None:
    assert kind_of(data) in {"", JPEG, PNG, *CONVERTED}
    other_kind(data)

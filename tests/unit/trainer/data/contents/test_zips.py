"""What people have as zip archives: names in any encoding, Windows's separators, methods that Python cannot read."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.archives import listed, read_or_refused, refused
from tests.pictures import archive


def renamed(data: bytes, old: str, new: bytes) -> bytes:
    """The archive with a name of the same length put in, whatever its encoding."""
    assert len(old.encode()) == len(new)
    return data.replace(old.encode(), new)


def with_extra(name: bytes, field: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        entry = zipfile.ZipInfo(name.decode("ascii"))
        entry.extra = field
        made.writestr(entry, b"x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("K\u00e4tzchen/\u732b.jpg".encode(), "K\u00e4tzchen/\u732b.jpg"),
        (b"K\x84tzchen/a.jpg", "K\u00e4tzchen/a.jpg"),
        ("\u0446\u0432\u0435\u0442\u044b/1.jpg".encode(), "\u0446\u0432\u0435\u0442\u044b/1.jpg"),
        (b"plain/1.jpg", "plain/1.jpg"),
    ],
)
def test_a_name_without_the_mark_of_utf8_is_utf8_if_it_can_be_and_dos_letters_if_not(
    tmp_path: Path, raw: bytes, name: str
) -> None:
    old = "x" * len(raw)
    assert listed(tmp_path / "x.zip", renamed(archive({old: b"x"}), old, raw)) == {name: b"x"}


def test_the_unicode_name_beside_one_in_another_encoding_is_taken_where_it_fits(tmp_path: Path) -> None:
    def field(raw: bytes) -> bytes:
        body = b"\x01" + struct.pack("<I", zlib.crc32(raw)) + "\u732b/1.jpg".encode()
        return struct.pack("<HH", 0x7075, len(body)) + body

    assert set(listed(tmp_path / "x.zip", with_extra(b"cat/1.jpg", field(b"cat/1.jpg")))) == {"\u732b/1.jpg"}
    assert set(listed(tmp_path / "y.zip", with_extra(b"cat/1.jpg", field(b"other.jpg")))) == {"cat/1.jpg"}


def test_backslashes_part_folders_where_they_can_be_nothing_else(tmp_path: Path) -> None:
    two = {"train\\cats\\1.jpg": b"1", "train\\dogs\\": b"", "train\\dogs\\2.jpg": b"2"}
    assert listed(tmp_path / "windows.zip", archive(two)) == {"train/cats/1.jpg": b"1", "train/dogs/2.jpg": b"2"}
    mixed = {"train/cats\\1.jpg": b"1", "train\\dogs\\2.jpg": b"2"}
    assert set(listed(tmp_path / "mixed.zip", archive(mixed))) == {"train/cats/1.jpg", "train/dogs/2.jpg"}
    unix = {"cats/back\\slash.jpg": b"1", "dogs/2.jpg": b"2"}
    assert set(listed(tmp_path / "unix.zip", archive(unix))) == set(unix)
    dos = bytearray(archive({"cats/sub\\1.jpg": b"1"}))
    dos[dos.index(b"PK\x01\x02") + 5] = 0  # made on FAT
    assert set(listed(tmp_path / "dos.zip", bytes(dos))) == {"cats/sub/1.jpg"}
    refused(tmp_path / "out.zip", archive({"..\\evil\\1.jpg": b"1"}), "cannot hold an object named")
    refused(tmp_path / "twice.zip", archive({"a\\1.jpg": b"1", "a/1.jpg": b"2"}), "contains 'a/1.jpg' twice")


@pytest.mark.parametrize(
    ("method", "word"),
    [(9, "Deflate64"), (1, "Shrink"), (93, "Zstandard"), (95, "XZ"), (98, "PPMd"), (99, "AES"), (77, "method 77")],
)
def test_a_method_that_python_cannot_read_is_not_supported_and_not_damage(
    tmp_path: Path, method: int, word: str
) -> None:
    data = bytearray(archive({"cats/1.jpg": b"1"}))
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", data, data.index(mark) + at, method)
    refused(tmp_path / "x.zip", bytes(data), rf"cats/1\.jpg' is packed with {word}.*not supported: unpack")


def test_a_newer_kind_of_zip_and_a_part_of_several_are_not_supported(tmp_path: Path) -> None:
    newer = bytearray(archive({"cats/1.jpg": b"1"}))
    struct.pack_into("<H", newer, newer.index(b"PK\x01\x02") + 6, 90)
    refused(tmp_path / "new.zip", bytes(newer), r"not supported \(zip file version 9\.0\)")
    part = bytearray(archive({"cats/1.jpg": b"1"}))
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 3)
    end = part.index(b"PK\x05\x06")
    refused(tmp_path / "part.zip", bytes(part[:end]) + locator + bytes(part[end:]), "one part of an archive in several")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_python_can_read_is_read(tmp_path: Path, method: int) -> None:
    file, data = io.BytesIO(), bytes(range(256)) * 5000
    with zipfile.ZipFile(file, "w", method) as made:
        made.writestr("a/1.jpg", data)
        made.writestr("a/2.jpg", b"")
    assert listed(tmp_path / "x.zip", file.getvalue()) == {"a/1.jpg": data, "a/2.jpg": b""}


def test_an_archive_that_unpacks_itself_is_one(tmp_path: Path) -> None:
    assert listed(tmp_path / "setup.exe", b"MZ" + bytes(500) + archive({"a/1.jpg": b"x"})) == {"a/1.jpg": b"x"}


def test_devices_and_what_expands_too_far_refuse_the_archive(tmp_path: Path) -> None:
    device = zipfile.ZipInfo("cats/1.jpg")
    device.external_attr = 0o020666 << 16
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(device, b"")
    refused(tmp_path / "device.zip", file.getvalue(), "is a device")
    refused(tmp_path / "bomb.zip", archive({"cats/1.jpg": bytes(64 << 20)}), "claim to expand to 67,108,864")


def test_an_entry_that_holds_more_than_it_declares_is_cut_there(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as made:
        made.writestr("cats/1.jpg", bytes(32 << 20))
    data = bytearray(file.getvalue())
    struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 24, 1000)
    refused(tmp_path / "x.zip", bytes(data), "damaged here")


def test_an_entry_that_would_begin_before_the_file_is_damage(tmp_path: Path) -> None:
    data = bytearray(archive({"cats/1.jpg": b"1"}))
    at = data.index(b"PK\x05\x06") + 16
    struct.pack_into("<L", data, at, struct.unpack_from("<L", data, at)[0] + 24)
    refused(tmp_path / "x.zip", bytes(data), "damaged here")


WHOLE = archive({f"{kind}/{i}.jpg": bytes([i]) * 50 for kind in ("cats", "d\u00f6gs") for i in range(3)})


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_a_spoiled_archive_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]], cut: bool
) -> None:
    data = bytearray(WHOLE)
    for at, value in flips:
        data[at] = value
    read_or_refused(tmp_path_factory.getbasetemp() / "spoiled.zip", bytes(data[: flips[0][0]] if cut else data))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([b"", b"PK\x03\x04", b"PK\x01\x02"]), st.binary(max_size=300), st.binary(max_size=22))
def test_bytes_that_pretend_to_be_a_zip_are_refused(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, body: bytes, end: bytes
) -> None:
    read_or_refused(tmp_path_factory.getbasetemp() / "made.zip", start + body + b"PK\x05\x06" + end.ljust(18, b"\0"))

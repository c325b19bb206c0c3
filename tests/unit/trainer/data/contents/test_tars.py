"""What people have as tar archives, plain and compressed; nothing leaves the target or expands without end."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.archives import listed, read_or_refused, refused
from tests.pictures import archive
from trainer.data.contents.opening import open_contents
from trainer.exits import Exit, ExitError

FILES = {
    "cats/1.jpg": b"1" * 700,
    "cats/2.jpg": b"",
    "dogs/K\u00e4tzchen \u732b.jpg": b"3" * 512,
    f"deep/{'x' * 80}/{'y' * 60}.jpg": b"4",
}
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def tar(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT, encoding: str = "utf-8") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form, encoding=encoding) as made:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def special(kind: bytes, name: str = "cats/9.jpg", target: str = "") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, target
        made.addfile(entry)
    return file.getvalue()


def zstd(data: bytes) -> bytes:
    return bytes(zstandard.ZstdCompressor().compress(data))


def in_two(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Two streams one after the other, as parallel packers write."""
    return lambda data: pack(data[:1000]) + pack(data[1000:])


PACKERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("tar", bytes),
    ("tar.gz", gzip.compress),
    ("tgz", in_two(gzip.compress)),
    ("tar.bz2", bz2.compress),
    ("tbz2", in_two(bz2.compress)),
    ("tar.xz", lambda data: lzma.compress(data, preset=0)),
    ("txz", lambda data: in_two(lambda part: lzma.compress(part, preset=0))(data) + bytes(8)),
    ("tar.zst", zstd),
    ("tzst", in_two(zstd)),
    ("zip", gzip.compress),  # content decides, not the name
]


@pytest.mark.parametrize(("suffix", "pack"), PACKERS, ids=[suffix for suffix, _ in PACKERS])
def test_tar_is_read_however_it_is_packed(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    assert listed(tmp_path / f"x.{suffix}", pack(tar(FILES))) == FILES


@pytest.mark.parametrize("form", FORMATS)
def test_each_form_of_tar_is_read_with_its_long_names(tmp_path: Path, form: int) -> None:
    files = FILES | {"/".join(["folder" * 8] * 4) + "/1.jpg": b"5"}
    assert listed(tmp_path / "x.tar", tar(files, form)) == files


def test_names_that_are_not_utf8_are_dos_letters(tmp_path: Path) -> None:
    data = tar({"K\u00e4tzchen/1.jpg": b"x"}, tarfile.GNU_FORMAT, "cp437")
    assert set(listed(tmp_path / "x.tar", data)) == {"K\u00e4tzchen/1.jpg"}


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar on this machine")
def test_what_tar_itself_packs_is_read(tmp_path: Path) -> None:
    for name, data in FILES.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(data)
    subprocess.run(["tar", "-czf", tmp_path / "x.tgz", "-C", tmp_path / "set", "."], check=True)
    with open_contents(str(tmp_path / "x.tgz"), 4) as contents:
        assert {name: contents.read(name) for name in contents.sizes} == FILES
    with open_contents(f"file://{tmp_path}/x.tgz", 4) as contents:
        assert set(contents.sizes) == set(FILES)


@pytest.mark.parametrize(
    "name", ["../out.jpg", "a/../../out.jpg", "/etc/x.jpg", "a//b.jpg", "line\nbreak.jpg", "x" * 1025]
)
def test_names_that_would_leave_the_target_refuse_the_archive(tmp_path: Path, name: str) -> None:
    refused(tmp_path / "x.tgz", gzip.compress(tar(FILES | {name: b"x"}), mtime=0), "cannot hold an object named")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "is a link"),
        (tarfile.LNKTYPE, "is a link"),
        (tarfile.CHRTYPE, "is a device"),
        (tarfile.BLKTYPE, "is a device"),
        (tarfile.FIFOTYPE, "is a device"),
        (tarfile.GNUTYPE_SPARSE, "with holes.*not supported"),
        (b"Q", "of a kind .*not supported"),
    ],
)
def test_what_is_neither_a_file_nor_a_folder_refuses_the_archive(tmp_path: Path, kind: bytes, words: str) -> None:
    refused(tmp_path / "x.tar", special(kind, target="/etc/passwd"), words)


def test_folders_are_no_files_and_a_name_twice_refuses_the_archive(tmp_path: Path) -> None:
    assert listed(tmp_path / "x.tar", special(tarfile.DIRTYPE)) == {}
    data = tar({"cats/1.jpg": b"x"})[:-9216] + tar({"./cats/1.jpg": b"y"})
    refused(tmp_path / "y.tar", data, "contains 'cats/1.jpg' twice")


@pytest.mark.parametrize(("suffix", "pack"), PACKERS[1:9], ids=[suffix for suffix, _ in PACKERS[1:9]])
def test_a_bomb_is_refused_while_it_expands(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    data = pack(tar({"cats/1.jpg": bytes(24 << 20)}))
    refused(tmp_path / f"x.{suffix}", data, r"claim to expand to [\d,]+, more than 100 times")


@pytest.mark.parametrize(("suffix", "pack"), PACKERS[:9], ids=[suffix for suffix, _ in PACKERS[:9]])
def test_a_cut_archive_is_incomplete_or_damaged(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    whole = pack(tar({f"cats/{i}.jpg": os.urandom(900) for i in range(20)}))
    for part in (0.3, 0.6):
        refused(tmp_path / f"x.{suffix}", whole[: int(part * len(whole))][:-7], "incomplete|damaged or cut")


def test_a_cut_between_two_members_is_seen_too(tmp_path: Path) -> None:
    refused(tmp_path / "x.tar", tar({"cats/1.jpg": b"x" * 512, "cats/2.jpg": b"y"})[:1024], "incomplete: its end")


def test_sizes_that_cannot_be_and_headers_without_end_are_refused(tmp_path: Path) -> None:
    def with_size(field: bytes, kind: bytes = b"0") -> bytes:
        header = bytearray(tar({"cats/1.jpg": b"x" * 600})[:512])
        header[124:136], header[156:157], header[148:156] = field, kind, b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header) + bytes(4096)

    for field in (b"\xff" * 12, b"\x80" + b"\x7f" * 11, b"77777777777\0", b"-0000000001\0", b"99999999999\0"):
        refused(tmp_path / "x.tar", with_size(field), "damaged or cut at byte 0")
    big = with_size(b"%011o\0" % (1 << 20), b"x")[:512] + bytes(2 << 20)
    refused(tmp_path / "y.tar", big, "a header of 1,048,576 bytes")


def test_many_members_are_read_without_unpacking_again(tmp_path: Path) -> None:
    files = {f"cats/{i}.jpg": b"%d" % i for i in range(3000)}
    assert listed(tmp_path / "x.tar.xz", lzma.compress(tar(files), preset=0)) == files


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.zip", b"<!DOCTYPE html><html>login</html>", "is a web page saved under this name.*log in"),
        ("a.tgz", b"\n<html><head>", "is a web page"),
        ("a.tar.gz", b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x --><HTML>", "is a web page"),
        ("a.zip", b'{"error": {"code": 403}}', "is JSON saved under this name"),
        ("a.zip", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        ("a.zip", b"", "is empty"),
        ("a.zip", b"Rar!\x1a\x07\x01\x00", "a RAR archive, which is not supported"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\0\4", "a 7-Zip archive, which is not supported"),
        ("a.tar.Z", b"\x1f\x9d\x90", r"compress \(\.Z\), which is not supported"),
        ("a.txt", b"what", "is not a zip or tar archive"),
        ("a.gz", gzip.compress(b"picture" * 200, mtime=0), "packed here with gzip is not a tar archive"),
        ("a.gz", gzip.compress(archive({"a": b"x"}), mtime=0), "packed here with gzip is not a tar archive"),
        ("a.gz", b"\x1f\x8b\x08\x00garbage garbage garbage", "damaged|incomplete"),
        ("a.bz2", b"BZh9garbage garbage", "the archive is damaged"),
        ("a.xz", b"\xfd7zXZ\0garbage garbage", "the archive is damaged"),
    ],
)
def test_what_is_no_archive_is_named(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    refused(tmp_path / name, data, words)


@pytest.mark.parametrize(
    "suffix", [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".TAR.ZST", ".7z", ".rar"]
)
def test_an_archive_in_a_bucket_is_to_be_downloaded(suffix: str) -> None:
    with (
        pytest.raises(ExitError, match="read from the local machine only; download it first") as raised,
        open_contents(f"gs://bucket/set{suffix}", 4),
    ):
        pass
    assert raised.value.code == Exit.BAD_OPTION


def test_xz_that_asks_for_too_much_memory_is_told(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
    packed = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=filters)
    refused(tmp_path / "x.tar.xz", packed.compress(b"x") + packed.flush(), "takes more than 256 MiB of memory")


WHOLE = tar(FILES, tarfile.GNU_FORMAT) + tar(FILES)
flips = st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=12)), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(flips, st.booleans(), st.sampled_from(FORMATS))
def test_a_spoiled_archive_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, spoils: list[tuple[int, bytes]], sound: bool, form: int
) -> None:
    data = bytearray(tar(FILES, form))
    for at, new in spoils:
        start = at % (len(data) - 12)
        data[start : start + len(new)] = new
        if sound:  # so that what is spoiled is read, and not just seen
            block = start // 512 * 512
            header = bytearray(data[block : block + 512])
            header[148:156] = b" " * 8
            data[block + 148 : block + 156] = b"%06o\0 " % (sum(header) & 0o777777)
    read_or_refused(tmp_path_factory.getbasetemp() / "spoiled.tar", bytes(data))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(PACKERS[1:6:2]), st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
def test_a_spoiled_stream_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, packer: tuple[str, Callable[[bytes], bytes]], at: int, new: bytes
) -> None:
    data = bytearray(packer[1](tar(FILES)))
    start = at % (len(data) - 8)
    data[start : start + len(new)] = new
    read_or_refused(tmp_path_factory.getbasetemp() / "spoiled.tgz", bytes(data))

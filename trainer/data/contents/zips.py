"""A zip archive on this machine, as `Contents`."""

import errno
import lzma
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from trainer.data.contents.base import AGAIN, Contents, Member, names, require_allowed
from trainer.exits import Exit, ExitError
from trainer.process import temporary
from trainer.storage.retry import MIB

NESTED = "train.zip"
"""Kaggle's dogs-vs-cats.zip holds the pictures in an archive of this name."""

_WINDOWS = (0, 10, 11, 14)
"""Systems, by the archive's own numbers, on which no name can hold a backslash: FAT, NTFS, and what packs for them."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_METHOD_NAMES = {
    **{1: "Shrink", 6: "Implode", 9: "Deflate64", 10: "DCL Implode", 18: "IBM Terse", 19: "IBM LZ77", 20: "Zstandard"},
    **{93: "Zstandard", 94: "MP3", 95: "XZ", 96: "JPEG", 97: "WavPack", 98: "PPMd", 99: "AES encryption"},
}

_UNICODE_PATH = 0x7075
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_PATCHED = 0x20
_DOS_FOLDER = 0x10

_PIECE = 4096
"""Packed bytes that are expanded at a time: bzip2 makes up to 80 MB of them, and Python's zipfile asks for no limit."""

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, lzma.LZMAError, ValueError, OverflowError, struct.error)


@contextmanager
def open_zip(file: BinaryIO, uri: str) -> Iterator[Contents]:
    """The files of the archive, or of Kaggle's train.zip in it.

    Raises:
        ExitError: 65 for an archive that is damaged, not supported or refused; 74 when there is no room to unpack
            train.zip.
    """
    with _zip(file, uri) as archive:
        entries = _entries(archive, uri, _size(file))
        nested = [entry for name, entry in entries.items() if name.rpartition("/")[2].lower() == NESTED]
        if not nested:
            yield _contents(archive, uri, entries)
            return
        inner_uri = f"{uri}/{nested[0].filename}"
        with _unpacked(archive, nested[0], inner_uri) as inner_file, _zip(inner_file, inner_uri) as inner:
            yield _contents(inner, inner_uri, _entries(inner, inner_uri, nested[0].file_size))


@contextmanager
def _zip(file: BinaryIO, uri: str) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(file)
    except NotImplementedError as error:
        raise ExitError(Exit.BAD_DATA, f"{uri}: this kind of zip is not supported ({error}): {AGAIN}") from error
    except (*_DAMAGED, OSError) as error:  # OSError: sent to a place before the file's start
        if "multiple disks" in str(error):
            raise ExitError(
                Exit.BAD_DATA, f"{uri}: one part of an archive in several, which is not supported: {AGAIN}"
            ) from error
        raise ExitError(
            Exit.BAD_DATA, f"{uri}: not a zip archive, or an incomplete one ({error}); download it again"
        ) from error
    with archive:
        yield archive


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _entries(archive: zipfile.ZipFile, uri: str, packed: int) -> dict[str, zipfile.ZipInfo]:
    """Files of the archive by name."""
    files = []
    for entry in archive.infolist():
        written = _written(entry)
        _require_plain(entry, written, uri)
        if not (written.endswith(("/", "\\")) or (entry.external_attr & _DOS_FOLDER and not entry.file_size)):
            files.append((Member(written, entry.file_size, entry.create_system in _WINDOWS), entry))
    require_allowed(sum(one.size for one, _ in files), packed, uri)
    return {name: files[place][1] for name, place in names((one for one, _ in files), uri).items()}


def _written(entry: zipfile.ZipInfo) -> str:
    """The name as it was meant: UTF-8 where it is, whether or not the archive says so, else the old DOS letters."""
    if entry.flag_bits & 0x800:
        return entry.orig_filename
    raw = entry.orig_filename.encode("cp437")
    for encoded in (_unicode_path(entry.extra, raw), raw):
        try:
            if encoded:
                return encoded.decode()
        except UnicodeDecodeError:
            continue
    return entry.orig_filename


def _unicode_path(extra: bytes, raw: bytes) -> bytes:
    """The name in UTF-8 that Info-ZIP and others keep beside one in another encoding; empty where it does not fit."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and field[:1] == b"\x01" and field[1:5] == struct.pack("<I", zlib.crc32(raw)):
            return field[5:]
    return b""


def _require_plain(entry: zipfile.ZipInfo, name: str, uri: str) -> None:
    """Refuses an entry that is neither a file nor a folder, or that cannot be unpacked here."""
    mode = stat.S_IFMT(entry.external_attr >> 16)
    if mode == stat.S_IFLNK:
        raise ExitError(Exit.BAD_DATA, f"{uri}: {name!r} is a link; archives with links are refused")
    if mode in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK):
        raise ExitError(Exit.BAD_DATA, f"{uri}: {name!r} is a device; archives with devices are refused")
    if entry.flag_bits & _ENCRYPTED:
        raise ExitError(Exit.BAD_DATA, f"{uri}: {name!r} is encrypted; unpack the archive and give the folder")
    if entry.compress_type not in _METHODS or entry.flag_bits & _PATCHED:
        method = _METHOD_NAMES.get(entry.compress_type, f"method {entry.compress_type}")
        raise ExitError(Exit.BAD_DATA, f"{uri}: {name!r} is packed with {method}, which is not supported: {AGAIN}")


def _contents(archive: zipfile.ZipFile, uri: str, entries: Mapping[str, zipfile.ZipInfo]) -> Contents:
    lock = threading.Lock()  # reading is bound by the disk; one stream at a time keeps memory small

    def read(name: str) -> bytes:
        with lock, _explained(uri, name):
            return b"".join(_pieces(archive, entries[name]))

    return Contents(uri, {name: entry.file_size for name, entry in entries.items()}, read, packed=True)


def _pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The entry's bytes, no more than it declares; zipfile compares their checksum at the end."""
    bounded = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    with archive.open(entry) as packed:
        while piece := packed.read(MIB if bounded else _PIECE):
            yield piece


@contextmanager
def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, uri: str) -> Iterator[BinaryIO]:
    """The nested archive as a file without a name: a zip is read from its end, which a compressed entry cannot give."""
    require_allowed(entry.file_size, entry.compress_size, uri)
    with temporary.unnamed() as file:
        with _explained(uri, ""):
            for piece in _pieces(archive, entry):
                with temporary.explained(f"{uri} cannot be unpacked here"):
                    file.write(piece)
        with temporary.explained(f"{uri} cannot be unpacked here"):
            file.flush()
        yield file


@contextmanager
def _explained(uri: str, name: str) -> Iterator[None]:
    where = f"{uri}/{name}" if name else uri
    try:
        yield
    except NotImplementedError as error:
        raise ExitError(Exit.BAD_DATA, f"{where}: not supported ({error}): {AGAIN}") from error
    except (*_DAMAGED, OSError) as error:
        # Of OSError: bz2 raises it without a number for damaged data, and a negative offset gives EINVAL.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise ExitError(Exit.STORAGE_FAILED, f"{where}: cannot be read: {error.strerror}") from error
        raise ExitError(Exit.BAD_DATA, f"{where}: the archive is damaged here ({error}); download it again") from error

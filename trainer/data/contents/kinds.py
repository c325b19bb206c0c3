"""What a file is by its first bytes: an archive that can be read, one that cannot, or what people save for one."""

import re
from collections.abc import Callable

from trainer.data.contents.base import AGAIN

START = 1024
"""Bytes of a file that tell its kind."""

ARCHIVE_SUFFIXES = (
    *(".zip", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst"),
    *(".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.zstd", ".7z", ".rar"),
)
"""How names of archives end; only a name in a bucket is judged by it."""

_TAR_MAGIC = slice(257, 262)

# A kind that can be read → how such a file begins.
_READABLE: dict[str, tuple[bytes, ...]] = {
    "zip": (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"PK00PK\x03\x04"),
    "gzip": (b"\x1f\x8b",),
    "bzip2": (b"BZh",),
    "xz": (b"\xfd7zXZ\0",),
    "zstd": (b"\x28\xb5\x2f\xfd", *(bytes([kind]) + b"\x2a\x4d\x18" for kind in range(0x50, 0x60))),
}

_UNREADABLE: dict[bytes, str] = {
    b"Rar!\x1a\x07": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"\x5d\x00\x00": "an archive packed with old LZMA",
    b"\x1f\x9d": "an archive packed with compress (.Z)",
    b"LZIP": "an archive packed with lzip",
    b"\x04\x22\x4d\x18": "an archive packed with LZ4",
    b"MSCF\0\0\0\0": "a cabinet archive",
    b"\xff\x06\0\0sNaPpY": "an archive packed with Snappy",
}

_WEB_PAGE = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)", re.I | re.S
)


def kind_of(start: bytes) -> str:
    """ "zip", "tar", or how a tar archive is compressed; empty for what is none of them."""
    for kind, beginnings in _READABLE.items():
        if start.startswith(beginnings):
            return kind
    return "tar" if start[_TAR_MAGIC] == b"ustar" or has_checksum(start) else ""


def has_checksum(header: bytes) -> bool:
    """Whether 512 bytes carry the checksum of a tar header, which the oldest kind has and no magic."""
    if len(header) < 512:
        return False
    digits = header[148:156].strip(b" \0")
    if not re.fullmatch(rb"[0-7]{1,7}", digits):
        return False
    rest = header[:148] + b" " * 8 + header[156:512]
    signed = sum(rest) - 256 * sum(byte > 127 for byte in rest)
    return int(digits, 8) in (sum(rest), signed)


def fault_of(start: bytes) -> str:
    """What a file is that is no archive we read, and what to do, in the words that follow its name."""
    if not start:
        return "is empty; download it again"
    for beginning, words in _UNREADABLE.items():
        if start.startswith(beginning):
            return f"is {words}, which is not supported: {AGAIN}"
    for fits, words in _MISTAKEN:
        if fits(start):
            return words
    return "is not a zip or tar archive, or an incomplete one; give an archive, a folder or a bucket"


_MISTAKEN: tuple[tuple[Callable[[bytes], object], str], ...] = (
    (
        _WEB_PAGE.match,
        "is a web page saved under this name, not an archive: log in where it comes from, and download it again",
    ),
    (
        re.compile(rb"version https://git-lfs").match,
        "is a pointer of Git LFS, not the archive: get it with git lfs pull",
    ),
    (
        re.compile(rb"\s*[\[{][\s\"\[{]").match,
        "is JSON saved under this name, perhaps an error message, not an archive: look into it, and download it again",
    ),
)

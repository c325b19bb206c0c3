"""A tar archive on this machine, plain or compressed, as `Contents`.

Headers are read here and not by Python's tarfile, which in versions that we support goes on for ever at a negative size
(CVE-2025-8194) and takes a header of any length into memory. A compressed archive is unpacked once; then, as in a plain
one, a member is read where it lies.
Format: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from trainer.data.contents.base import AGAIN, Contents, Member, names
from trainer.data.contents.kinds import has_checksum
from trainer.data.contents.unpacking import unpacked
from trainer.exits import Exit, ExitError

BLOCK = 512
LONGEST_HEADER = 64 * 1024
"""Bytes of a header that gives a long name or further facts."""

_FILES = (b"0", b"\0", b"7")
_FOLDER = b"5"
_LONG_NAME, _LONG_LINK = b"L", b"K"
_FACTS_OF_ALL = b"g"
_FACTS = (_LONG_NAME, _LONG_LINK, _FACTS_OF_ALL, b"x", b"X")
_VOLUME = b"V"
_REFUSED = {
    **dict.fromkeys((b"1", b"2"), "a link; archives with links are refused"),
    **dict.fromkeys((b"3", b"4", b"6"), "a device; archives with devices are refused"),
    **dict.fromkeys((b"S", b"M"), f"a file with holes or of several volumes, which is not supported: {AGAIN}"),
}


@dataclass(frozen=True)
class _Place:
    """Where a member lies: the first byte and how many."""

    start: int
    size: int


@contextmanager
def open_tar(file: BinaryIO, kind: str, uri: str) -> Iterator[Contents]:
    """The files of the archive; `kind` is "tar" or how it is compressed.

    Raises:
        ExitError: 65 for an archive that is damaged, not supported or refused; 66 and 74 as `unpacked`.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if kind == "tar":
        yield _contents(file, size, uri, kind)
        return
    with unpacked(file, kind, size, uri) as plain:
        plain.flush()  # members are read past Python's buffer
        yield _contents(plain, plain.tell(), uri, kind)


def _contents(file: BinaryIO, size: int, uri: str, kind: str) -> Contents:
    members = list(_members(file, size, uri, kind))
    places = {name: members[place][1] for name, place in names((one for one, _ in members), uri).items()}

    def read(name: str) -> bytes:
        place = places[name]
        try:
            data = os.pread(file.fileno(), place.size, place.start)
        except OSError as error:
            raise ExitError(Exit.STORAGE_FAILED, f"{uri}/{name}: cannot be read: {error.strerror}") from error
        if len(data) != place.size:
            raise ExitError(Exit.BAD_DATA, f"{uri}/{name}: the archive has changed, or is cut here; download it again")
        return data

    return Contents(uri, {name: place.size for name, place in places.items()}, read, packed=True)


def _members(file: BinaryIO, size: int, uri: str, kind: str) -> Iterator[tuple[Member, _Place]]:
    """Files of the archive in its order; each header is a block, and facts for the next one come before it."""
    at = 0
    for_all: dict[str, str] = {}
    for_next: dict[str, str] = {}
    while header := _header(file, at, uri, kind):
        told = header[156:157]
        is_facts = told in _FACTS
        facts = {} if is_facts else for_all | for_next
        length = 0 if told == _FOLDER else _length(facts, header[124:136])
        if length is None or at + BLOCK + length > size:
            raise ExitError(Exit.BAD_DATA, f"{uri}: the archive is damaged or cut at byte {at:,}; download it again")
        place = _Place(at + BLOCK, length)
        at = place.start + -(-length // BLOCK) * BLOCK
        if is_facts:
            for_all, for_next = _with_facts(told, _facts(file, place, uri), for_all, for_next)
            continue
        for_next = {}
        written = facts.get("path") or _name(header)
        if _is_file(told, facts, written, uri):
            yield Member(written, length), place


def _header(file: BinaryIO, at: int, uri: str, kind: str) -> bytes:
    """The block at this byte; empty at the archive's end, which is a block of zeros."""
    header = os.pread(file.fileno(), BLOCK, at)
    if len(header) == BLOCK and not header.strip(b"\0"):
        return b""
    if at == 0 and header and not has_checksum(header):
        inside = "not a tar archive" if kind == "tar" else f"what is packed here with {kind} is not a tar archive"
        raise ExitError(Exit.BAD_DATA, f"{uri}: {inside}, or a damaged one: {AGAIN}")
    if len(header) < BLOCK:
        raise ExitError(Exit.BAD_DATA, f"{uri}: incomplete: its end is not there; download it again")
    if not has_checksum(header):
        raise ExitError(Exit.BAD_DATA, f"{uri}: the archive is damaged at byte {at:,}; download it again")
    return header


def _facts(file: BinaryIO, place: _Place, uri: str) -> bytes:
    if place.size > LONGEST_HEADER:
        raise ExitError(
            Exit.BAD_DATA, f"{uri}: a header of {place.size:,} bytes at byte {place.start:,}; this archive is refused"
        )
    return os.pread(file.fileno(), place.size, place.start)


def _with_facts(
    told: bytes, body: bytes, for_all: dict[str, str], for_next: dict[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    if told == _FACTS_OF_ALL:
        return for_all | _pax(body), for_next
    if told == _LONG_NAME:
        return for_all, for_next | {"path": _text(body.split(b"\0", 1)[0])}
    return for_all, for_next if told == _LONG_LINK else for_next | _pax(body)


def _is_file(told: bytes, facts: Mapping[str, str], written: str, uri: str) -> bool:
    """Whether the member is a file; what is neither that nor a folder is refused."""
    if told in (_FOLDER, _VOLUME) or (told in _FILES and written.endswith("/")):
        return False
    sparse = any(key.startswith("GNU.sparse.") for key in facts)
    if told not in _FILES or sparse:
        words = _REFUSED.get(b"S" if sparse else told, f"of a kind ({told!r}) that is not supported")
        raise ExitError(Exit.BAD_DATA, f"{uri}: {written!r} is {words}")
    return True


def _name(header: bytes) -> str:
    """The name in the header itself, with the part before it that POSIX has room for and GNU uses otherwise."""
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _text(raw: bytes) -> str:
    """UTF-8 where it is, else the old DOS letters, as for names in a zip."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _length(facts: Mapping[str, str], field: bytes) -> int | None:
    """Bytes of the member; None where it is no number that can be."""
    if "size" in facts:
        text = facts["size"]
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None
    if field[0] & 0x80:  # a binary number, for more than 8 GiB
        value = int.from_bytes(field, "big") & ((1 << 95) - 1)
        return value if value < 1 << 63 else None
    digits = field.strip(b" \0")
    if not digits:
        return 0
    return int(digits, 8) if digits.isdigit() and b"8" not in digits and b"9" not in digits else None


def _pax(body: bytes) -> dict[str, str]:
    """Records "LENGTH KEY=VALUE\\n"; those that do not add up end it."""
    found = {}
    while body:
        head, space, _ = body[:8].partition(b" ")
        if not space or not head.isdigit() or not (length := int(head)) or length > len(body):
            break
        key, _, value = body[len(head) + 1 : length].removesuffix(b"\n").partition(b"=")
        found[_text(key)] = _text(value)
        body = body[length:]
    return found

"""One large object, held once: a map of a local file, or read from a bucket in parts."""

import mmap
from pathlib import Path

import google_crc32c

from trainer.storage.base import Stat, Storage
from trainer.storage.errors import StorageFailed, StorageMissing
from trainer.storage.fetch import in_parallel
from trainer.storage.local_errors import explained
from trainer.storage.retry import MIB

PART = 16 * MIB
PARTS_AT_ONCE = 8
"""Bytes of a request, and requests at a time."""


def read_large(storage: Storage, stat: Stat) -> memoryview:
    """The bytes of an object that was listed like this, read-only and held once.

    A local file is mapped: its pages are shared by all processes that read it, and memory that runs short takes them
    back. It must not be cut while it is in use; nothing here does that. From a bucket the object is read in parts,
    several at a time. These have no checksum of their own, so if all of it has another one than it was listed with, it
    is read once more as a whole, which storage verifies.

    Raises:
        StorageMissing: there is no such object.
        StorageFailed: it is shorter.
    """
    name, size = stat.name, stat.size
    if not size:
        return memoryview(b"")
    if "://" not in storage.uri:
        return _mapped(Path(storage.uri, name), size)
    if size <= PART:
        return _whole(storage, stat)
    found = memoryview(bytearray(size))

    def part(at: int) -> None:
        length = min(PART, size - at)
        found[at : at + length] = storage.read_range(name, at, length)

    for _ in in_parallel(part, range(0, size, PART), PARTS_AT_ONCE):
        pass
    if stat.crc32c not in (None, _checksum(found)):
        return _whole(storage, stat)
    return found.toreadonly()


def _whole(storage: Storage, stat: Stat) -> memoryview:
    found = storage.read(stat.name)
    if len(found) != stat.size:
        raise StorageFailed(f"{storage.uri}/{stat.name}: {len(found):,} bytes, and not {stat.size:,} as it was listed")
    return memoryview(found)


def _checksum(data: memoryview) -> int:
    checksum = 0
    for at in range(0, len(data), MIB):
        checksum = google_crc32c.extend(checksum, bytes(data[at : at + MIB]))
    return checksum


def _mapped(path: Path, size: int) -> memoryview:
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise StorageMissing(f"{path}: no such file") from None
    except OSError as error:
        raise explained(error, "read", path) from error
    except ValueError as error:
        raise StorageFailed(f"{path}: shorter than {size:,} bytes") from error

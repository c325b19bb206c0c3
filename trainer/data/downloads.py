"""A local folder of pictures read from a bucket: encoded bytes, kept between runs, within a size limit.

One file per picture, in one folder per data set (named by its fingerprint). Any number of processes may use it at once
and be killed at any moment: all data read is compared with the size and CRC-32C of the listing, so a partial or damaged
file is a miss and is written again. The number of bytes in use is kept in a file that is changed under its lock; a
process reserves 8 MiB at a time, so that storing a picture takes few system calls.
"""

import errno
import fcntl
import hashlib
import logging
import os
import re
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import google_crc32c

from trainer.data.examples import Example
from trainer.process import temporary
from trainer.process.container import disk_limit

log = logging.getLogger(__name__)

LARGEST_DEFAULT = 16 << 30
TAKEN_AT_ONCE = 8 << 20
"""Bytes of the limit that a process reserves at a time, as far as available."""

_USED = "used"


class Downloads:
    """Pictures of one data set in the folder. Safe to use from many threads and processes; made by `open_downloads`.

    When `limit` bytes are in use, other data sets are evicted, least recently used first; after that nothing is added.
    If the disk cannot be written, nothing more is added; this logs one warning and does not stop the run.
    """

    def __init__(self, root: Path, fingerprint: str, limit: int) -> None:
        self._root, self._folder, self._limit = root, root / fingerprint, limit
        self._adding, self._allowed = True, 0
        self._guard = threading.Lock()

    def get(self, example: Example) -> bytes | None:
        """The picture's bytes, verified; None if they are not here."""
        try:
            with open(self._path(example), "rb", buffering=0) as file:
                data = file.readall()
        except OSError:
            return None  # absent, evicted by another process, or unreadable: the bucket has it
        return data if is_intact(example, data) else None

    def put(self, example: Example, data: bytes) -> None:
        """Keeps the picture's bytes if there is room."""
        if not self._adding:
            return
        try:
            path = self._path(example)
            if not _is_there(path, data) and self._allow(len(data)):
                _write(path, data)
        except OSError as error:
            if self._adding:
                log.warning("%s: downloaded pictures are no longer kept there: %s", self._root, error.strerror)
            self._adding = False

    def _path(self, example: Example) -> str:
        name = hashlib.sha256(example.name.encode()).hexdigest()[:32]
        return f"{self._folder}/{name[:2]}/{name[2:]}"

    def _allow(self, size: int) -> bool:
        """Reserves `size` bytes of the limit, if that much is left."""
        with self._guard:
            if size > self._allowed:
                with _account(self._root) as account:
                    while account.used + size > self._limit and (freed := self._evict_another()):
                        account.used -= freed
                    taken = max(0, min(max(TAKEN_AT_ONCE, size), self._limit - account.used))
                    account.used += taken
                self._allowed += taken
            self._adding = size <= self._allowed
            if self._adding:
                self._allowed -= size
            return self._adding

    def _evict_another(self) -> int:
        """Removes the least recently used other data set; returns the bytes freed, 0 if there is none."""
        others = [entry for entry in _data_sets(self._root) if entry != self._folder]
        if not others:
            return 0
        oldest = min(others, key=lambda folder: folder.stat().st_mtime)
        freed = _size_of(oldest)
        shutil.rmtree(oldest, ignore_errors=True)
        return freed - _size_of(oldest)


def open_downloads(folder: Path | None, fingerprint: str, limit: int) -> Downloads | None:
    """Open the pictures of one data set below `folder`, by default the system's temporary folder, and recount the
    bytes in use; None, with a warning, if they cannot be kept there.

    `limit` in bytes applies to all data sets together, to within 8 MiB per process already using the folder; 0: a
    quarter of the disk space that is free or ours, or that the pod may use, at most 16 GiB.
    """
    root = (folder or temporary.place()) / f"catdog-pictures-{os.geteuid()}"
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        root.mkdir(exist_ok=True, mode=0o700)
        facts = root.lstat()
        if facts.st_uid != os.geteuid() or not stat.S_ISDIR(facts.st_mode):
            raise PermissionError(errno.EACCES, "it belongs to another user, or is a link")
        with _account(root) as account:
            own = root / fingerprint
            own.mkdir(exist_ok=True)
            for number in range(256):
                (own / f"{number:02x}").mkdir(exist_ok=True)
            os.utime(own)
            account.used = sum(map(_size_of, _data_sets(root)))
            free = shutil.disk_usage(root).free + account.used
        room = disk_limit(os.environ) if folder is None else None
        return Downloads(
            root, fingerprint, limit or min((free if room is None else min(free, room)) // 4, LARGEST_DEFAULT)
        )
    except OSError as error:
        log.warning("%s: downloaded pictures cannot be kept there: %s", root, error.strerror)
        return None


def is_intact(example: Example, data: bytes) -> bool:
    """Whether these bytes match the listing."""
    return len(data) == example.size and google_crc32c.value(data) == example.crc32c


def _is_there(path: str, data: bytes) -> bool:
    """Whether another process has stored these bytes meanwhile."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall() == data
    except FileNotFoundError:
        return False


def _write(path: str, data: bytes) -> None:
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(data)
    except FileNotFoundError:  # another process evicted this data set
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb", buffering=0) as file:
            file.write(data)


class _Account:
    """Bytes in use; its value is written when the lock is released."""

    def __init__(self, used: int) -> None:
        self.used = used


@contextmanager
def _account(root: Path) -> Iterator[_Account]:
    descriptor = os.open(root / _USED, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        text = os.pread(descriptor, 32, 0)
        account = _Account(int(text) if text.strip().isdigit() else 0)
        yield account
        os.pwrite(descriptor, b"%-31d\n" % account.used, 0)  # always 32 bytes: a kill leaves the old or the new number
    finally:
        os.close(descriptor)


def _data_sets(root: Path) -> list[Path]:
    return [entry for entry in root.iterdir() if re.fullmatch("[0-9a-f]{16}", entry.name) and entry.is_dir()]


def _files(folder: Path) -> Iterator[Path]:
    for at, _, names in os.walk(folder):
        yield from (Path(at, name) for name in names)


def _size_of(folder: Path) -> int:
    total = 0
    for path in _files(folder):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total

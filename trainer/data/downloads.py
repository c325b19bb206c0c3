"""A local folder of pictures that were read from a bucket: encoded bytes, kept between runs, within a size limit.

One file a picture, below a folder a data set (named by its fingerprint). Any number of processes may use it at once and
be killed at any moment: files appear whole, by renaming, and whatever is read is compared with the size and CRC-32C of
the listing, so that a damaged file is a miss. The sum of the sizes is kept in a file that is changed under its lock.
"""

import errno
import fcntl
import hashlib
import logging
import os
import re
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import google_crc32c

from trainer.data.split import Example

log = logging.getLogger(__name__)

LARGEST_DEFAULT = 16 << 30
_USED = "used"
_TEMPORARY = "tmp-"
_ABANDONED_SECONDS = 3600.0


class Downloads:
    """Pictures of one data set in the folder. Safe to use from many threads and processes; made by `open_downloads`.

    When `limit` bytes are reached, other data sets go, the longest unused first; then no more is added. A disk that
    cannot be written ends the adding, with one warning, not the run.
    """

    def __init__(self, root: Path, fingerprint: str, limit: int) -> None:
        self._root, self._folder, self._limit = root, root / fingerprint, limit
        self._adding = True

    def get(self, example: Example) -> bytes | None:
        """The picture's bytes, verified; None where they are not here."""
        try:
            data = self._path(example).read_bytes()
        except OSError:
            return None  # absent, evicted by another process, or unreadable: the bucket has it
        return data if is_intact(example, data) else None

    def put(self, example: Example, data: bytes) -> None:
        """Keeps the picture's bytes where there is room."""
        if not self._adding:
            return
        try:
            self._put(self._path(example), data)
        except OSError as error:
            if self._adding:
                log.warning("%s: downloaded pictures are no longer kept there: %s", self._root, error.strerror)
            self._adding = False

    def _path(self, example: Example) -> Path:
        name = hashlib.sha256(example.name.encode()).hexdigest()[:32]
        return self._folder / name[:2] / name[2:]

    def _put(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
        try:
            temporary.write_bytes(data)
            with _account(self._root) as account:
                added = len(data) - (path.stat().st_size if path.exists() else 0)
                while account.used + added > self._limit and (freed := self._evict_another()):
                    account.used -= freed
                if account.used + added > self._limit:
                    self._adding = False
                    return
                os.replace(temporary, path)
                account.used += added
        finally:
            temporary.unlink(missing_ok=True)

    def _evict_another(self) -> int:
        """Removes the longest unused other data set; the bytes that this freed, 0 where nothing can go."""
        others = [entry for entry in _data_sets(self._root) if entry != self._folder]
        if not others:
            return 0
        oldest = min(others, key=lambda folder: folder.stat().st_mtime)
        freed = _size_of(oldest)
        shutil.rmtree(oldest, ignore_errors=True)
        return freed - _size_of(oldest)


def open_downloads(folder: Path | None, fingerprint: str, limit: int) -> Downloads | None:
    """What is kept of one data set below `folder`, by default the system's temporary folder, with the sum of sizes
    taken anew; None, and a warning, where it cannot be kept there.

    `limit` in bytes holds for all data sets together; 0: a quarter of the disk that is free or ours, at most 16 GiB.
    """
    root = (folder or Path(tempfile.gettempdir())) / f"catdog-pictures-{os.geteuid()}"
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
            os.utime(own)
            _sweep(root)
            account.used = sum(map(_size_of, _data_sets(root)))
            free = shutil.disk_usage(root).free + account.used
        return Downloads(root, fingerprint, limit or min(free // 4, LARGEST_DEFAULT))
    except OSError as error:
        log.warning("%s: downloaded pictures cannot be kept there: %s", root, error.strerror)
        return None


def is_intact(example: Example, data: bytes) -> bool:
    """Whether these are the bytes that were listed."""
    return len(data) == example.size and google_crc32c.value(data) == example.crc32c


class _Account:
    """Bytes in use; what it holds when the lock is given back is written."""

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


def _sweep(root: Path) -> None:
    """Removes the temporary files of writers that were killed."""
    for path in _files(root):
        with suppress(FileNotFoundError):
            if path.name.startswith(_TEMPORARY) and path.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                path.unlink()

"""Locks on folders and files that work between processes and end with the process that holds them (flock)."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.storage.names import LOCK_NAME

_CANNOT_LOCK_FOLDERS = (errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.ENOLCK)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock; raises FileNotFoundError if the folder does not exist (any more)."""
    while True:
        with opened(folder, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in _CANNOT_LOCK_FOLDERS:
                    raise
                break
            if os.path.samestat(os.fstat(descriptor), os.stat(folder)):  # else removed and recreated while we waited
                yield
                return
    with locked_by_file(folder):
        yield


@contextmanager
def locked_by_file(folder: Path) -> Iterator[None]:
    """For NFS, which locks only files open for writing; the lock file stays."""
    with opened(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """A file's or a folder's descriptor, closed at the end, which releases its lock. Raises OSError."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Whether the file could be locked at once; the lock lasts until it is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

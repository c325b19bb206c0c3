"""What a file system error means."""

import errno
import os
from pathlib import Path

from trainer.storage.errors import StorageDenied, StorageFailed
from trainer.storage.names import TEMPORARY_PREFIX

_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def explained(error: OSError, verb: str, path: Path) -> StorageDenied | StorageFailed:
    """The error to raise when the system cannot `verb` the file; one line that says what to do about it."""
    why = os.strerror(error.errno) if error.errno else str(error)
    if error.filename not in (None, str(path)) and TEMPORARY_PREFIX not in str(error.filename):
        why += f" at {error.filename}"
    if error.errno in _DENIED:
        user = os.geteuid()
        return StorageDenied(f"{path}: cannot {verb}: {why}; give user id {user} permission, or choose another place")
    if error.errno in _FULL:
        return StorageFailed(f"{path}: cannot {verb}: {why}; free space there or choose another place")
    return StorageFailed(f"{path}: cannot {verb}: {why}")

import errno
import os
from pathlib import Path

import pytest

from trainer.storage.errors import StorageDenied, StorageFailed
from trainer.storage.local_errors import explained


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, StorageFailed, "No space left on device; free space there"),
        (errno.EDQUOT, StorageFailed, "Disk quota exceeded; free space there"),
        (errno.EIO, StorageFailed, "Input/output error"),
        (errno.EACCES, StorageDenied, "Permission denied; give user id"),
        (errno.EROFS, StorageDenied, "Read-only file system; give user id"),
    ],
)
def test_a_file_systems_error_becomes_one_line(number: int, kind: type[Exception], words: str) -> None:
    error = explained(OSError(number, os.strerror(number), "/data/a"), "write", Path("/data/a"))
    assert type(error) is kind
    assert str(error).startswith(f"/data/a: cannot write: {words}")

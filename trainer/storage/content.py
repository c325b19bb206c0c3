"""What can be stored, and how it is read for that: bytes, a local file, or pieces of memory without a copy."""

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from trainer.storage.errors import StorageDenied, StorageMissing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Pieces: TypeAlias = "Sequence[npt.NDArray[np.uint8]]"
"""Bytes in several memory regions, as if joined: tensors are stored directly, without a copy."""

Content: TypeAlias = "bytes | Path | Pieces"
"""What can be stored: bytes, a local file's content, or pieces."""


class _Joined(io.RawIOBase):
    """Pieces as one readable file."""

    def __init__(self, pieces: Pieces) -> None:
        self._views = [piece.data for piece in pieces]
        self._ends = list(accumulate(len(view) for view in self._views))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        end = self._ends[-1] if self._ends else 0
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: end}[whence])
        return self._at

    def readinto(self, target: Any, /) -> int:
        """Fill a writable buffer from one piece; zero bytes mean the end, so empty pieces are skipped."""
        place = bisect_right(self._ends, self._at)
        if place == len(self._ends):
            return 0
        view = self._views[place]
        start = self._at - (self._ends[place] - len(view))
        part = view[start : start + len(target)]
        target[: len(part)] = part
        self._at += len(part)
        return len(part)


def open_content(data: Content) -> BinaryIO:
    """The content given to `Storage.write`, as a readable file; raises `StorageMissing` if there is no local file."""
    if isinstance(data, bytes):
        return io.BytesIO(data)
    if not isinstance(data, Path):
        return io.BufferedReader(_Joined(data))
    try:
        return data.open("rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise StorageMissing(f"{data}: no such file to store") from None
    except PermissionError:
        raise StorageDenied(f"{data}: no permission to read the file to store") from None

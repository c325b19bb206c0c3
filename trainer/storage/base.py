"""The storage protocol: what every place that holds data, checkpoints and results can do, and how it fails.

A storage is rooted at a URI; names are relative to it, "/"-separated, and cannot leave it. `open_storage` is the
way in.
"""

import io
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeAlias
from urllib.parse import unquote, urlsplit

from trainer.exits import Exit, ExitError
from trainer.storage.retry import RetryEvent, RetryPolicy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Pieces: TypeAlias = "Sequence[npt.NDArray[np.uint8]]"
"""Bytes in several places of memory, as if joined: tensors are stored from where they are, without a copy."""

Content: TypeAlias = "bytes | Path | Pieces"
"""What can be stored: bytes, a local file's content, or pieces."""

NAME_LIMIT = 1024
"""Longest object name in bytes of UTF-8: https://cloud.google.com/storage/docs/objects#naming"""

TEMPORARY_PREFIX = ".catdog-tmp-"
LOCK_NAME = ".catdog-lock"
"""Parts of a name that `local` keeps for itself; no storage takes them, so that a run folder can be copied anywhere."""


class StorageMissing(ExitError):
    """The object, or the bucket, is not there."""

    def __init__(self, message: str) -> None:
        super().__init__(Exit.INPUT_MISSING, message)


class StorageDenied(ExitError):
    """These credentials, or this user, may not do that."""

    def __init__(self, message: str) -> None:
        super().__init__(Exit.NO_PERMISSION, message)


class StorageFailed(ExitError):
    """The storage did not do it, after retries where they can help."""

    def __init__(self, message: str) -> None:
        super().__init__(Exit.STORAGE_FAILED, message)


class PreconditionFailed(StorageFailed):
    """Another writer was first: the object is not at the generation that the caller named."""


class BadName(ExitError):
    """A name that cannot be an object's: it would leave the root, or a file system or a bucket cannot hold it."""

    def __init__(self, message: str) -> None:
        super().__init__(Exit.BAD_DATA, message)


@dataclass(frozen=True)
class Stat:
    """One object: name relative to the storage, size in bytes, crc32c where the storage keeps one (gcs), and a token
    that changes with every write of the name. Compare generations for equality only."""

    name: str
    size: int
    crc32c: int | None
    generation: str


class Storage(Protocol):
    """A folder or a bucket prefix. Safe to use from many threads.

    Every method may raise `BadName`, `StorageDenied` (77) and `StorageFailed` (74); each carries one line for people.
    A missing bucket is `StorageMissing`; a missing folder is an empty storage.
    """

    @property
    def uri(self) -> str:
        """Canonical, without a trailing slash; `open_storage(storage.uri)` opens the same storage."""

    def list(self, prefix: str = "") -> Iterator[Stat]:
        """All objects whose name begins with `prefix` (any string), sorted by the name's UTF-8 bytes."""

    def folders(self) -> Iterator[str]:
        """First parts of the names that have more than one, in the order of `list`; what is below is not listed.

        A file system has empty folders too.
        """

    def stat(self, name: str) -> Stat | None:
        """The object's facts; None where there is none."""

    def read(self, name: str) -> bytes:
        """The whole object; on gcs its crc32c is verified. Raises `StorageMissing` where there is none."""

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Exactly `length` bytes from byte `start`, never fewer; carries no checksum of its own.

        Raises `StorageMissing` for an absent object, `StorageFailed` for a range that ends beyond it.
        """

    def write(self, name: str, data: Content, *, if_generation: str | None = None) -> Stat:
        """Stores bytes, pieces, or a local file's content, all or nothing; readers see the old object or the new one.

        `if_generation` writes only over that generation ("": only where there is no object) and raises
        `PreconditionFailed` otherwise. Without it the last writer wins; an attempt that was given up as lost may
        still arrive at a bucket later, so name the generation wherever the order of writes matters.
        """

    def delete(self, name: str, *, if_generation: str | None = None) -> None:
        """Removes the object; an absent one is fine unless `if_generation` is given (`PreconditionFailed`)."""

    def child(self, prefix: str) -> "Storage":
        """The same storage rooted deeper."""


def open_storage(
    uri: str,
    *,
    concurrency: int = 64,
    on_retry: Callable[[RetryEvent], None] | None = None,
    retry: RetryPolicy | None = None,
) -> Storage:
    """Opens a path, `file://` URI or `gs://bucket/prefix`; makes no request and creates nothing.

    `concurrency` is how many calls may be under way at once (connections kept); `on_retry` is called, from the thread
    that retries, before each wait. Raises `ExitError` 64 for another kind of URI, `StorageDenied` without credentials.
    """
    scheme, separator, rest = uri.partition("://")
    if separator and scheme == "gs":
        from trainer.storage.gcs import connect  # here: google.cloud costs half a second that a local run need not pay

        bucket, _, prefix = rest.partition("/")
        return connect(bucket, prefix, concurrency=concurrency, on_retry=on_retry, policy=retry or RetryPolicy())
    from trainer.storage.local import LocalStorage

    if separator and scheme == "file":
        return LocalStorage(_path_of(uri))
    if separator and scheme.isalnum():
        raise ExitError(
            Exit.BAD_OPTION, f"{uri}: unknown kind of storage; use a path, file:///path or gs://bucket/prefix"
        )
    if not uri or "\0" in uri:
        raise ExitError(Exit.BAD_OPTION, f"{uri!r}: not a path; use a path, file:///path or gs://bucket/prefix")
    return LocalStorage(Path(uri))


def _path_of(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise ExitError(Exit.BAD_OPTION, f"{uri}: a file URI has three slashes, as in file:///data/cats")
    path = unquote(uri[len("file://") + len(parts.netloc) :])
    if "\0" in path:
        raise ExitError(Exit.BAD_OPTION, f"{uri}: a path cannot hold a NUL byte")
    return Path(path)


class _Joined(io.RawIOBase):
    """Pieces as one file to read."""

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
        """Fill a writable buffer from one piece; zero bytes mean the end, so empty pieces are passed over."""
        place = bisect_right(self._ends, self._at)
        if place == len(self._ends):
            return 0
        view = self._views[place]
        start = self._at - (self._ends[place] - len(view))
        part = view[start : start + len(target)]
        target[: len(part)] = part
        self._at += len(part)
        return len(part)


def open_source(data: Content) -> BinaryIO:
    """What `Storage.write` was given, as a file to read; raises `StorageMissing` where there is no such local file."""
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


def check_name(name: str, *, where: str) -> str:
    """`name` itself where every storage can hold it and it stays below the root, else raises `BadName`.

    `where` is the storage's URI, for the message.
    """
    fault = _fault(name)
    if fault:
        raise BadName(f"{where}: cannot hold an object named {_shown(name)}: {fault}")
    return name


def _fault(name: str) -> str | None:
    if not name:
        return "the name is empty"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "the name is not valid Unicode"
    if size > NAME_LIMIT:
        return f"the name has {size:,} bytes, more than {NAME_LIMIT:,}"
    if any(character in name for character in "\0\r\n"):
        return "the name holds a NUL byte or a line break"
    for part in name.split("/"):
        if not part:
            return "the name begins or ends with a slash or has two in a row"
        if part in (os.curdir, os.pardir):
            return f"the name has {part!r} as a part"
        if part == LOCK_NAME or part.startswith(TEMPORARY_PREFIX):
            return f"{part!r} is a name that catdog keeps for itself"
    return None


def _shown(name: str) -> str:
    shown = ascii(name) if len(name) <= 120 else ascii(name[:100]) + "…"
    return shown if name.isascii() or len(name) > 120 or not name.isprintable() else f"{name!r}"

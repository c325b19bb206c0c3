"""The storage protocol: the operations on every place that stores data, checkpoints and results.

A storage is rooted at a URI; names are relative to it, "/"-separated, and cannot leave it.
`trainer.storage.opening.open_storage` opens one; `trainer.storage.errors` lists the errors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from trainer.storage.content import Content


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

    Every method may raise `BadName`, `StorageDenied` (77) and `StorageFailed` (74); each carries a one-line message.
    A missing bucket is `StorageMissing`; a missing folder is an empty storage.
    """

    @property
    def uri(self) -> str:
        """Canonical, without a trailing slash; `open_storage(storage.uri)` opens the same storage."""

    def list(self, prefix: str = "") -> Iterator[Stat]:
        """All objects whose name starts with `prefix` (any string), sorted by the name's UTF-8 bytes."""

    def folders(self) -> Iterator[str]:
        """First parts of the names that have more than one, in the order of `list`; what is below is not listed.

        On a file system, this includes empty folders.
        """

    def stat(self, name: str) -> Stat | None:
        """The object's metadata, or None if there is no such object."""

    def read(self, name: str) -> bytes:
        """The whole object; on gcs its crc32c is verified. Raises `StorageMissing` if there is none."""

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Exactly `length` bytes from byte `start`, never fewer; carries no checksum of its own.

        Raises `StorageMissing` for an absent object, `StorageFailed` for a range that ends beyond it.
        """

    def write(self, name: str, data: Content, *, if_generation: str | None = None) -> Stat:
        """Stores bytes, pieces, or a local file's content, all or nothing; readers see the old object or the new one.

        `if_generation` writes only over that generation ("": only where there is no object) and raises
        `PreconditionFailed` otherwise. Without it the last writer wins; an attempt that was given up as lost
        might still reach a bucket later, so pass the generation wherever the order of writes matters.
        """

    def delete(self, name: str, *, if_generation: str | None = None) -> None:
        """Removes the object; an absent one is fine unless `if_generation` is given (`PreconditionFailed`)."""

    def child(self, prefix: str) -> "Storage":
        """The storage below `prefix`."""

"""Storage in a folder: whole-file writes, and compare-and-swap that works between processes.

A write goes to a temporary file in the object's own folder, is synced, and is renamed over the object while the folder
is locked (flock). The lock covers comparing the generation and renaming, not the copying.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, TypeVar

from trainer.storage import direct
from trainer.storage.base import Stat, Storage
from trainer.storage.content import Content, Pieces, open_content
from trainer.storage.errors import BadName, StorageFailed, StorageMissing
from trainer.storage.local_errors import explained
from trainer.storage.local_generation import require, stamp, stat_at, stat_of
from trainer.storage.local_lock import locked, opened, try_lock
from trainer.storage.names import LOCK_NAME, TEMPORARY_PREFIX, check_name

PART_LIMIT = 255
"""Longest part of a name in bytes: NAME_MAX of common file systems."""

Result = TypeVar("Result")

_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class LocalStorage:
    """Objects are the regular files below a folder; see `base.Storage` for the methods.

    For reading, the folder itself and links inside it can lead elsewhere; nothing is written or deleted through a link
    that leads out of the folder. A generation consists of modification time, inode and size.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.abspath(root))  # not resolve(): the URI keeps the path that the user wrote
        self._swept: set[Path] = set()
        self._buffers: list[memoryview] = []  # idle ones, for direct writes: one for each writing thread

    @property
    def uri(self) -> str:
        """The absolute path."""
        return str(self._root)

    def list(self, prefix: str = "") -> Iterator[Stat]:
        """Walks the folders that can contain such names, in order, without reading the others."""
        folder, _, _ = prefix.rpartition("/")
        if folder:
            check_name(folder, where=self.uri)
        yield from self._walk(self._root / folder, f"{folder}/" if folder else "", prefix, frozenset())

    def _walk(self, folder: Path, at: str, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[Stat]:
        """`at` is the folder's own name with its slash; `above` has the parent folders, to stop at link loops."""
        try:
            facts = folder.stat()
            entries = list(os.scandir(folder))
        except _ABSENT:
            return
        except OSError as error:
            raise explained(error, "list", folder) from error
        if (facts.st_dev, facts.st_ino) in above:
            return
        above |= {(facts.st_dev, facts.st_ino)}
        # A folder sorts as its name with the slash, which gives the order of the whole names.
        found = sorted((os.fsencode(entry.name) + b"/" * entry.is_dir(), entry) for entry in entries)
        for _, entry in found:
            if entry.name == LOCK_NAME or entry.name.startswith(TEMPORARY_PREFIX):
                continue
            name = at + entry.name
            if entry.is_dir():
                if f"{name}/".startswith(prefix) or prefix.startswith(f"{name}/"):
                    yield from self._walk(folder / entry.name, f"{name}/", prefix, above)
            elif name.startswith(prefix) and entry.is_file():
                check_name(name, where=self.uri)
                with suppress(FileNotFoundError):  # deleted meanwhile
                    yield stat_of(name, entry.stat())

    def folders(self) -> Iterator[str]:
        """Links to folders are included."""
        try:
            found = [entry.name for entry in os.scandir(self._root) if entry.is_dir()]
        except _ABSENT:
            return
        except OSError as error:
            raise explained(error, "list", self._root) from error
        for name in sorted(found, key=lambda name: os.fsencode(f"{name}/")):
            check_name(name, where=self.uri)
            yield name

    def stat(self, name: str) -> Stat | None:
        """None also for a folder of that name."""
        path = self._path(name)
        try:
            return stat_at(name, path)
        except OSError as error:
            raise explained(error, "stat", path) from error

    def read(self, name: str) -> bytes:
        """The file's content; a file system gives no checksum to verify it against."""
        return self._reading(name, lambda file: file.read())

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """One seek and one read."""
        if start < 0 or length < 0:
            raise ValueError(f"range {start}+{length}: start and length must not be negative")

        def part(file: BinaryIO) -> bytes:
            file.seek(start)
            return file.read(length)

        data = self._reading(name, part)
        if len(data) < length:
            raise StorageFailed(
                f"{self._path(name)}: bytes {start}-{start + length - 1} requested, but the file is shorter"
            )
        return data

    def _reading(self, name: str, what: Callable[[BinaryIO], Result]) -> Result:
        path = self._path(name)
        try:
            with path.open("rb") as file:
                return what(file)
        except _ABSENT:
            raise StorageMissing(f"{path}: no such file") from None
        except OSError as error:
            raise explained(error, "read", path) from error

    def write(self, name: str, data: Content, *, if_generation: str | None = None) -> Stat:
        """Content and name are synced to the disk when it returns."""
        path = self._path_inside(name)
        try:
            if not isinstance(data, bytes | Path):
                return self._write(name, path, lambda file: self._fill(file, data), if_generation)
            with open_content(data) as source:
                return self._write(name, path, lambda file: shutil.copyfileobj(source, file, 1 << 20), if_generation)
        except (NotADirectoryError, FileExistsError) as error:
            raise StorageFailed(f"{path}: cannot be written: a part of this path is a file, not a folder") from error
        except IsADirectoryError as error:
            raise StorageFailed(f"{path}: cannot be written: there is a folder of this name") from error
        except OSError as error:
            raise explained(error, "write", path) from error

    def _fill(self, file: BinaryIO, pieces: Pieces) -> None:
        try:
            buffer = self._buffers.pop()
        except IndexError:
            buffer = direct.new_buffer()
        direct.write(file.fileno(), pieces, buffer)
        self._buffers.append(buffer)

    def _write(self, name: str, path: Path, fill: Callable[[BinaryIO], None], if_generation: str | None) -> Stat:
        temporary, file = self._new_temporary(path.parent)
        try:
            with file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
                with locked(path.parent):
                    old = stat_at(name, path)
                    require(if_generation, old, path)
                    stamp(temporary, after=old)
                    os.replace(temporary, path)
                    new = stat_of(name, path.stat())
            _sync_folder(path.parent)
            return new
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _new_temporary(self, folder: Path) -> tuple[Path, BinaryIO]:
        """A locked file in the folder, which is created if missing; without the lock it would look abandoned."""
        path = folder / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError), locked(folder):  # the folder can vanish when its last object is deleted
                if folder not in self._swept:
                    _sweep(folder)
                    self._swept.add(folder)
                file = path.open("xb")
                try_lock(file.fileno())
                return path, file

    def delete(self, name: str, *, if_generation: str | None = None) -> None:
        """Also removes folders that become empty, up to the root. Not synced: a file that reappears does no harm."""
        path = self._path_inside(name)
        try:
            if self._unlinked(name, path, if_generation):
                self._prune(path.parent)
        except OSError as error:
            raise explained(error, "delete", path) from error

    def _unlinked(self, name: str, path: Path, if_generation: str | None) -> bool:
        try:
            with locked(path.parent):
                found = stat_at(name, path)
                require(if_generation, found, path)
                if found:
                    path.unlink()
                    _sweep(path.parent)
                return found is not None
        except (FileNotFoundError, NotADirectoryError):  # no such folder
            require(if_generation, None, path)
            return False

    def _prune(self, folder: Path) -> None:
        while folder != self._root:
            try:
                with locked(folder):
                    folder.rmdir()
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR):
                    return  # in use, or another process was faster
                raise
            folder = folder.parent

    def child(self, prefix: str) -> Storage:
        """A folder below this one; it need not exist."""
        return LocalStorage(self._path(prefix))

    def _path(self, name: str) -> Path:
        check_name(name, where=self.uri)
        for part in name.split("/"):
            if len(part.encode()) > PART_LIMIT:
                size = len(part.encode())
                raise BadName(
                    f"{self.uri}: cannot hold {name[:40]!r}…: a part of the name has {size} bytes; at most {PART_LIMIT}"
                )
        return self._root / name

    def _path_inside(self, name: str) -> Path:
        path = self._path(name)
        below = path.parent.relative_to(self._root).parts
        links = any(os.path.islink(folder) for folder in accumulate(below, os.path.join, initial=str(self._root)))
        if links and not path.parent.resolve().is_relative_to(self._root.resolve()):
            raise BadName(f"{path}: refused: a symbolic link in the path leads out of {self.uri}")
        return path


def _sweep(folder: Path) -> None:
    """Removes temporary files that no process locks: a killed writer left them. The caller has the folder's lock."""
    for entry in os.listdir(folder):
        if entry.startswith(TEMPORARY_PREFIX):
            with suppress(FileNotFoundError), (folder / entry).open("rb") as file:
                if try_lock(file.fileno()):
                    (folder / entry).unlink()


def _sync_folder(folder: Path) -> None:
    # A folder that is gone has no object left to make durable.
    with suppress(FileNotFoundError), opened(folder, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        os.fsync(descriptor)

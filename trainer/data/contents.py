"""What `catdog data import` reads from: a folder, a bucket or a zip archive, as names, sizes and a read function.

An archive is not trusted: one with entries outside the target, links or encrypted entries is refused before anything
is written, and no entry expands to more than its declared size, which is bounded.
"""

import shutil
import stat
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from trainer.exits import Exit, ExitError
from trainer.storage.names import check_name
from trainer.storage.opening import open_storage
from trainer.storage.retry import MIB

NESTED = "train.zip"
"""Kaggle's dogs-vs-cats.zip holds the pictures in an archive of this name."""

LARGEST_RATIO = 20
"""How many times its stored size a nested archive may expand to: pictures and archives hardly compress."""


@dataclass(frozen=True)
class Contents:
    """Files by name, with sizes in bytes. `read` returns a whole file and is safe to call from many threads."""

    uri: str
    sizes: Mapping[str, int]
    read: Callable[[str], bytes]


@contextmanager
def open_contents(source: str, concurrency: int) -> Iterator[Contents]:
    """The files at `source`: a zip file, or a folder given as a path, file://… or gs://….

    Raises:
        ExitError: 66 when nothing is found; 65 for an archive that is damaged or refused; 64, 74 or 77 from storage.
    """
    if source.startswith("gs://") and source.endswith(".zip"):
        raise ExitError(Exit.BAD_OPTION, f"{source}: archives are read from the local machine only; download it first")
    if "://" not in source and Path(source).is_file():
        with _open_archive(Path(source)) as contents:
            yield contents
        return
    storage = open_storage(source, concurrency=concurrency)
    sizes = {found.name: found.size for found in storage.list()}
    if not sizes:
        raise ExitError(Exit.INPUT_MISSING, f"{storage.uri}: no files found; give a zip file, a folder or a bucket")
    yield Contents(storage.uri, sizes, storage.read)


@contextmanager
def _open_archive(path: Path) -> Iterator[Contents]:
    with _zip(path, str(path)) as archive:
        entries = _entries(archive, str(path))
        nested = [entry for name, entry in entries.items() if name.rpartition("/")[2].lower() == NESTED]
        if not nested:
            yield _contents(archive, str(path), entries)
            return
        uri = f"{path}/{nested[0].filename}"
        with _unpacked(archive, nested[0], uri) as inner_file, _zip(inner_file, uri) as inner:
            yield _contents(inner, uri, _entries(inner, uri))


@contextmanager
def _zip(file: Path | IO[bytes], uri: str) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ExitError(Exit.BAD_DATA, f"{uri}: not a zip archive, or an incomplete one: {error}") from error
    except OSError as error:
        raise ExitError(Exit.INPUT_MISSING, f"{uri}: cannot be read: {error.strerror}") from error
    with archive:
        yield archive


def _entries(archive: zipfile.ZipFile, uri: str) -> dict[str, zipfile.ZipInfo]:
    """Files of the archive by name."""
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        name = check_name(entry.orig_filename.removesuffix("/"), where=uri)
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise ExitError(Exit.BAD_DATA, f"{uri}: {name!r} is a link; archives with links are refused")
        if entry.flag_bits & 1:
            raise ExitError(Exit.BAD_DATA, f"{uri}: {name!r} is encrypted; unpack the archive and give the folder")
        if entry.is_dir():
            continue
        if name in found:
            raise ExitError(Exit.BAD_DATA, f"{uri}: contains {name!r} twice")
        found[name] = entry
    return found


def _contents(archive: zipfile.ZipFile, uri: str, entries: Mapping[str, zipfile.ZipInfo]) -> Contents:
    lock = threading.Lock()  # reading is disk-bound; one zlib stream at a time keeps memory small

    def read(name: str) -> bytes:
        with lock, _explained(uri, name):
            return archive.read(entries[name])

    return Contents(uri, {name: entry.file_size for name, entry in entries.items()}, read)


@contextmanager
def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, uri: str) -> Iterator[IO[bytes]]:
    """The nested archive as an unnamed file: a zip is read from its end, and a compressed entry cannot seek."""
    if entry.file_size > LARGEST_RATIO * entry.compress_size + MIB:
        raise ExitError(
            Exit.BAD_DATA,
            f"{uri}: {entry.compress_size:,} bytes claim to expand to {entry.file_size:,}; this archive is refused",
        )
    with tempfile.TemporaryFile() as file:
        with _explained(uri, ""), archive.open(entry) as packed:
            shutil.copyfileobj(packed, file, MIB)
        yield file


@contextmanager
def _explained(uri: str, name: str) -> Iterator[None]:
    where = f"{uri}/{name}" if name else uri
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ExitError(Exit.BAD_DATA, f"{where}: the archive is damaged here ({error}); download it again") from error
    except OSError as error:
        raise ExitError(
            Exit.STORAGE_FAILED, f"{where}: cannot be unpacked into {tempfile.gettempdir()}: {error.strerror}"
        ) from error

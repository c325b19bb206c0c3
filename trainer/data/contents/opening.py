"""The way into what `catdog data import` reads from: a folder, a bucket or an archive on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from trainer.data.contents.base import Contents, opened
from trainer.data.contents.kinds import ARCHIVE_SUFFIXES, START, fault_of, kind_of
from trainer.data.contents.tars import open_tar
from trainer.data.contents.zips import open_zip
from trainer.exits import Exit, ExitError
from trainer.storage.opening import open_storage

ZIP_END = 22 + 65535
"""Most bytes that a zip's last record may have, with its comment."""


@contextmanager
def open_contents(source: str, concurrency: int) -> Iterator[Contents]:
    """The files at `source`: an archive, or a folder given as path, file://… or gs://….

    Raises:
        ExitError: 66 when nothing is found; 65 for an archive that is damaged or refused; 64, 74 or 77 from storage.
    """
    if source.startswith("gs://") and source.lower().endswith(ARCHIVE_SUFFIXES):
        raise ExitError(Exit.BAD_OPTION, f"{source}: archives are read from the local machine only; download it first")
    storage = open_storage(source, concurrency=concurrency)
    path = source if "://" not in source else storage.uri
    if not source.startswith("gs://") and os.path.isfile(path):
        with _open_archive(Path(path)) as contents:
            yield contents
        return
    sizes = {found.name: found.size for found in storage.list()}
    if not sizes:
        raise ExitError(Exit.INPUT_MISSING, f"{storage.uri}: no files found; give an archive, a folder or a bucket")
    yield Contents(storage.uri, sizes, storage.read)


@contextmanager
def _open_archive(path: Path) -> Iterator[Contents]:
    uri = str(path)
    with opened(path) as file:
        start = file.read(START)
        kind = kind_of(start)
        if not kind and not _ends_as_zip(file):
            raise ExitError(Exit.BAD_DATA, f"{uri}: {fault_of(start)}")
        opening = open_zip(file, uri) if kind in ("", "zip") else open_tar(file, kind, uri)
        with opening as contents:
            yield contents


def _ends_as_zip(file: BinaryIO) -> bool:
    """Whether a zip follows something else, as in an archive that unpacks itself."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - ZIP_END))
    return b"PK\x05\x06" in file.read(ZIP_END)

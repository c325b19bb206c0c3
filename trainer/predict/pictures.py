"""What `catdog predict` is given, paths, folders and patterns, here or in buckets → pictures, in that order."""

import errno
import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trainer.data.kinds import PICTURE, kind_of
from trainer.exits import Exit, ExitError
from trainer.predict.globs import is_pattern, literal_start, matching
from trainer.storage.base import Storage
from trainer.storage.errors import StorageDenied, StorageMissing
from trainer.storage.opening import open_storage

LEFT_OVER = "__MACOSX"


class Unreadable(Exception):
    """Why a picture cannot be read, in a few words."""


@dataclass(frozen=True)
class Picture:
    """One picture: what it is called, by what was given, and how to read it; `read` raises Unreadable.

    `there` is False for what was given and stands for no picture.
    """

    shown: str
    read: Callable[[], bytes]
    there: bool = True


def pictures(given: Iterable[str]) -> Iterator[Picture]:
    """Pictures by name, all below folders, and what patterns match, in order of name; those of `given` as they came.

    Raises:
        ExitError: 64 for another kind of URI; 74 or 77 when a bucket cannot be listed.
    """
    for name in given:
        found = _in_bucket(name) if name.startswith("gs://") else _here(name)
        first = next(found, None)
        if first is None:
            words = "nothing matches" if is_pattern(name) else "no pictures in this folder"
            yield Picture(name, partial(_absent, words), there=False)
        else:
            yield first
            yield from found


def is_candidate(name: str) -> bool:
    """Whether a file in a folder is taken for a picture, by its path: as in a data set."""
    return kind_of(name) == PICTURE


def _is_left_over(name: str, pattern: str = "") -> bool:
    """Whether it lies in the folder that macOS adds to archives, and that was not asked for."""
    return LEFT_OVER in name.split("/") and LEFT_OVER not in pattern


def _absent(words: str) -> bytes:
    raise Unreadable(words)


def _here(name: str) -> Iterator[Picture]:
    if "://" in name:
        name = open_storage(name).uri  # a file URI as its path; raises for any other kind
    if os.path.isdir(name):
        yield from map(_file, _below(name))
    elif os.path.lexists(name) or not is_pattern(name):
        yield _file(name)
    else:
        for found in sorted(glob.iglob(name, recursive=True), key=os.fsencode):
            # ** gives folders beside what is in them
            if not os.path.isdir(found):
                yield from () if _is_left_over(found, name) else (_file(found),)
            elif not name.endswith("**"):
                yield from map(_file, _below(found))


def _file(path: str) -> Picture:
    return Picture(path, partial(_read_file, path), there=os.path.lexists(path))


def _read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise Unreadable("no such picture") from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise Unreadable(f"cannot be read: {error}") from error


def _below(folder: str) -> Iterator[str]:
    """Candidates below a folder, in order of name; links are followed, but not in a circle."""
    seen: set[str] = set()
    found = []
    for where, folders, files in os.walk(folder, followlinks=True, onerror=_unlisted):
        real = os.path.realpath(where)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        inside = os.path.relpath(where, folder)
        names = files if inside == os.curdir else [f"{inside}/{name}" for name in files]
        found += [name for name in names if is_candidate(name)]
    start = folder.rstrip("/") or ("/" if folder.startswith("/") else "")
    yield from (f"{start.rstrip('/')}/{name}" for name in sorted(found, key=os.fsencode))


def _unlisted(error: OSError) -> None:
    if error.errno != errno.ENOENT:
        raise ExitError(Exit.NO_PERMISSION, f"{error.filename}: cannot be listed: {error.strerror}") from error


def _in_bucket(uri: str) -> Iterator[Picture]:
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    root, name = f"gs://{bucket}", name.rstrip("/")
    storage = open_storage(root)
    if name and not uri.endswith("/") and storage.stat(name) is not None:
        yield _object(storage, root, name)
        return
    if not is_pattern(name):
        start = f"{name}/" if name else ""
        listed = (one.name for one in storage.list(start))
        yield from (_object(storage, root, one) for one in listed if is_candidate(one.removeprefix(start)))
        return
    folder = literal_start(name).rpartition("/")[0]
    for one, itself in matching(name, (stat.name for stat in storage.list(literal_start(name)))):
        if not _is_left_over(one, name) and (itself or is_candidate(one.removeprefix(f"{folder}/"))):
            yield _object(storage, root, one)


def _object(storage: Storage, root: str, name: str) -> Picture:
    return Picture(f"{root}/{name}", partial(_read_object, storage, name))


def _read_object(storage: Storage, name: str) -> bytes:
    try:
        return storage.read(name)
    except StorageMissing:
        raise Unreadable("no such picture") from None
    except StorageDenied as error:
        raise Unreadable(error.message) from error

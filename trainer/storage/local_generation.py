"""The generation of a file, made of modification time, inode and size: how it is read, required, and kept unique."""

import os
import stat
import time
from pathlib import Path

from trainer.storage.base import Stat
from trainer.storage.errors import PreconditionFailed


def stat_of(name: str, facts: os.stat_result) -> Stat:
    """The Stat of a file with these facts."""
    return Stat(name, facts.st_size, None, f"{facts.st_mtime_ns:x}-{facts.st_ino:x}-{facts.st_size:x}")


def stat_at(name: str, path: Path) -> Stat | None:
    """The object at `path`; None where there is nothing, or a folder. Raises OSError."""
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None if stat.S_ISDIR(facts.st_mode) else stat_of(name, facts)


def require(if_generation: str | None, found: Stat | None, path: Path) -> None:
    """Raises `PreconditionFailed` unless what was found is what the caller of `Storage.write` or `delete` expects."""
    if if_generation is None or if_generation == (found.generation if found else ""):
        return
    state = f"is at generation {found.generation}" if found else "does not exist"
    wanted = f"generation {if_generation}" if if_generation else "no object"
    raise PreconditionFailed(f"{path}: another writer was first: expected {wanted}, but it {state}")


def stamp(path: Path, after: Stat | None) -> None:
    """Set a modification time that the previous content never had: clocks are coarse and inode numbers are reused."""
    now = time.time_ns()
    if after:
        now = max(now, int(after.generation.partition("-")[0], 16) + 1)
    os.utime(path, ns=(now, now))

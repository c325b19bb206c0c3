"""Temporary files: the one door to them, so that a folder without room is named, with how to choose another."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from trainer.exits import Exit, ExitError

ADVICE = "free some room there, or choose another folder with the environment variable TMPDIR"

# How TensorFlow, h5py and others that raise no OSError spell ENOSPC, EDQUOT and EFBIG.
_NO_ROOM = ("No space left on device", "Disk quota exceeded", "File too large")


def place() -> Path:
    """The folder for temporary files: TMPDIR, or the system's.

    Raises:
        ExitError: 74 when nothing can be written there.
    """
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:  # its text names the folders that were tried
        raise ExitError(Exit.STORAGE_FAILED, f"{error.strerror or error}; {ADVICE}") from error


@contextmanager
def folder(prefix: str) -> Iterator[Path]:
    """A folder that is deleted at the end; what is written there belongs into `explained`.

    Raises:
        ExitError: 74 when it cannot be made.
    """
    where = place()
    with explained("no folder can be made", where):
        made = tempfile.TemporaryDirectory(prefix=prefix, dir=where, ignore_cleanup_errors=True)
    with made as name:
        yield Path(name)


@contextmanager
def unnamed() -> Iterator[BinaryIO]:
    """A file without a name; what is written to it, and flushed, belongs into `explained`.

    Raises:
        ExitError: 74 when it cannot be made.
    """
    where = place()
    with explained("no file can be made", where):
        file = tempfile.TemporaryFile(dir=where)  # noqa: SIM115 - closed below; what goes on in there is not ours
    try:
        yield file
    finally:
        with suppress(OSError):  # it tries once more to write what could not be written
            file.close()


@contextmanager
def explained(what: str, where: Path | None = None, advice: str = ADVICE) -> Iterator[None]:
    """Say of an error in writing temporary files in `where` that it is one; `what` could not be done.

    Raises:
        ExitError: 74 naming the folder, in place of any OSError, and of other errors that tell of a full disk.
    """
    try:
        yield
    except ExitError:
        raise
    except Exception as error:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else ""
        why = next((words for words in _NO_ROOM if words in str(error)), why)
        if not why:
            raise
        raise ExitError(Exit.STORAGE_FAILED, f"{where or place()}: {what} ({why}); {advice}") from error

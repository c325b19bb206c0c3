"""What an import reads from, and the rules that hold for every kind of archive.

An archive is not trusted: a name that would leave the target, a link, a device, a name that is there twice, or a claim
to expand to many times its size refuses the whole archive before anything is stored.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from trainer.exits import Exit, ExitError
from trainer.storage.names import check_name
from trainer.storage.retry import MIB

LARGEST_RATIO = 100
"""How many times its size an archive may expand to: pictures hardly compress, drawings as bitmaps do, but by less."""

ALWAYS_ALLOWED = 16 * MIB
"""An archive may expand to this much whatever its size."""

AGAIN = "unpack it and give the folder, or pack it again as .zip or .tar.gz"


@dataclass(frozen=True)
class Contents:
    """Files by name, with sizes in bytes. `read` gives a whole file and may be called from many threads.

    `packed` tells an archive from a folder or a bucket.
    """

    uri: str
    sizes: Mapping[str, int]
    read: Callable[[str], bytes]
    packed: bool = False


@dataclass(frozen=True)
class Member:
    """A file in an archive: its name as written there, its size, and whether it was packed on Windows."""

    written: str
    size: int
    windows: bool = False


def names(members: Iterable[Member], uri: str) -> dict[str, int]:
    """The name that each member has for us → its place among `members`.

    Backslashes part folders where they can be nothing else: in names made on Windows, and in an archive in which some
    name has them and no slash. A folder's own "." goes, as in ./cats/1.jpg.

    Raises:
        ExitError: 65 for a name that cannot be stored below a target, or is there twice.
    """
    listed = list(members)
    backslashes = any("\\" in one.written and "/" not in one.written for one in listed)
    found: dict[str, int] = {}
    for place, one in enumerate(listed):
        name = clean(one.written, one.windows or backslashes, uri)
        if name in found:
            raise ExitError(Exit.BAD_DATA, f"{uri}: contains {name!r} twice; {AGAIN}")
        found[name] = place
    return found


def clean(written: str, backslashes: bool, uri: str) -> str:
    """The name without parts that mean nothing; raises `BadName` (65) for one that would leave the target."""
    slashed = written.replace("\\", "/") if backslashes else written
    return check_name("/".join(part for part in slashed.split("/") if part != ".") or written, where=uri)


def allowed(packed: int) -> int:
    """Bytes that an archive of `packed` bytes may expand to."""
    return LARGEST_RATIO * packed + ALWAYS_ALLOWED


def require_allowed(unpacked: int, packed: int, uri: str) -> None:
    """Refuse what claims to expand to more than pictures can.

    Raises:
        ExitError: 65.
    """
    if unpacked > allowed(packed):
        raise ExitError(
            Exit.BAD_DATA,
            f"{uri}: {packed:,} bytes claim to expand to {unpacked:,}, more than {LARGEST_RATIO} times as many; "
            "this archive is refused; if you trust it, unpack it and give the folder",
        )


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The archive's file, for reading.

    Raises:
        ExitError: 66 when it cannot be read.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise ExitError(Exit.INPUT_MISSING, f"{path}: cannot be read: {error.strerror}") from error
    with file:
        yield file

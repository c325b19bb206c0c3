"""A compressed stream as a file without a name, unpacked once: members of a tar archive are then read where they lie.

What a stream expands to is bounded by its own size, and so is the memory that it may ask for.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

import zstandard

from trainer.data.contents.base import AGAIN, allowed, require_allowed
from trainer.exits import Exit, ExitError
from trainer.process import temporary
from trainer.storage.retry import MIB

PACKED_PIECE = 64 * 1024
MOST_MEMORY = 256 * MIB
"""What unpacking xz may take: 65 MiB is enough for the most that xz does by itself."""


class Decompressor(Protocol):
    """One stream of bz2's or lzma's."""

    @property
    def eof(self) -> bool:
        """The stream has ended."""

    @property
    def needs_input(self) -> bool:
        """More can come only of more input."""

    @property
    def unused_data(self) -> bytes:
        """What came after its end."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """The next bytes, at most so many."""


class Incomplete(Exception):
    """The stream ends before its end."""


@contextmanager
def unpacked(file: BinaryIO, kind: str, packed: int, uri: str) -> Iterator[BinaryIO]:
    """What the stream of this kind ("gzip", "bzip2", "xz", "zstd") holds, as a file.

    Raises:
        ExitError: 65 when it is damaged, or expands to more than `allowed`; 74 when there is no room.
    """
    pieces = _KINDS[kind]
    size = 0
    with temporary.unnamed() as made:
        try:
            for piece in pieces(file, uri):
                size += len(piece)
                if size > allowed(packed):
                    require_allowed(size, packed, uri)
                with temporary.explained(f"{uri} cannot be unpacked here"):
                    made.write(piece)
            with temporary.explained(f"{uri} cannot be unpacked here"):
                made.flush()
        except (Incomplete, EOFError) as error:
            raise ExitError(Exit.BAD_DATA, f"{uri}: incomplete: it ends too early; download it again") from error
        except (zlib.error, lzma.LZMAError, ValueError) as error:
            raise _damaged(uri, error) from error
        except OSError as error:
            if error.errno is None:  # what bz2 says of a damaged stream
                raise _damaged(uri, error) from error
            raise ExitError(Exit.STORAGE_FAILED, f"{uri}: cannot be read: {error.strerror}") from error
        yield made


def _damaged(uri: str, error: Exception) -> ExitError:
    if "emory usage limit" in str(error):
        return ExitError(
            Exit.BAD_DATA, f"{uri}: unpacking it takes more than {MOST_MEMORY // MIB} MiB of memory: {AGAIN}"
        )
    return ExitError(Exit.BAD_DATA, f"{uri}: the archive is damaged ({error}); download it again")


def _streams(make: Callable[[], Decompressor], padding: bool) -> Callable[[BinaryIO, str], Iterator[bytes]]:
    """Streams one after the other, as parallel packers write them. `padding`: zeros may follow a stream."""

    def pieces(file: BinaryIO, uri: str) -> Iterator[bytes]:
        data = file.read(PACKED_PIECE)
        while data:
            stream = make()
            while not stream.eof:
                if stream.needs_input and not data and not (data := file.read(PACKED_PIECE)):
                    raise Incomplete
                yield stream.decompress(data, MIB)
                data = b""
            data = stream.unused_data or file.read(PACKED_PIECE)
            while padding and data and not (data := data.lstrip(b"\0")):
                data = file.read(PACKED_PIECE)

    return pieces


class _Gzip:
    """zlib's decompressor by the names of the others."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail + data, max_length)


def _zstd(file: BinaryIO, uri: str) -> Iterator[bytes]:
    try:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_size=PACKED_PIECE, read_across_frames=True)
        while piece := reader.read(MIB):
            yield piece
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


_KINDS: dict[str, Callable[[BinaryIO, str], Iterator[bytes]]] = {
    "gzip": _streams(_Gzip, padding=True),
    "bzip2": _streams(bz2.BZ2Decompressor, padding=False),
    "xz": _streams(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY), padding=True),
    "zstd": _zstd,
}

"""Standard output and standard error of this process: what cannot be shown never ends the work behind it.

An answer that nobody can read is lost, and that ends the command (`OutputLost`). Progress and remarks are no answer:
they are dropped where they cannot be written, because a disk is full or a terminal gone, and where nobody reads on.
In both, characters that would not reach the reader as they are become escapes, which JSON takes too.
"""

import codecs
import errno
import io
import os
import select
import signal
import sys
from collections.abc import Iterable
from typing import Any

from trainer.exits import Exit
from trainer.words import escaped, in_a_line

PATIENCE_SECONDS = 5.0
"""How long progress waits for a reader that has stopped reading, such as a pager, before it is dropped."""

_ESCAPES = "catdog-escapes"
_GONE = (errno.EPIPE, errno.EIO)  # the reader of a pipe has exited, the terminal is closed


class OutputLost(Exception):
    """Standard output cannot be written. `code` and `message` are for the exit; no message: the reader has left."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        gone = error.errno in _GONE
        self.code = Exit.OUTPUT_CLOSED if gone else Exit.STORAGE_FAILED
        self.message = "" if gone else f"standard output cannot be written: {error.strerror}"


class _Sink(io.RawIOBase):
    """A descriptor to write to."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        whole = memoryview(data).cast("B")
        self._write(whole)
        return len(whole)

    def _write(self, data: memoryview) -> None:
        raise NotImplementedError

    def _ready(self, seconds: float | None) -> bool:
        """Whether PIPE_BUF bytes can be written without waiting longer than that; None: for ever."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(None if seconds is None else 1000 * seconds))


class _Answer(_Sink):
    """Raises OutputLost once; what is written after that is dropped, so that the process can end."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.lost: OutputLost | None = None

    def _write(self, data: memoryview) -> None:
        while data and self.lost is None:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # another process has made the pipe so; waiting is what a blocking one does
                self._ready(None)
            except OSError as error:
                self.lost = OutputLost(error)
                raise self.lost from error


class _Remarks(_Sink):
    """Drops what cannot be written, and what nobody reads; goes on when it can be written again."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._stuck = False

    def _write(self, data: memoryview) -> None:
        try:
            while data:
                self._stuck = not self._ready(0 if self._stuck else PATIENCE_SECONDS)
                if self._stuck:
                    return
                data = data[os.write(self._descriptor, data[: select.PIPE_BUF]) :]
        except OSError:
            return


class _Text(io.TextIOWrapper):
    """Text that shows no character which moves or hides others; ours, such as colours, stay."""

    def write(self, text: str, /) -> int:
        super().write(escaped(text))
        return len(text)


def take_over(*, answers: bool) -> None:
    """Replace sys.stdout and sys.stderr; call first in a process. `answers`: standard output is one.

    Descriptors 0 to 2 that are closed are opened on /dev/null: the next file would get the number, and be written to by
    whoever takes it for standard error.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            os.set_inheritable(descriptor, True)
    codecs.register_error(_ESCAPES, _escape)
    sys.stdout = _text(_Answer(1) if answers else _Remarks(1), sys.stdout)
    sys.stderr = _text(_Remarks(2), sys.stderr)
    # A terminal may stop whoever writes to it from the background, as a process group of its own is.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)


def say(lines: Iterable[str]) -> None:
    """Print lines of an answer, each on one line whatever names are in it.

    Raises:
        OutputLost: they cannot be written.
    """
    for line in lines:
        print(in_a_line(line))


def require() -> None:
    """Write out what is buffered on standard output.

    Raises:
        OutputLost: it, or something before it, could not be written.
    """
    sys.stdout.flush()
    sink = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(sink, _Answer) and sink.lost is not None:
        raise sink.lost


def remarks(descriptor: int) -> io.TextIOWrapper:
    """A stream for remarks on this descriptor."""
    return _text(_Remarks(descriptor), sys.stderr)


def _text(sink: _Sink, instead_of: Any) -> _Text:
    encoding = getattr(instead_of, "encoding", None) or "utf-8"
    at_once = isinstance(sink, _Remarks) or sink.isatty()
    return _Text(io.BufferedWriter(sink), encoding, _ESCAPES, line_buffering=at_once)


def _escape(error: UnicodeError) -> tuple[str, int]:
    """What the encoding does not have, as \\uXXXX by UTF-16, as JSON writes it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)), error.end

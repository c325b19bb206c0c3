"""Keeps what C libraries write to standard error by themselves from the terminal, or tells what it was about."""

import gc
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, TypeVar

from trainer.exits import ExitError
from trainer.process.output import remarks

Result = TypeVar("Result")


@contextmanager
def unless_it_fails() -> Iterator[None]:
    """What is written to file descriptor 2 meanwhile is shown only if an exception comes out that nobody expected."""
    with _set_aside() as (kept, written):
        try:
            yield
        except ExitError:
            raise  # its line is all that there is to say
        except BaseException:
            with suppress(OSError):  # nobody may see it
                os.write(kept, os.pread(written, os.fstat(written).st_size, 0))
            raise


def import_tensorflow() -> None:
    """Import tensorflow without its first lines: logged before absl is initialised, so no level of logging stops them.

    Its half million objects stay, so the garbage collector looks at them neither now nor later: that saves 0.8 of the 7
    seconds of CPU that a short run takes. Keras would import Matplotlib for galleries that nothing here shows: a fifth
    of the time that all of it takes.

    Raises:
        ImportError: and then the lines are shown.
    """
    with unless_it_fails(), _kept_for_good(), _without("matplotlib"):
        importlib.import_module("tensorflow")


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Whoever tries to import a package meanwhile finds that there is none, unless it has been imported before."""
    if package in sys.modules:
        yield
        return
    # None makes an import raise ModuleNotFoundError: language reference, 5.3.1.
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


@contextmanager
def _kept_for_good() -> Iterator[None]:
    """What is made meanwhile is not collected: for imports."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


class Listener:
    """What libraries write to file descriptor 2, by the call during which they do."""

    def __init__(self, written: int) -> None:
        self._written = written
        self._turn = threading.Condition()
        self._calls, self._alone = 0, False

    def during(self, call: Callable[[], Result]) -> tuple[Result, str]:
        """The result of a call, and what was written meanwhile. Calls go side by side on several threads; one during
        which something was written is repeated alone, since it may have been another's."""
        with self._among_others():
            before, result = self._size(), call()
            if self._size() == before:
                return result, ""
        with self._by_itself():
            before, result = self._size(), call()
            return result, os.pread(self._written, self._size() - before, before).decode(errors="replace")

    def _size(self) -> int:
        return os.fstat(self._written).st_size

    @contextmanager
    def _among_others(self) -> Iterator[None]:
        with self._turn:
            self._turn.wait_for(lambda: not self._alone)
            self._calls += 1
        try:
            yield
        finally:
            with self._turn:
                self._calls -= 1
                self._turn.notify_all()

    @contextmanager
    def _by_itself(self) -> Iterator[None]:
        with self._turn:
            self._turn.wait_for(lambda: not self._alone)
            self._alone = True
            self._turn.wait_for(lambda: not self._calls)
        try:
            yield
        finally:
            with self._turn:
                self._alone = False
                self._turn.notify_all()


@contextmanager
def overheard() -> Iterator[Listener]:
    """Listen to what libraries write; sys.stderr goes on to where it went."""
    with _set_aside() as (kept, written):
        before = sys.stderr
        if _writes_to(before, 2):
            sys.stderr = remarks(kept)
        try:
            yield Listener(written)
        finally:
            sys.stderr.flush()
            sys.stderr = before


def _writes_to(stream: TextIO, descriptor: int) -> bool:
    try:
        return stream.fileno() == descriptor
    except (AttributeError, OSError, ValueError):  # a stand-in for one
        return False


@contextmanager
def _set_aside() -> Iterator[tuple[int, int]]:
    """Point descriptor 2 to a file in memory meanwhile; yields descriptors of where it pointed to, and of the file."""
    sys.stderr.flush()
    kept, written = os.dup(2), os.memfd_create("stderr")
    os.dup2(written, 2)
    try:
        yield kept, written
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(written)

"""A storage that tells of each call: what it was, how long it took, how many bytes it moved."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from trainer.storage.base import Stat, Storage
from trainer.storage.content import Content


@dataclass(frozen=True)
class Call:
    """One call, which has returned or raised: `operation` is list, stat, read, write or delete; `seconds` has its
    retries, `size` is in bytes."""

    operation: str
    seconds: float
    size: int = 0


class _Moved:
    """Bytes that a call has moved so far."""

    size = 0


class Measured:
    """Another storage, whose calls are told to `on_call`, from the thread that made them."""

    def __init__(self, inner: Storage, on_call: Callable[[Call], None]) -> None:
        self._inner, self._on_call = inner, on_call

    @property
    def uri(self) -> str:
        """That of the other one."""
        return self._inner.uri

    def list(self, prefix: str = "") -> Iterator[Stat]:
        """As the other one; the call ends when the last name is taken, and has the taker's time too."""
        with self._told("list"):
            yield from self._inner.list(prefix)

    def folders(self) -> Iterator[str]:
        """As the other one, see `list`."""
        with self._told("list"):
            yield from self._inner.folders()

    def stat(self, name: str) -> Stat | None:
        """As the other one."""
        with self._told("stat"):
            return self._inner.stat(name)

    def read(self, name: str) -> bytes:
        """As the other one."""
        with self._told("read") as moved:
            data = self._inner.read(name)
            moved.size = len(data)
            return data

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """As the other one."""
        with self._told("read") as moved:
            data = self._inner.read_range(name, start, length)
            moved.size = len(data)
            return data

    def write(self, name: str, data: Content, *, if_generation: str | None = None) -> Stat:
        """As the other one."""
        with self._told("write") as moved:
            stat = self._inner.write(name, data, if_generation=if_generation)
            moved.size = stat.size
            return stat

    def delete(self, name: str, *, if_generation: str | None = None) -> None:
        """As the other one."""
        with self._told("delete"):
            self._inner.delete(name, if_generation=if_generation)

    def child(self, prefix: str) -> Storage:
        """The other one's child, measured."""
        return Measured(self._inner.child(prefix), self._on_call)

    @contextmanager
    def _told(self, operation: str) -> Iterator["_Moved"]:
        began, moved = time.monotonic(), _Moved()
        try:
            yield moved
        finally:
            self._on_call(Call(operation, time.monotonic() - began, moved.size))

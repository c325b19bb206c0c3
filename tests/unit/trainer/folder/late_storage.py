"""A bucket in memory whose writes can be lost, be late, come twice, and be stored while their answer is lost."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import google_crc32c

from trainer.storage.base import Stat
from trainer.storage.errors import PreconditionFailed, StorageFailed, StorageMissing

OUTCOMES = ("ok", "gone", "unanswered", "late", "twice")
"""Of a write or delete: stored; not stored; stored without an answer; perhaps stored later, without an answer; stored,
and perhaps once more later. A read that is not ok or twice has no answer."""

Change = tuple[str, bytes | None, str | None]
"""Name, content or None for a delete, and the generation that it needs, if it needs one."""


@dataclass
class Bucket:
    """What is stored; `stored` is called with each new content. `late` may be given to `apply` at any time."""

    stored: Callable[[str, bytes | None], None]
    objects: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    late: list[Change] = field(default_factory=list)
    last: int = 0

    def apply(self, change: Change) -> None:
        """Raises PreconditionFailed."""
        name, data, needed = change
        if needed is not None and needed != self.generation(name):
            raise PreconditionFailed(f"{name}: needs {needed!r}, is at {self.generation(name)!r}")
        if data is None:
            if self.objects.pop(name, None) is not None:
                self.stored(name, None)
            return
        self.last += 1
        self.objects[name] = (data, self.last)
        self.stored(name, data)

    def generation(self, name: str) -> str:
        return str(self.objects[name][1]) if name in self.objects else ""

    def stat(self, name: str) -> Stat | None:
        if name not in self.objects:
            return None
        data, generation = self.objects[name]
        return Stat(name, len(data), google_crc32c.value(data), str(generation))


@dataclass
class Client:
    """A `Storage` of one process. `outcomes` are of its next calls, then all are ok; before the call that `interrupt`
    counts down to, something else happens."""

    bucket: Bucket
    outcomes: list[str] = field(default_factory=list)
    interrupt: tuple[int, Callable[[], None]] | None = None
    uri: str = "memory://run"

    def _next(self) -> str:
        if self.interrupt is not None:
            left, happen = self.interrupt
            self.interrupt = (left - 1, happen) if left else None
            if not left:
                happen()
        return self.outcomes.pop(0) if self.outcomes else "ok"

    def _answered(self) -> None:
        if self._next() not in ("ok", "twice"):
            raise StorageFailed("away")

    def list(self, prefix: str = "") -> Iterator[Stat]:
        self._answered()
        found = [self.bucket.stat(name) for name in sorted(self.bucket.objects) if name.startswith(prefix)]
        return iter([stat for stat in found if stat is not None])

    def stat(self, name: str) -> Stat | None:
        self._answered()
        return self.bucket.stat(name)

    def read(self, name: str) -> bytes:
        self._answered()
        if name not in self.bucket.objects:
            raise StorageMissing(name)
        return self.bucket.objects[name][0]

    def write(self, name: str, data: Any, *, if_generation: str | None = None) -> Stat:
        content = data if isinstance(data, bytes) else b"".join(piece.tobytes() for piece in data)
        self._change((name, content, if_generation))
        stat = self.bucket.stat(name)
        assert stat is not None
        return stat

    def delete(self, name: str, *, if_generation: str | None = None) -> None:
        self._change((name, None, if_generation))

    def _change(self, change: Change) -> None:
        outcome = self._next()
        if outcome in ("late", "twice"):
            self.bucket.late.append(change)
        if outcome in ("ok", "twice", "unanswered"):
            self.bucket.apply(change)
        if outcome in ("gone", "late", "unanswered"):
            raise StorageFailed("away")

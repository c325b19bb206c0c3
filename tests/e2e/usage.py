"""What a container uses of its memory and of its pod's disk, seen from outside: nothing runs in it for that."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import cgroups
from tests.cluster.layout import CGROUP

EVERY = 0.25  # seconds

# Versions 2 and 1 of cgroups; sources: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
_PEAK = ("memory.peak", "memory.max_usage_in_bytes")
_HELD = ("anon", "total_rss")


@dataclass
class Usage:
    """The most that was seen, in bytes. `memory` counts the page cache, which fills whatever there is; `held` does not.

    `disk` counts the temporary folder, with files that are open and have no name any more.
    """

    memory: int = 0
    held: int = 0
    disk: int = 0

    def __str__(self) -> str:
        sizes = {"memory": self.memory, "of it not page cache": self.held, "disk": self.disk}
        return ", ".join(f"{name} {size >> 20} MiB" for name, size in sizes.items())

    def look(self, folders: list[Path]) -> None:
        """Add what is used now in a container with these cgroups; one that has gone adds nothing."""
        for folder in folders:
            for name in _PEAK:
                self.memory = max(self.memory, *map(int, _words(folder / name) or ["0"]))
            rows = _words(folder / "memory.stat")
            self.held = max([self.held, *(int(rows[rows.index(one) + 1]) for one in _HELD if one in rows)])
        pids = {int(pid) for folder in folders[:1] for pid in _words(folder / "cgroup.procs")}
        if pids:
            self.disk = max(self.disk, _named(min(pids)) + sum(map(_unnamed, pids)))


@contextmanager
def watched(container: str) -> Iterator[Usage]:
    """Look at a running container, by its id (containerd://…), for the duration of the block."""
    name = container.rpartition("/")[2]
    folders = [one for top in cgroups.folders(CGROUP) for one in top.rglob(name)]
    assert folders, f"container {name} has no cgroup"
    usage, over = Usage(), threading.Event()

    def watch() -> None:
        while not over.wait(EVERY):
            usage.look(folders)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield usage
    finally:
        over.set()
        thread.join()


def _words(file: Path) -> list[str]:
    with suppress(OSError):  # of the other version, or gone
        return file.read_text().split()
    return []


def _named(pid: int) -> int:
    """Bytes on disk below the container's temporary folder."""
    found = 0
    for folder, _, names in os.walk(f"/proc/{pid}/root/tmp"):
        for name in names:
            with suppress(OSError):
                found += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return found


def _unnamed(pid: int) -> int:
    """Bytes on disk of a process's deleted files in the temporary folder, each once."""
    found: dict[tuple[int, int], int] = {}
    with suppress(OSError):
        for one in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                target, facts = os.readlink(one.path), os.stat(one.path)
                if target.startswith("/tmp/") and facts.st_nlink == 0:
                    found[facts.st_dev, facts.st_ino] = facts.st_blocks * 512
    return sum(found.values())

"""Cgroups by hand: a tree of our own to find and kill every process of the cluster; version 1 and version 2.

Version 1 has one hierarchy per controller, each a folder under /sys/fs/cgroup, and a process has a place in each
of them; version 2 has one. If both are mounted (the "hybrid" set-up), a process enters all, as with runc.
Source: Linux Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.mounts import mount_points

# A cpuset that was made this moment takes nobody until its lists are filled.
_ENTER = """
enter() { echo 0 > "$1/cgroup.procs"; }
for folder in $CATDOG_CGROUPS; do enter "$folder" 2>/dev/null || { sleep 0.2; enter "$folder"; } || exit 125; done
unset CATDOG_CGROUPS
exec "$@"
"""


def hierarchies() -> list[Path]:
    """Where cgroup folders are made: every version 1 hierarchy that is mounted, and the version 2 one."""
    found = [*mount_points("cgroup"), *mount_points("cgroup2")[:1]]
    if not found:
        raise ClusterError("no cgroup file system is mounted on /sys/fs/cgroup; containers cannot run here")
    return found


def folders(name: str) -> list[Path]:
    """The folders of cgroup `name` that exist, one per hierarchy."""
    return [top / name for top in hierarchies() if (top / name).is_dir()]


def create(name: str) -> None:
    """Make cgroup `name` (a/b/c) in every hierarchy, with the controllers its children need."""
    for top in hierarchies():
        folder = top
        for part in Path(name).parts:
            if (folder / "cgroup.controllers").exists():
                _hand_down_controllers(folder)
            parent, folder = folder, folder / part
            folder.mkdir(exist_ok=True)
            if not (folder / "cgroup.controllers").exists():
                _fill_cpuset(parent, folder)


def _hand_down_controllers(folder: Path) -> None:
    wanted = set((folder / "cgroup.controllers").read_text().split())
    have = set((folder / "cgroup.subtree_control").read_text().split())
    missing = sorted(wanted - have)
    if missing:
        try:
            (folder / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in missing))
        except OSError as error:
            raise ClusterError(f"{folder} cannot delegate its controllers ({' '.join(missing)}): {error}") from error


def _fill_cpuset(parent: Path, folder: Path) -> None:
    """Version 1: no process can enter a cpuset whose lists are empty, and a new cpuset's are."""
    for knob in ("cpuset.cpus", "cpuset.mems"):
        if (folder / knob).exists() and not (folder / knob).read_text().strip():
            (folder / knob).write_text((parent / knob).read_text())


def entering(argv: Sequence[str], name: str) -> tuple[list[str], dict[str, str]]:
    """`argv` and the environment that make a process enter cgroup `name` before it starts, if there is one."""
    inside = folders(name)
    if not inside:
        return list(argv), {}
    return ["sh", "-c", _ENTER, "sh", *argv], {"CATDOG_CGROUPS": " ".join(map(str, inside))}


def processes(name: str) -> set[int]:
    """The pids anywhere below cgroup `name`."""
    found: set[int] = set()
    for folder in folders(name):
        for file in folder.rglob("cgroup.procs"):
            try:
                found.update(int(word) for word in file.read_text().split())
            except OSError:  # the cgroup disappeared between listing and reading
                continue
    return found - {0}


def kill(name: str, seconds: float = 20) -> None:
    """SIGKILL every process below cgroup `name` until none is left; raises ClusterError after `seconds`."""
    deadline = time.monotonic() + seconds
    while left := _running(processes(name)):
        if os.getpid() in left:
            raise ClusterError(f"refusing to kill: this process itself is in cgroup {name}")
        for folder in folders(name):
            if (folder / "cgroup.kill").exists():
                (folder / "cgroup.kill").write_text("1")
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise ClusterError(f"processes in cgroup {name} do not exit: {sorted(left)}")
        time.sleep(0.05)


def _running(pids: set[int]) -> set[int]:
    """Those that are not zombies: a zombie waits for its parent, and nothing can kill it."""
    alive = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            alive.add(pid)
    return alive


def remove(name: str, seconds: float = 20) -> None:
    """Remove cgroup `name` and all below it; nothing must run there any more. Raises ClusterError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        for top in folders(name):
            for folder in sorted((path for path in top.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts)):
                _remove_one(folder)
            _remove_one(top)
        left = folders(name)
        if not left:
            return
        if time.monotonic() > deadline:
            raise ClusterError(f"cgroup {left[0]} cannot be removed")
        time.sleep(0.1)


def _remove_one(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # busy for a moment after its last process exits; remove() tries again
        return

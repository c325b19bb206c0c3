"""What a cluster may leave on the machine: taken before and after, the two must be equal."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cluster.cgroups import hierarchies
from tests.cluster.commands import run
from tests.cluster.layout import CGROUP, RUNNING_POINTER
from tests.cluster.mounts import mount_points
from tests.cluster.node import KERNEL_SETTINGS, OWN_FOLDERS
from tests.cluster.processes import start_time


def traces(state: Path) -> dict[str, list[str]]:
    """By kind: everything on the machine that a cluster with folder `state` could have made or changed."""
    return {
        "processes": _processes(state),
        "network namespaces": sorted(run(["ip", "netns", "list"]).split("\n")),
        "links": sorted(line.split(":")[1] for line in run(["ip", "-o", "link", "show"]).splitlines()),
        "routes": sorted(run(["ip", "route", "show", "table", "all"]).splitlines()),
        "iptables": _rules("iptables-save"),
        "legacy iptables": _rules("iptables-legacy-save"),
        "mounts": sorted(str(point) for point in mount_points()),
        "cgroups": sorted(str(folder) for top in hierarchies() for folder in top.glob(f"**/{CGROUP}*")),
        "kernel settings": [f"{name}={Path('/proc/sys', name).read_text().strip()}" for name in KERNEL_SETTINGS],
        "files": [
            path
            for path in (*OWN_FOLDERS, "/run/netns", "/etc/cni", "/var/lib/containers", str(RUNNING_POINTER))
            if Path(path).exists()
        ],
        "state": sorted(path.name for path in state.glob("*") if path.name not in ("lock", "logs")),
    }


def _rules(command: str) -> list[str]:
    """Rules and chains, without the packet counters."""
    lines = run([command]).splitlines()
    return sorted(line.split(" [")[0] for line in lines if not line.startswith("#"))


def _processes(state: Path) -> list[str]:
    """Processes with the state folder on their command line, except this one and its ancestors."""
    mark = str(state)
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) in _own_line():
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if start_time(int(folder.name)) is not None and mark in command:
            found.append(f"{folder.name} {command}")
    return found


def _own_line() -> set[int]:
    pids = set()
    pid = os.getpid()
    while pid > 1:
        pids.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pids

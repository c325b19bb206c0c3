"""Start and stop the cluster's long-running processes, identified by pid and start time, never by name."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cluster import cgroups, records
from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.waiting import wait_until

_WRITE_PID = 'echo $$ > "$0.tmp" && mv "$0.tmp" "$0" && exec "$@"'


def boot_id() -> str:
    """Changes at every boot of the machine, after which a pid means nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """When process `pid` started, in clock ticks since boot; None if there is none or it is a zombie.

    Source: field 22 of proc_pid_stat(5).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def start(
    layout: Layout,
    name: str,
    argv: Sequence[str | Path],
    *,
    cgroup: str,
    netns: str | None = None,
    mounts_of: str | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Start process `name` unless it is running.

    It runs in `cgroup`, network namespace `netns` and the mount namespace of process `mounts_of`, with a session of its
    own (Ctrl-C in this terminal does not reach it), and logs to logs/NAME.log.
    """
    if is_running(layout, name):
        return
    words = [str(word) for word in argv]
    enter = []
    if netns:
        enter.append(f"--net=/run/netns/{netns}")
    if mounts_of:
        enter.append(f"--mount=/proc/{pid_of(layout, mounts_of)}/ns/mnt")
    if enter:
        words = ["nsenter", *enter, "--", *words]
    words, cgroup_env = cgroups.entering(words, cgroup)
    records.remember(layout, "process", name, pid=None, start=None, boot=boot_id())
    pid_file = layout.records / f"{name}.pid"
    pid_file.unlink(missing_ok=True)
    layout.logs.mkdir(parents=True, exist_ok=True)
    with (layout.logs / f"{name}.log").open("ab") as log:
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", _WRITE_PID, str(pid_file), *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **cgroup_env, **(env or {})},
            check=True,
        )
    wait_until(pid_file.exists, 30, f"{name} to start", poll=0.01)
    pid = int(pid_file.read_text())
    started = start_time(pid)
    pid_file.unlink()
    if started is None:
        raise ClusterError(f"{name} exited at once: {tail(layout, name)}")
    records.remember(layout, "process", name, pid=pid, start=started, boot=boot_id())


def _runs(record: Mapping[str, Any]) -> bool:
    """Whether the recorded process is still running."""
    if record["pid"] is None or record["boot"] != boot_id():
        return False
    return bool(start_time(record["pid"]) == record["start"])


def is_running(layout: Layout, name: str) -> bool:
    """Whether the process recorded as `name` is still running."""
    record = records.remembered(layout, "process").get(name)
    return record is not None and _runs(record)


def pid_of(layout: Layout, name: str) -> int:
    """The pid of running process `name`; raises ClusterError with the end of its log if it is not running."""
    record = records.remembered(layout, "process").get(name)
    if record is None or not _runs(record):
        raise ClusterError(f"{name} is not running: {tail(layout, name)}")
    return int(record["pid"])


def send(layout: Layout, name: str, number: signal.Signals) -> bool:
    """Send a signal to process `name`; False if it is not running. By pidfd, so the pid cannot be reused in between."""
    record = records.remembered(layout, "process").get(name)
    if record is None or record["pid"] is None:
        return False
    try:
        handle = os.pidfd_open(record["pid"])
    except ProcessLookupError:
        return False
    try:
        if not _runs(record):
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def stop(layout: Layout, name: str, grace: float = 10) -> None:
    """Stop process `name`: SIGTERM, after `grace` seconds SIGKILL; returns when it is gone and removes its record."""
    if grace > 0 and send(layout, name, signal.SIGTERM):
        try:
            wait_until(lambda: not is_running(layout, name), grace, f"{name} to exit", poll=0.05)
        except ClusterError:
            send(layout, name, signal.SIGKILL)
    else:
        send(layout, name, signal.SIGKILL)
    wait_until(lambda: not is_running(layout, name), 10, f"{name} to exit after SIGKILL", poll=0.02)
    records.forget(layout, "process", name)


def tail(layout: Layout, name: str) -> str:
    """The last line of the log of `name` and where the rest is."""
    log = layout.logs / f"{name}.log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f"{lines[-1] if lines else 'nothing was logged'} (log: {log})"

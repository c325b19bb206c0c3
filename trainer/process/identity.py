"""Which process on which machine: by this, whoever looks at a run folder knows whether its holder lives."""

import os
from pathlib import Path


def machine() -> str:
    """This machine since it was last booted; containers on it have the same. "" where that cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def boot() -> str:
    """`machine`, and whose process numbers are meant: containers with its network share its name.

    "" where that cannot be told.
    """
    try:
        return f"{machine()} {os.readlink('/proc/self/ns/pid')}" if machine() else ""
    except OSError:
        return ""


def started(pid: int) -> str | None:
    """When a process started, in ticks since boot; None when it is gone or a zombie. Distinguishes a reused pid."""
    fields = _stat(pid)
    return None if fields is None or fields[0] == "Z" else fields[19]


def is_stopped(pid: int) -> bool:
    """Whether a process stands still, after SIGSTOP or Ctrl-Z, or under a debugger."""
    fields = _stat(pid)
    return fields is not None and fields[0] in "Tt"


def _stat(pid: int) -> list[str] | None:
    """What proc_pid_stat(5) has from the state of a process on; None without such a process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None

"""What this process can use: processors, memory and disk, by the container's limits rather than the node's size."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from trainer.contract import ENV_DISK_LIMIT, ENV_LOCAL_WORKERS

Read = Callable[[str], str | None]

_CGROUP = Path("/sys/fs/cgroup")
# cgroup v1 writes "no limit" as the largest multiple of the page size; anything near it is no limit.
_NO_LIMIT = 1 << 60


def _read_cgroup(name: str) -> str | None:
    try:
        return (_CGROUP / name).read_text().strip()
    except OSError:
        return None


def cpu_limit(read: Read = _read_cgroup) -> float | None:
    """Processors by the cgroup's quota (v2 cpu.max, else v1 cfs quota), or None when there is no quota."""
    v2 = read("cpu.max")
    if v2 is not None:
        quota, _, period = v2.partition(" ")
        return None if quota == "max" else int(quota) / int(period or 100_000)
    quota_v1, period_v1 = read("cpu/cpu.cfs_quota_us"), read("cpu/cpu.cfs_period_us")
    if quota_v1 is None or period_v1 is None or int(quota_v1) <= 0:
        return None
    return int(quota_v1) / int(period_v1)


def memory_limit(read: Read = _read_cgroup) -> int | None:
    """Bytes the cgroup may use (v2 memory.max, else v1), or None when there is no limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = read(name)
        if text is not None and text != "max" and int(text) < _NO_LIMIT:
            return int(text)
    return None


def memory_used(read: Read = _read_cgroup) -> int:
    """Bytes the cgroup uses now, page cache included; 0 if unknown."""
    for name in ("memory.current", "memory/memory.usage_in_bytes"):
        text = read(name)
        if text is not None:
            return int(text)
    return 0


def resident_memory() -> int:
    """Bytes of memory that this process holds; 0 if unknown."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def peak_memory() -> int:
    """The most bytes of memory that this process has held so far; 0 if unknown."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)


def age() -> float | None:
    """Seconds since this process was started; None if unknown."""
    try:
        after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # Field 22 of proc_pid_stat(5), in ticks since boot; the name, which may hold blanks, is field 2.
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - int(after_name[19]) / os.sysconf("SC_CLK_TCK"))


def processors() -> int:
    """Threads worth starting: the smaller of the affinity mask and the quota rounded up, at least 1."""
    allowed = len(os.sched_getaffinity(0))
    limit = cpu_limit()
    return allowed if limit is None else max(1, min(allowed, -(-int(limit * 1000) // 1000)))


def local_workers(environment: Mapping[str, str]) -> int:
    """Workers of one run that share this machine or container: more than one under `catdog train --workers N`."""
    return int(environment.get(ENV_LOCAL_WORKERS, "1"))


def free_memory() -> int:
    """Bytes that can still be used: what the machine has available, or less where the cgroup is limited."""
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    limit = memory_limit()
    return available if limit is None else max(0, min(available, limit - memory_used()))


def disk_limit(environment: Mapping[str, str]) -> int | None:
    """Bytes that files in the temporary folder may take before the pod is evicted, or None when there is no limit.

    Neither file system nor cgroup shows it; the manifest does, in CATDOG_DISK_LIMIT.
    """
    text = environment.get(ENV_DISK_LIMIT, "")
    return int(text) if text else None

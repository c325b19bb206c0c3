"""What is done to processes, their memory, disk, network and clock on this machine, and how it is undone (Linux, root).

Sources: Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.
"""

import errno
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.cluster import cgroups
from tests.runs import descendants
from trainer.contract import ENV_HOSTS, ENV_RANK

OUT_OF_MEMORY = "catdog-faults"
LOSS = 0.05
HOUR = 3600


def trainer_of(pid: int, rank: int) -> int:
    """The process below or at `pid` that trains as `rank`; `pid` itself where it trains alone."""
    for child in descendants(pid):
        with suppress(OSError):  # it has just ended
            told = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            if f"{ENV_RANK}={rank}".encode() in told and any(one.startswith(f"{ENV_HOSTS}=".encode()) for one in told):
                return child
    return pid


def send(pid: int, number: signal.Signals) -> None:
    """A signal, to a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@contextmanager
def without_memory(name: str = OUT_OF_MEMORY) -> Iterator[Path]:
    """A cgroup in which the next page that a process touches is one too many; write a pid to its `cgroup.procs`."""
    cgroups.create(name)
    try:
        for folder in cgroups.folders(name):
            for limit in ("memory.max", "memory.limit_in_bytes"):
                if (folder / limit).exists():
                    (folder / limit).write_text("0")
                    yield folder
                    return
        raise RuntimeError("no memory controller: OOM cannot be made to happen here")
    finally:
        cgroups.kill(name)
        cgroups.remove(name)


def take_memory(folder: Path, pid: int) -> None:
    """Move a process where there is no memory."""
    (folder / "cgroup.procs").write_text(str(pid))


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of that size, in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Leave only so many bytes on the disk of `folder`; deleting the file that is returned makes room again."""
    filler = folder / "filler"
    with filler.open("wb") as file:
        while True:
            free = os.statvfs(folder)
            try:
                os.posix_fallocate(file.fileno(), 0, max(free.f_bavail * free.f_frsize - leave, 1))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                continue  # somebody else was writing meanwhile
            return filler


def in_a_network_of_its_own(argv: Sequence[str]) -> list[str]:
    """The command in a network namespace that has nothing but a loopback device."""
    return ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *argv]


@contextmanager
def packet_loss() -> Iterator[None]:
    """Drop `LOSS` of the TCP packets that come in; for a network namespace of our own only.

    Raises:
        RuntimeError: this is the machine's own network.
    """
    devices = [
        line.split(":")[0].strip() for line in Path("/proc/self/net/dev").read_text().splitlines() if ":" in line
    ]
    if devices != ["lo"]:
        raise RuntimeError("packets are lost only in a network namespace of its own")
    rule = ["INPUT", "-p", "tcp", "-m", "statistic", "--mode", "random", "--probability", str(LOSS), "-j", "DROP"]
    subprocess.run(["iptables", "-A", *rule], check=True)
    try:
        yield
    finally:
        subprocess.run(["iptables", "-D", *rule], check=True)


class Clock:
    """A clock for processes that are started with `environment`; `jump` moves it while they run. Needs a C compiler."""

    def __init__(self, file: Path) -> None:
        self._file, library = file, file.with_suffix(".so")
        file.write_bytes(bytes(8))
        source = Path(__file__).with_name("clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-o", library, source, "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CATDOG_CLOCK": str(file)}

    def jump(self, seconds: int) -> None:
        """So many seconds before or after the machine's time from now on."""
        with self._file.open("r+b") as file:  # in place: it is mapped into the process
            file.write(struct.pack("=q", seconds))


def is_root() -> bool:
    """Whether cgroups, mounts and network namespaces can be made."""
    return sys.platform == "linux" and os.geteuid() == 0

"""One live trainer per run folder.

lease.json names the holder of the folder. It is written with a generation precondition, so that one of two concurrent
writers loses, and renewed while training. A lease is taken over when its holder is known to be dead, belongs to an
older attempt of the same run, or is silent for `STALE_SECONDS`; the old holder's next renewal then fails, and it stops.
A holder on another machine might have died a moment ago: it is given time to renew.
"""

import dataclasses
import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.contract import ENV_ATTEMPT, ENV_ATTEMPT_UNCOUNTED, ENV_RUN_UID, LEASE
from trainer.exits import Exit, ExitError
from trainer.storage.base import Storage
from trainer.storage.errors import PreconditionFailed, StorageMissing
from trainer.words import ago

STALE_SECONDS = 90.0
LOOK_SECONDS = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """The holder of a run folder. `run_uid` and `attempt` come from Kubernetes, if it runs there."""

    uid: str
    run_uid: str
    attempt: int
    host: str
    boot: str
    pid: int
    started: str
    renewed: float


@dataclass(frozen=True)
class Lease:
    """A lease that this process holds; renewal requires the generation at which it was last written."""

    holder: Holder
    generation: str


def myself(environment: Mapping[str, str]) -> Holder:
    """This process, as a holder; CATDOG_RUN_UID and CATDOG_ATTEMPT come from the pod.

    In a plain Job the attempt is the number of charged failures plus the number of uncharged ones
    (CATDOG_ATTEMPT_UNCOUNTED); each variable is empty until the first such failure.
    """
    return Holder(
        uid=uuid.uuid4().hex,
        run_uid=environment.get(ENV_RUN_UID, ""),
        attempt=sum(int(environment.get(name) or 0) for name in (ENV_ATTEMPT, ENV_ATTEMPT_UNCOUNTED)),
        host=socket.gethostname(),
        boot=_boot(),
        pid=os.getpid(),
        started=_started(os.getpid()) or "",
        renewed=time.time(),
    )


def acquire(storage: Storage, me: Holder, wait: Callable[[float], object] = time.sleep) -> Lease:
    """Take the run folder, waiting at most `STALE_SECONDS` to find out whether its holder is alive.

    Raises:
        ExitError: 73 when another live run holds it, naming it.
    """
    seen: str | None = None
    for looks in range(int(STALE_SECONDS / LOOK_SECONDS) + 2):
        holder, generation = _read(storage)
        if holder is None or _is_dead(holder, me) or _silence(holder, looks) >= STALE_SECONDS:
            try:
                return _write(storage, me, generation)
            except PreconditionFailed:
                seen = generation
                continue
        if _is_alive(holder, me) or seen not in (None, generation):
            raise _refusal(storage, f"held by a live run ({_named(holder)}); wait for it or use another --run")
        if seen is None:
            log.info("%s: held by %s; waiting to see whether it is still alive", storage.uri, _named(holder))
        seen = generation
        wait(LOOK_SECONDS)
    raise _refusal(storage, "another run has just taken this folder; use another --run")


def _refusal(storage: Storage, why: str) -> ExitError:
    return ExitError(Exit.RUN_REFUSED, f"{storage.uri}: {why}")


def _named(holder: Holder) -> str:
    return f"process {holder.pid} on {holder.host}, renewed {ago(max(0, time.time() - holder.renewed))}"


def _silence(holder: Holder, looks: int) -> float:
    """Seconds since the holder's last sign of life: by the clocks of both machines, or by ours alone."""
    return max(time.time() - holder.renewed, looks * LOOK_SECONDS)


def renew(storage: Storage, lease: Lease) -> Lease:
    """Record that this process is still alive.

    Raises:
        ExitError: 73 when another run has taken over.
    """
    try:
        return _write(storage, dataclasses.replace(lease.holder, renewed=time.time()), lease.generation)
    except PreconditionFailed as error:
        raise taken_over(storage) from error


def holds(storage: Storage, lease: Lease) -> bool:
    """Whether the lease is still the one in the run folder."""
    stat = storage.stat(LEASE)
    return stat is not None and stat.generation == lease.generation


def taken_over(storage: Storage) -> ExitError:
    """The error of an attempt whose run folder another attempt has taken over."""
    return _refusal(storage, "another attempt has taken over this run folder")


def release(storage: Storage, lease: Lease) -> None:
    """Release the run folder, unless another process has taken it over."""
    try:
        storage.delete(LEASE, if_generation=lease.generation)
    except PreconditionFailed:
        return


def _write(storage: Storage, holder: Holder, generation: str) -> Lease:
    stat = storage.write(LEASE, json.dumps(dataclasses.asdict(holder)).encode(), if_generation=generation)
    return Lease(holder, stat.generation)


def _read(storage: Storage) -> tuple[Holder | None, str]:
    stat = storage.stat(LEASE)
    if stat is None:
        return None, ""
    try:
        return Holder(**json.loads(storage.read(LEASE))), stat.generation
    except (StorageMissing, ValueError, TypeError):
        return None, stat.generation


def _is_dead(holder: Holder, me: Holder) -> bool:
    """Whether the holder certainly no longer trains."""
    if _same_run(holder, me) and holder.attempt < me.attempt:
        return True
    return _same_machine(holder, me) and _started(holder.pid) != holder.started


def _is_alive(holder: Holder, me: Holder) -> bool:
    """Whether the holder, if not dead, certainly trains; or takes precedence."""
    return _same_machine(holder, me) or (_same_run(holder, me) and holder.attempt > me.attempt)


def _same_run(holder: Holder, me: Holder) -> bool:
    return bool(holder.run_uid) and holder.run_uid == me.run_uid


def _same_machine(holder: Holder, me: Holder) -> bool:
    return (holder.boot, holder.host) == (me.boot, me.host)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process started, in ticks since boot; None when it is gone or a zombie. Distinguishes a reused pid."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]

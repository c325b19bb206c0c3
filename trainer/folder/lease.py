"""One live trainer per run folder.

lease.json names the holder of the folder. It is written with a generation precondition, so that one of two concurrent
writers loses, and renewed while training. A lease with our uid is ours, whatever its generation: a renewal that we gave
up for lost may be stored later. A lease is taken over when its holder is known to be dead, belongs to an older attempt
at the same run, or was not renewed for `STALE_SECONDS` while we looked; the old holder's next renewal then fails, and
it stops. Clocks of different machines are never compared. docs/architecture.md, "Late writes", has the whole protocol.
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

from trainer import documents
from trainer.contract import ENV_ATTEMPT, ENV_ATTEMPT_UNCOUNTED, ENV_RUN_UID, LEASE
from trainer.exits import Exit, ExitError
from trainer.fields import stored
from trainer.process import identity
from trainer.storage.base import Storage
from trainer.storage.errors import PreconditionFailed, StorageMissing
from trainer.words import ago

STALE_SECONDS = 90.0
LOOK_SECONDS = 5.0

TRIES = 5
"""How often a conditional write is made again after another one was stored first: at most as many of ours can be late
at once."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """The holder of a run folder. `run_uid` and `attempt` come from Kubernetes, if it runs there.

    `term` counts how often the folder was taken, so it orders all attempts. `renewed` is a Unix time of the holder's
    clock, for people.
    """

    uid: str
    run_uid: str = ""
    attempt: int = 0
    host: str = ""
    boot: str = ""
    pid: int = 0
    started: str = ""
    renewed: float = 0.0
    term: int = 0


@dataclass(frozen=True)
class Lease:
    """A lease that this process holds; renewal requires the generation at which it was last seen."""

    holder: Holder
    generation: str


class Lost(ExitError):
    """The lease is not ours (any more): 75 if another attempt at the same run has it, else 73."""


@dataclass(frozen=True)
class _Seen:
    """lease.json at a generation, "" where there is none; `holder` is None where there is none that can be read."""

    holder: Holder | None
    generation: str

    @property
    def free(self) -> bool:
        return not self.generation


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
        boot=identity.boot(),
        pid=os.getpid(),
        started=identity.started(os.getpid()) or "",
        renewed=time.time(),
    )


def acquire(storage: Storage, me: Holder, term: int = 0, wait: Callable[[float], object] = time.sleep) -> Lease:
    """Take the run folder, waiting to find out whether its holder is alive: `STALE_SECONDS`, or twice that for another
    attempt at the same run, which might be about to end.

    `term` is the highest one known from elsewhere. An outage of storage does not count as the holder's silence: only
    answers do, `LOOK_SECONDS` apart.

    Raises:
        Lost: another live process holds it, which is named.
    """
    seen: _Seen | None = None
    unchanged = 0
    for _ in range(2 * int(STALE_SECONDS / LOOK_SECONDS)):
        before, seen = seen, _read(storage)
        if seen.holder is not None and seen.holder.uid == me.uid:
            return Lease(seen.holder, seen.generation)
        renewed = before is not None and before.generation != seen.generation
        unchanged = 0 if renewed else unchanged + (before is not None)
        term = max(term, seen.holder.term if seen.holder else 0)
        if seen.free or _is_dead(seen.holder, me) or unchanged * LOOK_SECONDS >= STALE_SECONDS:
            try:
                return _write(storage, dataclasses.replace(me, term=term + 1), seen.generation)
            except PreconditionFailed:
                continue
        if _same_machine(seen.holder, me) or (renewed and not _same_run(seen.holder, me)):
            raise _refused(storage, seen.holder, me)
        if before is None:
            log.info("%s: held by %s; waiting to see whether it is still alive", storage.uri, _named(seen.holder))
        wait(LOOK_SECONDS)
    raise _refused(storage, seen.holder if seen else None, me)


def renew(storage: Storage, lease: Lease) -> Lease:
    """Record that this process is still alive.

    Raises:
        Lost: another attempt has taken over.
    """
    renewed = dataclasses.replace(lease.holder, renewed=time.time())
    for _ in range(TRIES - 1):
        try:
            return _write(storage, renewed, lease.generation)
        except PreconditionFailed:
            lease = confirm(storage, lease)
    return _write(storage, renewed, lease.generation)


def confirm(storage: Storage, lease: Lease) -> Lease:
    """The lease, with the generation that it has now.

    Raises:
        Lost: another attempt has taken over.
    """
    stat = storage.stat(LEASE)
    if stat is not None and stat.generation == lease.generation:
        return lease
    seen = _read(storage)
    if seen.holder is None or seen.holder.uid != lease.holder.uid:
        raise _taken(storage, seen, lease.holder)
    return Lease(lease.holder, seen.generation)


def release(storage: Storage, lease: Lease) -> None:
    """Release the run folder, unless another process has taken it over."""
    for _ in range(TRIES):
        try:
            storage.delete(LEASE, if_generation=lease.generation)
        except PreconditionFailed:
            try:
                lease = confirm(storage, lease)
            except Lost:
                return
        else:
            return


def _refused(storage: Storage, holder: Holder | None, me: Holder) -> Lost:
    if _same_run(holder, me):
        return Lost(Exit.PEER_LOST, f"{storage.uri}: held by another attempt at this run ({_named(holder)})")
    return Lost(
        Exit.RUN_REFUSED,
        f"{storage.uri}: held by a live run ({_named(holder)}); wait for it or use another --run",
    )


def _taken(storage: Storage, seen: _Seen, me: Holder) -> Lost:
    """A run in Kubernetes is started again when it is not known that another run has its folder."""
    code = Exit.RUN_REFUSED
    if _same_run(seen.holder, me) or (me.run_uid and seen.holder is None):
        code = Exit.PEER_LOST
    if seen.free:
        why = f"{LEASE} is gone: the run folder was moved or deleted, or another attempt took it over and has ended"
    else:
        why = f"another attempt has taken over this run folder: {_named(seen.holder)}"
    return Lost(code, f"{storage.uri}: {why}")


def _named(holder: Holder | None) -> str:
    if holder is None:
        return f"a {LEASE} that this version of catdog cannot read"
    return f"process {holder.pid} on {holder.host}, renewed {ago(max(0, time.time() - holder.renewed))}"


def _write(storage: Storage, holder: Holder, generation: str) -> Lease:
    stat = storage.write(LEASE, json.dumps(dataclasses.asdict(holder)).encode(), if_generation=generation)
    return Lease(holder, stat.generation)


def _read(storage: Storage) -> _Seen:
    """The generation is looked up first: what is then written over it replaces nothing newer than what was read."""
    stat = storage.stat(LEASE)
    if stat is None:
        return _Seen(None, "")
    try:
        return _Seen(_parsed(storage.read(LEASE)), stat.generation)
    except StorageMissing:
        return _Seen(None, stat.generation)


def _parsed(text: bytes) -> Holder | None:
    """None for what is no lease, or lacks its holder's uid."""
    try:
        holder = Holder(**stored(Holder, documents.parse(text)))
    except (ValueError, TypeError):
        return None
    return holder if holder.uid else None


def _is_dead(holder: Holder | None, me: Holder) -> bool:
    """Whether the holder certainly no longer trains, or was replaced by Kubernetes.

    A higher count of failures says so. A lower or equal one says nothing: Kueue begins to count anew at a preemption.
    """
    if holder is None:
        return False
    if _same_run(holder, me) and holder.attempt < me.attempt:
        return True
    return _same_machine(holder, me) and identity.started(holder.pid) != holder.started


def _same_run(holder: Holder | None, me: Holder) -> bool:
    return holder is not None and bool(holder.run_uid) and holder.run_uid == me.run_uid


def _same_machine(holder: Holder | None, me: Holder) -> bool:
    return holder is not None and bool(holder.boot) and (holder.boot, holder.host) == (me.boot, me.host)

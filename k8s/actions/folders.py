"""Run folders as the command line uses them: state.json, config.json, listing, cancelling, deleting.

Reading needs no permission on the bucket: what cannot be read becomes a note, not an error.
"""

import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from k8s.actions.bounded import Bounded
from k8s.exits import missing, usage
from k8s.explain.observation import Holder
from trainer import documents
from trainer.config import RunConfig, from_mapping
from trainer.contract import CONFIG, LEASE, STATE, WEIGHTS_CARD, State
from trainer.exits import ExitError
from trainer.process import identity
from trainer.storage.base import Storage
from trainer.storage.errors import PreconditionFailed, StorageDenied, StorageFailed, StorageMissing
from trainer.storage.opening import open_storage
from trainer.storage.retry import RetryPolicy

# A person is waiting for the answer: give up sooner than training does.
_READERS = 16
_PATIENCE = RetryPolicy(total=15.0, attempt=10.0)
LIST_SECONDS = 15.0
_LISTING = ""  # no run folder has this URI

Json = Mapping[str, Any]


def read(uri: str, name: str) -> tuple[Json | None, str]:
    """A JSON object of a run folder and "", or None and why it could not be read ("" if it does not exist)."""
    try:
        return _read(open_storage(uri, concurrency=4, retry=_PATIENCE), name)
    except ExitError as error:
        return None, f"{uri}/{name} cannot be read from here: {error.message}"


def _read(storage: Storage, name: str) -> tuple[Json | None, str]:
    where = f"{storage.uri}/{name}"
    try:
        found = documents.parse(storage.read(name))
    except StorageMissing:
        return None, ""
    except ExitError as error:
        return None, f"{where} cannot be read from here: {error.message}"
    except ValueError as error:
        return None, f"{where} is not JSON: {error}"
    return (found, "") if isinstance(found, dict) else (None, f"{where} is not a JSON object")


def holder(uri: str) -> Holder | None:
    """What has become of the process that holds a run folder; None where it runs elsewhere, or nothing holds it."""
    lease, _ = read(uri, LEASE)
    if not lease or (lease.get("boot"), lease.get("host")) != (identity.boot(), socket.gethostname()):
        return None
    pid = lease.get("pid")
    if not lease["boot"] or not isinstance(pid, int):
        return None
    return Holder(pid, identity.started(pid) != lease.get("started"), identity.is_stopped(pid))


def read_config(uri: str) -> RunConfig:
    """The configuration in a run folder.

    Raises:
        CliError: 3 when it does not exist, or cannot be read from here.
    """
    found, trouble = read(uri, CONFIG)
    if found is None:
        raise missing(trouble or f"{uri} has no {CONFIG}: it is not a run folder, or the run never started")
    try:
        return from_mapping(found["config"])
    except (KeyError, TypeError, AttributeError, ExitError) as error:
        raise missing(f"{uri}/{CONFIG} was not written by this version of catdog: {error}") from error


def has_config(uri: str) -> bool | None:
    """Whether a run folder has the configuration of a run that has started; None if it cannot be read."""
    try:
        return open_storage(uri, concurrency=4, retry=_PATIENCE).stat(CONFIG) is not None
    except ExitError:
        return None


@dataclass(frozen=True)
class States:
    """state.json of run folders: what was `found`, why others are `unread`, by URI; and why there may be more."""

    found: Mapping[str, Json]
    unread: Mapping[str, str]
    trouble: str


_Answer = tuple[Json | None, str]
_Listing = tuple[Mapping[str, Storage], str]


def states(runs_uri: str, uris: Iterable[str] = (), seconds: float = LIST_SECONDS) -> States:
    """state.json of every run folder below `runs_uri`, and of those at `uris`, read side by side.

    It takes at most `seconds`, whatever the number of runs: what has not been read by then is unread.
    """
    base = runs_uri.rstrip("/")
    calls: Bounded[str, _Answer | _Listing] = Bounded(seconds, _READERS)
    if runs_uri:
        calls.start(_LISTING, lambda: _children(runs_uri))
    started = set(uris)
    for uri in sorted(started):
        calls.start(uri, partial(read, uri, STATE))
    found: dict[str, Json] = {}
    unread: dict[str, str] = {}
    trouble = ""
    for key, (answer, words) in calls.results():
        if key == _LISTING:
            trouble = words
            for name, storage in (answer or {}).items():
                if (uri := f"{base}/{name}") not in started:
                    calls.start(uri, partial(_read, storage, STATE))
        elif answer is not None:
            found[key] = answer
        elif words:
            unread[key] = words
    late = f"no answer from storage in {seconds:g} s"
    unread |= {uri: f"{uri}/{STATE} cannot be read from here: {late}" for uri in calls.late - {_LISTING}}
    if _LISTING in calls.late:
        trouble = f"{runs_uri} cannot be listed from here: {late}"
    return States(found, unread, trouble)


def read_each(uris: Iterable[str], name: str, seconds: float = LIST_SECONDS) -> dict[str, Json]:
    """This JSON object of each run folder that has it, by URI, read side by side within `seconds` in all."""
    calls: Bounded[str, _Answer] = Bounded(seconds, _READERS)
    for uri in sorted(set(uris)):
        calls.start(uri, partial(read, uri, name))
    return {uri: found for uri, (found, _) in calls.results() if found is not None}


def _children(runs_uri: str) -> _Listing:
    try:
        storage = open_storage(runs_uri, concurrency=_READERS, retry=_PATIENCE)
        return {name: storage.child(name) for name in storage.folders()}, ""
    except ExitError as error:
        return {}, f"{runs_uri} cannot be listed from here: {error.message}"


def check_data(uri: str) -> str:
    """Check that there is a data set at `uri`; return a warning if that cannot be checked from here.

    Raises:
        CliError: 3 when there is none; 2 for an invalid URI.
    """
    try:
        storage = open_storage(uri, concurrency=4, retry=_PATIENCE)
        if next(iter(storage.list()), None) is None:
            raise missing(f"--data {uri}: nothing below {uri}; a data set is CLASS/ or {{train,valid,test}}/CLASS/")
    except ExitError as error:
        return _warn_or_raise(error, f"--data {uri}")
    return ""


def check_weights(uri: str, model: str) -> str:
    """Check that there are weights of `model` at `uri`; return a warning if that cannot be checked from here.

    Raises:
        CliError: 3 when there are none; 2 for an invalid URI, or weights of another network.
    """
    try:
        storage = open_storage(uri, concurrency=4, retry=_PATIENCE)
        if storage.stat(WEIGHTS_CARD) is None:
            raise missing(
                f"--weights {uri}: no weights there (no {WEIGHTS_CARD}); catdog weights fetch {model} {uri} writes them"
            )
        card, trouble = _read(storage, WEIGHTS_CARD)
    except ExitError as error:
        return _warn_or_raise(error, f"--weights {uri}")
    if card is not None and card.get("architecture") != model:
        raise usage(
            f"--weights {uri}: weights of {card.get('architecture')}, and --model is {model}; "
            "--weights '' takes those in the image"
        )
    return f"--weights {uri}: {trouble}" if trouble else ""


def check_runs(uri: str) -> str:
    """Check that the bucket or folder of a run exists; return a warning if that cannot be checked from here.

    Raises:
        CliError: 3 when the bucket is missing; 2 for an invalid URI.
    """
    try:
        open_storage(uri, concurrency=4, retry=_PATIENCE).stat(STATE)
    except ExitError as error:
        return _warn_or_raise(error, f"--run {uri}")
    return ""


def _warn_or_raise(error: ExitError, flag: str) -> str:
    if isinstance(error, StorageDenied | StorageFailed):
        return f"{flag} cannot be checked from here, but the workers may have access: {error.message}"
    if isinstance(error, StorageMissing):
        raise missing(f"{flag}: {error.message}") from error
    raise usage(f"{flag}: {error.message}") from error


def mark_cancelled(uri: str) -> str:
    """Change the state in state.json from running or preempted to cancelled; return why that failed, or ""."""
    try:
        storage = open_storage(uri, concurrency=4, retry=_PATIENCE)
        stat = storage.stat(STATE)
        if stat is None:
            return ""
        state = documents.parse(storage.read(STATE))
        if state.get("state") not in (State.RUNNING, State.PREEMPTED):
            return ""
        changed = {**state, "state": State.CANCELLED, "reason": state.get("reason") or "cancelled by catdog cancel"}
        storage.write(STATE, json.dumps(changed, indent=1).encode() + b"\n", if_generation=stat.generation)
    except PreconditionFailed:
        return f"{uri}/{STATE} was just written by another process: the run may still be alive"
    except (ExitError, ValueError, AttributeError) as error:
        return f"{uri}/{STATE} could not be marked as cancelled: {error}"
    return ""


def delete_folder(uri: str) -> int:
    """Delete every object of a run folder; return how many there were.

    Raises:
        CliError: 3 when storage refuses.
    """
    try:
        storage: Storage = open_storage(uri, retry=_PATIENCE)
        if storage.stat(CONFIG) is None and storage.stat(STATE) is None:
            raise missing(f"{uri} has neither {CONFIG} nor {STATE}: it is not a run folder, so nothing was deleted")
        names = [stat.name for stat in storage.list()]
        # state.json and config.json last: after a failure, the rest is still recognized as a run folder.
        for name in sorted(names, key=lambda one: (one in (CONFIG, STATE), one)):
            storage.delete(name)
    except ExitError as error:
        raise missing(f"{uri} could not be deleted: {error.message}") from error
    return len(names)

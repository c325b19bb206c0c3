"""The phase of a run, from its objects and its state.json. Pure."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from k8s.explain import observation
from k8s.explain.observation import Observation, instant
from trainer.contract import State

STALE_SECONDS = 90.0
"""state.json is a heartbeat, written at least every 30 s; three missed ones mean the run is silent."""


class Phase(StrEnum):
    """The phase of a run. `lost`: state.json says running, but its pods, or its process on this machine, are gone;
    where neither is known, there is no heartbeat."""

    QUEUED = "queued"
    PENDING = "pending"
    STARTING = "starting"
    RUNNING = State.RUNNING
    SUCCEEDED = State.SUCCEEDED
    FAILED = State.FAILED
    PREEMPTED = State.PREEMPTED
    CANCELLED = State.CANCELLED
    LOST = "lost"


ENDED = (Phase.SUCCEEDED, Phase.FAILED, Phase.PREEMPTED, Phase.CANCELLED, Phase.LOST)
_OF_STATE = {str(state): Phase(state) for state in State if state is not State.RUNNING}


def phase_of(seen: Observation) -> Phase | None:
    """The run's phase; None if there is neither an object nor a run folder, or the folder cannot be read.

    The objects decide while they exist, since a killed worker writes no final state; after that, state.json does.
    """
    if seen.top is not None:
        return _of_objects(seen)
    if seen.state is None:
        return None
    known = _OF_STATE.get(str(seen.state.get("state")))
    if known is not None:
        return known
    alive = is_fresh(seen.state, seen.now) if seen.holder is None else not seen.holder.gone
    return Phase.RUNNING if alive else Phase.LOST


def _of_objects(seen: Observation) -> Phase:
    if observation.succeeded(seen.top):
        return Phase.SUCCEEDED
    if observation.failed(seen.top):
        return Phase.FAILED
    active = [pod for pod in seen.pods if observation.is_active(pod)]
    if (seen.top or {})["metadata"].get("deletionTimestamp"):
        return Phase.CANCELLED
    if observation.suspended(seen.top) and not active:
        return Phase.QUEUED
    if not active and seen.pods and all(_done(pod) for pod in seen.pods):
        return Phase.RUNNING  # the controller has not counted them yet
    if not active or any(not (pod.get("spec") or {}).get("nodeName") for pod in active):
        return Phase.PENDING
    if observation.absent_ranks(seen):
        return Phase.PENDING
    if not all(observation.started(pod) for pod in active):
        return Phase.STARTING
    return Phase.RUNNING if is_heard(seen) or is_deaf(seen) else Phase.STARTING


def _done(pod: observation.Object) -> bool:
    return (pod.get("status") or {}).get("phase") == "Succeeded"


def is_heard(seen: Observation) -> bool:
    """Whether the workers that are there now have said anything, be it that they failed.

    A container outlives its "succeeded", for a last scrape, and its pod briefly outlives the container.
    """
    return bool(seen.state) and observation.is_of_these(seen)


def telling_pods(seen: Observation) -> list[observation.Object]:
    """The pods that say something about the run as it is: once it trains again, not those that were replaced."""
    trains = is_heard(seen) and (seen.state or {}).get("state") == State.RUNNING and observation.is_going(seen.top)
    if not trains or observation.vacant_ranks(seen):
        return list(seen.pods)
    return [pod for pod in seen.pods if (pod.get("status") or {}).get("phase") != "Failed"]


def is_deaf(seen: Observation) -> bool:
    """Whether the run's state is out of our sight: neither its folder nor its log could be read, or they say nothing.

    Then containers that run are all that is known of its progress.
    """
    return bool(seen.unread) and seen.state is None


def is_fresh(state: Mapping[str, Any], now: datetime) -> bool:
    """Whether the heartbeat in state.json is recent."""
    updated = instant(str(state.get("updated")))
    return updated is not None and (now - updated).total_seconds() < STALE_SECONDS


def progress(state: Mapping[str, Any] | None) -> str:
    """ "epoch 3, step 120 of 1,890" from state.json; empty without one, or without numbers in it."""
    found = state or {}
    epoch, step, total = (found.get(name, 0) for name in ("epoch", "step", "total_steps"))
    if not all(type(number) is int for number in (epoch, step, total)) or not total:
        return ""
    return f"epoch {epoch}, step {step:,} of {total:,}"

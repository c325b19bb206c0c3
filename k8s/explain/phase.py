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
    """The phase of a run. `lost`: state.json says running, but there are no pods and no heartbeat."""

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
    """The run's phase; None if there is neither an object nor a run folder.

    The objects decide while they exist, since a killed worker writes no final state; after that, state.json does.
    """
    if seen.top is not None:
        return _of_objects(seen)
    if seen.state is None:
        return None
    known = _OF_STATE.get(str(seen.state.get("state")))
    if known is not None:
        return known
    return Phase.RUNNING if is_fresh(seen.state, seen.now) else Phase.LOST


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
    if not all(observation.started(pod) for pod in active):
        return Phase.STARTING
    return Phase.RUNNING if _heard(seen.state, active) else Phase.STARTING


def _done(pod: observation.Object) -> bool:
    return (pod.get("status") or {}).get("phase") == "Succeeded"


def _heard(state: Mapping[str, Any] | None, pods: list[observation.Object]) -> bool:
    """Whether state.json has said running or succeeded since the oldest of these containers started.

    A container outlives its "succeeded", for a last scrape, and its pod briefly outlives the container.
    """
    if state is None or state.get("state") not in (State.RUNNING, State.SUCCEEDED):
        return False
    updated = instant(str(state.get("updated")))
    states = [observation.container(pod).get("state") or {} for pod in pods]
    started = [instant((one.get("running") or one.get("terminated") or {}).get("startedAt")) for one in states]
    first = min((one for one in started if one is not None), default=None)
    return updated is not None and (first is None or updated >= first)


def is_fresh(state: Mapping[str, Any], now: datetime) -> bool:
    """Whether the heartbeat in state.json is recent."""
    updated = instant(str(state.get("updated")))
    return updated is not None and (now - updated).total_seconds() < STALE_SECONDS


def progress(state: Mapping[str, Any] | None) -> str:
    """ "epoch 3, step 120 of 1,890" from state.json; empty without one."""
    if not state or not state.get("total_steps"):
        return ""
    return f"epoch {state.get('epoch', 0)}, step {state.get('step', 0):,} of {state['total_steps']:,}"

"""A snapshot of one run, from the cluster and its run folder, and helpers that read it.

Objects are in the API's JSON form (`kubectl get -o json`), so that tests can write them as short literals.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from k8s.labels import CONTAINER, INDEX_LABEL
from k8s.planning.capacity import NodeSpace

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Holder:
    """A process on this machine: it runs, stands still (SIGSTOP), or is gone."""

    pid: int
    gone: bool = False
    stopped: bool = False


@dataclass(frozen=True)
class Observation:
    """One run at `now` (UTC). `top` is its JobSet or Job, or None if it does not exist (anymore).

    `state` is state.json, or None if it is missing or unreadable; `unread` is why it could not be read, and then
    `state` is what rank 0's log said last, if it said anything. `resumable`: whether the run folder has the
    configuration of a run that has started, None if that is unknown. `nodes` and `spaces` are None if reading them is
    not allowed. `position` is the run's position in its Kueue queues, counted from 0: (queue name, position) pairs.
    `typed` are the flags by which the user chose the cluster: proposed commands repeat them. `local`: the run is known
    by its folder on this machine, which no pod can see. `holder` is what has become of the process that holds the
    folder, if it was started on this very machine.
    """

    name: str
    now: datetime
    top: Object | None = None
    jobs: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    events: Sequence[Object] = ()
    workload: Object | None = None
    position: Sequence[tuple[str, int]] = ()
    nodes: Sequence[Object] | None = None
    spaces: Sequence[NodeSpace] | None = None
    state: Mapping[str, Any] | None = None
    unread: str = ""
    resumable: bool | None = None
    typed: tuple[str, ...] = ()
    local: bool = False
    holder: Holder | None = None
    notes: Sequence[str] = field(default=())
    """What could not be read, and why."""


def of_folder(name: str, state: Mapping[str, Any] | None, now: datetime, **more: Any) -> Observation:
    """A run that is known only by its folder; `more` are fields of the observation."""
    return Observation(name=name, now=now, state=state, **more)


def condition(one: Object | None, kind: str) -> Object | None:
    """The object's condition of this type, whatever its status."""
    conditions = ((one or {}).get("status") or {}).get("conditions") or ()
    return next((found for found in conditions if found.get("type") == kind), None)


def is_true(one: Object | None, kind: str) -> bool:
    """Whether an object has this condition with status True."""
    found = condition(one, kind)
    return found is not None and found.get("status") == "True"


def succeeded(top: Object | None) -> bool:
    """Whether a Job (Complete) or JobSet (Completed) has succeeded."""
    return is_true(top, "Complete") or is_true(top, "Completed")


def failed(top: Object | None) -> bool:
    """Whether a Job or JobSet has failed."""
    return is_true(top, "Failed")


def is_going(top: Object | None) -> bool:
    """Whether a Job or JobSet should have its pods now: not finished or about to be, suspended or being deleted."""
    if top is None or top["metadata"].get("deletionTimestamp"):
        return False
    ends = any(is_true(top, kind) for kind in ("FailureTarget", "SuccessCriteriaMet"))
    return not (ends or succeeded(top) or failed(top) or suspended(top))


def workers(seen: Observation) -> int:
    """How many workers the run has, according to its objects; 0 without objects."""
    spec = (seen.top or {}).get("spec") or {}
    if "replicatedJobs" in spec:
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    return int(spec.get("completions") or 0)


def absent_ranks(seen: Observation) -> list[int]:
    """The ranks of a run that should have all its pods, and has none for them, whatever its state."""
    return _ranks_without(seen, lambda pod: True)


def vacant_ranks(seen: Observation) -> list[int]:
    """The ranks without a pod that runs, will run or has done its work: those of failed pods too."""
    return _ranks_without(seen, lambda pod: (pod.get("status") or {}).get("phase") != "Failed")


def _ranks_without(seen: Observation, counts: Callable[[Object], bool]) -> list[int]:
    if not is_going(seen.top):
        return []
    there = {rank(pod) for pod in seen.pods if counts(pod)}
    return [number for number in range(workers(seen)) if number not in there]


def age_of(one: Object | None, now: datetime) -> float | None:
    """Seconds since the API server created an object; None if unknown."""
    made = instant(((one or {}).get("metadata") or {}).get("creationTimestamp"))
    return None if made is None else (now - made).total_seconds()


def since(one: Object | None, now: datetime) -> float | None:
    """Seconds since a condition or a container's state began; None if unknown."""
    found = one or {}
    began = instant(found.get("lastTransitionTime") or found.get("startedAt"))
    return None if began is None else (now - began).total_seconds()


def has_ended(seen: Observation) -> bool:
    """Whether the run's Job or JobSet has finished, succeeded or failed."""
    return succeeded(seen.top) or failed(seen.top)


def suspended(top: Object | None) -> bool:
    """Whether a Job or JobSet is suspended."""
    return bool(((top or {}).get("spec") or {}).get("suspend"))


def rank(pod: Object) -> int | None:
    """The pod's completion index."""
    text = (pod["metadata"].get("labels") or {}).get(INDEX_LABEL, "")
    return int(text) if text.isdecimal() else None


def who(pod: Object) -> str:
    """A pod in words: "rank 1 (run-w-0-1-abcde on node-2)"."""
    number, node = rank(pod), (pod.get("spec") or {}).get("nodeName")
    place = f"{pod['metadata']['name']} on {node}" if node else str(pod["metadata"]["name"])
    return f"rank {number} ({place})" if number is not None else place


def container(pod: Object) -> Object:
    """The status of the trainer's container, empty until there is one; a pod may have sidecars."""
    return _of_trainer((pod.get("status") or {}).get("containerStatuses"))


def container_spec(pod: Object) -> Object:
    """What the pod asks for the trainer's container: image, resources, …"""
    return _of_trainer((pod.get("spec") or {}).get("containers"))


def _of_trainer(containers: Sequence[Object] | None) -> Object:
    return next((one for one in containers or () if one.get("name") == CONTAINER), {})


def waiting(pod: Object) -> Object:
    """Why the container has not started: {"reason", "message"}, empty otherwise."""
    return (container(pod).get("state") or {}).get("waiting") or {}


def terminated(pod: Object) -> Object:
    """How the container exited: {"exitCode", "reason", "message", …}, empty before that."""
    return (container(pod).get("state") or {}).get("terminated") or {}


def started(pod: Object) -> bool:
    """Whether the container is running or has exited."""
    return not {"running", "terminated"}.isdisjoint(container(pod).get("state") or {})


def is_of_these(seen: Observation) -> bool:
    """Whether the run's state was written by the workers that are there now, not by an attempt before them."""
    updated = instant(str((seen.state or {}).get("updated")))
    active = [pod for pod in seen.pods if is_active(pod)]
    if active and not any(started(pod) for pod in active):
        return False
    states = [container(pod).get("state") or {} for pod in active]
    began = [instant((one.get("running") or one.get("terminated") or {}).get("startedAt")) for one in states]
    first = min((one for one in began if one is not None), default=None)
    return updated is not None and (first is None or updated >= first)


def is_active(pod: Object) -> bool:
    """Whether the pod has not finished."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def instant(text: str | None) -> datetime | None:
    """A time in the format of the API and state.json (RFC 3339), or None."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def about(event: Object) -> str:
    """What an event is about: "Pod/name"."""
    involved = event.get("involvedObject") or event.get("regarding") or {}
    return f"{involved.get('kind', '')}/{involved.get('name', '')}"


def event_time(event: Object) -> str:
    """When an event was last seen, as sortable text."""
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
        or ""
    )


def events_of(seen: Observation, kind: str, reasons: tuple[str, ...], pod: Object | None = None) -> list[Object]:
    """Events with these reasons, newest first; only those about `pod` if it is given."""
    name = None if pod is None else f"Pod/{pod['metadata']['name']}"
    found = [
        event
        for event in seen.events
        if event.get("reason") in reasons and about(event).startswith(kind) and (name is None or about(event) == name)
    ]
    return sorted(found, key=event_time, reverse=True)


def in_words(event: Object) -> str:
    """An event's reason and message."""
    return f"{event.get('reason')}: {event.get('message', '')}".strip()

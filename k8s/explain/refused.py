"""Why pods of a run do not exist: the API server or a cluster policy rejects them, or nothing creates them. Pure."""

import re
from collections.abc import Callable

from k8s.explain import observation
from k8s.explain.cause import Cause
from k8s.explain.command import GAP, By, Next, catdog, helm, kubectl
from k8s.explain.observation import (
    Object,
    Observation,
    absent_ranks,
    age_of,
    event_time,
    events_of,
    in_words,
    instant,
    vacant_ranks,
    who,
)
from k8s.explain.states import TABLE, Field, words

CREATION_SECONDS = 30.0
"""Controllers create pods within a second or two; after this long without one, something is wrong."""
RECENT_SECONDS = 1200.0
"""A refused creation is tried again, and its event renewed, at least this often; an older one is history."""
_REASONS = tuple(one.value for one in TABLE if one.field is Field.CREATION)


def refused(seen: Observation) -> list[Cause]:
    """The controller is not allowed to create pods that are missing, or the API server rejects them."""
    vacant = vacant_ranks(seen)
    if not vacant:
        return []
    for event in events_of(seen, "", _REASONS):
        if not _is_recent(seen, event):
            continue
        message = str(event.get("message", ""))
        evidence = (in_words(event), *_shape(seen, vacant))
        for pattern, kind, cause, then in _REFUSALS:
            if re.search(pattern, message):
                return [Cause(kind, f"{_head(seen, vacant)}: {cause}", evidence, then(seen))]
        meaning = words(Field.CREATION, str(event.get("reason")))
        then_look = (catdog(seen.typed, "doctor", seen.name),)
        return [Cause("create-failed", f"{_head(seen, vacant)}: {meaning}", evidence, then_look)]
    return []


def not_created(seen: Observation) -> list[Cause]:
    """Fewer pods than workers, for longer than controllers take, and nothing says why."""
    absent = absent_ranks(seen)
    ages = [age for one in (seen.top, *seen.pods) if (age := age_of(one, seen.now)) is not None]
    if not absent or (ages and min(ages) < CREATION_SECONDS):
        return []
    newest = f"the newest object of the run is {min(ages):.0f} s old, and no event says why" if ages else ""
    kind = str((seen.top or {}).get("kind", "Job"))
    look = kubectl(seen.typed, "describe", kind.lower(), seen.name)
    controllers = kubectl(seen.typed, "get", "pods", "--all-namespaces", by=By.ADMIN)
    return [
        Cause(
            "pods-missing",
            f"{_count(seen, absent)} do not exist: {_named(absent)}",
            tuple(line for line in (newest, *_shape(seen, absent)) if line),
            (look, "; if it says nothing, is the controller running? ", controllers),
        )
    ]


def _is_recent(seen: Observation, event: Object) -> bool:
    moment = instant(event_time(event))
    return moment is None or (seen.now - moment).total_seconds() < RECENT_SECONDS


def _head(seen: Observation, ranks: list[int]) -> str:
    return f"{_count(seen, ranks)} cannot be created ({_named(ranks)})"


def _count(seen: Observation, ranks: list[int]) -> str:
    return f"{len(ranks)} of {observation.workers(seen)} pods"


def _named(ranks: list[int]) -> str:
    shown = ", ".join(str(rank) for rank in ranks[:8])
    return f"rank{'s' if len(ranks) > 1 else ''} {shown}{', …' if len(ranks) > 8 else ''}"


def _shape(seen: Observation, missing: list[int]) -> tuple[str, ...]:
    """Which workers are there and wait in vain: a gang trains whole or not at all."""
    there = [pod for pod in seen.pods if observation.is_active(pod) and observation.rank(pod) not in missing]
    if not there:
        return ()
    return (f"the others wait for {'it' if len(missing) == 1 else 'them'}: {', '.join(who(pod) for pod in there[:4])}",)


def _quota(seen: Observation) -> Next:
    return (
        "wait until other pods of the namespace end, or ",
        kubectl(seen.typed, "describe", "resourcequota", by=By.ADMIN),
        ", and to raise it",
    )


def _limits(seen: Observation) -> Next:
    return (
        kubectl(seen.typed, "describe", "resourcequota", by=By.ADMIN),
        "; what the workers request is in the platform: ",
        helm(seen.typed, f"resources.cpu={GAP}"),
    )


def _security(seen: Observation) -> Next:
    return (
        "check extraVolumes, and hostNetwork in the overlay, of the platform and the profile; ",
        kubectl(seen.typed, "get", "namespace", "--show-labels", by=By.ADMIN),
        ", which shows the level",
    )


def _policy(seen: Observation) -> Next:
    return ("ask the cluster administrators about the policy named above",)


def _account(seen: Observation) -> Next:
    return (helm(seen.typed, "serviceAccount.create=true"), ", or submit with --service-account NAME")


def _runtime(seen: Observation) -> Next:
    return (
        "correct runtimeClassName in the overlay of the platform or the profile; ",
        kubectl(seen.typed, "get", "runtimeclass", by=By.ADMIN),
        ", which lists those that exist",
    )


def _priority(seen: Observation) -> Next:
    return (
        "submit with another --priority-class; ",
        kubectl(seen.typed, "get", "priorityclass", by=By.ADMIN),
        ", which lists those that exist",
    )


_REFUSALS: tuple[tuple[str, str, str, Callable[[Observation], Next]], ...] = (
    (r"exceeded quota", "quota", "a ResourceQuota in the namespace is used up", _quota),
    (
        r"must specify .* for",
        "quota",
        "a ResourceQuota requires requests or limits that the pods do not set",
        _limits,
    ),
    (r"violates PodSecurity", "policy", "the namespace's Pod Security level rejects them", _security),
    (
        r"admission webhook .* denied|denied the request|ValidatingAdmissionPolicy",
        "policy",
        "a cluster policy rejects them",
        _policy,
    ),
    (
        r"(?i)serviceaccount .*not found|error looking up service account",
        "service-account",
        "the workers' ServiceAccount does not exist",
        _account,
    ),
    (r"RuntimeClass .*not found", "runtime-class", "the RuntimeClass does not exist", _runtime),
    (r"no PriorityClass|PriorityClass .*not found", "priority-class", "the PriorityClass does not exist", _priority),
    (r"forbidden", "policy", "the cluster rejects them", _policy),
)

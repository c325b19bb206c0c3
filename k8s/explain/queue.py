"""Rules for a run that is suspended: held in a queue of Kueue, or by somebody. Pure."""

from k8s.explain import observation
from k8s.explain.again import restart
from k8s.explain.cause import Cause
from k8s.explain.command import By, Next, kubectl
from k8s.explain.observation import Object, Observation, condition, has_ended, is_true
from k8s.explain.states import Field, held, words
from k8s.labels import QUEUE_LABEL

_GO_ON = """{"spec":{"suspend":false}}"""


def queued(seen: Observation) -> list[Cause]:
    """Held back by Kueue, or suspended without Kueue."""
    if seen.top is None or not observation.suspended(seen.top) or has_ended(seen):
        return []
    queue = str((seen.top["metadata"].get("labels") or {}).get(QUEUE_LABEL, ""))
    look = (kubectl(seen.typed, "describe", "localqueue", queue),)
    if seen.workload is None:
        if not queue:
            go_on = ("patch", seen.top["kind"].lower(), seen.name, "--type=merge", "-p", _GO_ON)
            then: Next = (kubectl(seen.typed, *go_on, by=By.ADMIN), "; or ", *restart(seen))
            return [Cause("suspended", "the run was suspended manually", (), then)]
        return [Cause("queue", f"waiting for Kueue to pick it up in queue {queue}", (), look)]
    for rule in (_deactivated, _never, _blocked):
        if found := rule(seen, seen.workload, queue, look):
            return [found]
    return [_waiting(seen, seen.workload, queue, look)]


def _deactivated(seen: Observation, workload: Object, queue: str, look: Next) -> Cause | None:
    if (workload.get("spec") or {}).get("active") is not False and not is_true(workload, "DeactivationTarget"):
        reason = str((condition(workload, "Evicted") or {}).get("reason", "")) if is_true(workload, "Evicted") else ""
        if not reason.startswith("Deactivated"):
            return None
    return Cause(
        "queue-deactivated",
        f"Kueue deactivated the run in queue {queue}",
        _messages(workload, "DeactivationTarget", "Evicted", "QuotaReserved"),
        restart(seen),
    )


def _never(seen: Observation, workload: Object, queue: str, look: Next) -> Cause | None:
    evidence = _messages(workload, "QuotaReserved", "Admitted", "Evicted")
    reserved = condition(workload, "QuotaReserved") or {}
    if reserved.get("reason") != "ExceedsMaxQuota" and not any("maximum capacity" in line for line in evidence):
        return None
    return Cause(
        "queue-never",
        f"queue {queue} can never admit this run: it requests more than the total quota",
        evidence,
        (*restart(seen), " with fewer --gpus"),
    )


def _blocked(seen: Observation, workload: Object, queue: str, look: Next) -> Cause | None:
    """What waiting alone does not end: somebody has to change the queue, or the run."""
    evidence = _messages(workload, "QuotaReserved", "Admitted", "Evicted", "Finished")
    reserved = condition(workload, "QuotaReserved") or {}
    if reserved.get("status") == "False":
        found = held(Field.QUOTA, str(reserved.get("reason")))
        if found is not None and found.kind == "queue-blocked":
            text = f"queue {queue} does not admit this run: {found.words}"
            return Cause("queue-blocked", text, evidence, (*look, ", and ask a cluster admin about that queue"))
    for check in (workload.get("status") or {}).get("admissionChecks") or ():
        if check.get("state") == "Rejected":
            text = f"admission check {check.get('name')} rejected the run in queue {queue}"
            return Cause("queue-blocked", text, (str(check.get("message", "")), *evidence), restart(seen))
    if is_true(workload, "Finished"):
        return Cause("queue-blocked", f"queue {queue} takes the run for finished", evidence, restart(seen))
    return None


def _waiting(seen: Observation, workload: Object, queue: str, look: Next) -> Cause:
    evidence = _messages(workload, "QuotaReserved", "Admitted", "Evicted", "BlockedOnPreemptionGates")
    checks = (workload.get("status") or {}).get("admissionChecks") or ()
    evidence += tuple(
        f"admission check {one.get('name')} {one.get('state')}: {one.get('message', '')}".rstrip(": ")
        for one in checks
        if one.get("state") != "Ready"
    )
    if is_true(workload, "Preempted") or is_true(workload, "Evicted"):
        because = words(Field.EVICTED, str((condition(workload, "Evicted") or {}).get("reason", "")))
        head = f"evicted by Kueue, waiting again in queue {queue}"
        evidence += (f"evicted: {because}",) if because else ()
    else:
        head = f"waiting in queue {queue}"
    places = ", ".join(f"position {place + 1} in {name}" for name, place in seen.position)
    reason = words(Field.QUOTA, str((condition(workload, "QuotaReserved") or {}).get("reason", "")))
    text = f"{head}{f', {places}' if places else ''}{f': {reason}' if reason else ''}"
    return Cause("queue", text, evidence, look)


def _messages(one: Object, *kinds: str) -> tuple[str, ...]:
    found = [condition(one, kind) for kind in kinds]
    return tuple(
        f"{c['type']} {c['status']}, {c.get('reason', '')}: {c.get('message', '')}".rstrip(": ") for c in found if c
    )

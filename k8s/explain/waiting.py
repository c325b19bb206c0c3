"""Rules for a run whose workers are not running yet, or cannot be replaced: queue, placement, container, node. Pure."""

import re

from k8s.explain import observation
from k8s.explain.cause import Cause, Rule
from k8s.explain.images import not_pulled
from k8s.explain.observation import (
    Object,
    Observation,
    condition,
    events_of,
    has_ended,
    in_words,
    instant,
    is_true,
    waiting,
    who,
)
from k8s.explain.refused import refused
from k8s.labels import CONFIG_MAP, OUT_OF_SERVICE_TAINT, QUEUE_LABEL
from k8s.planning import quantity
from k8s.planning.capacity import requests

NEAR_NODES = 3
TERMINATING_SLACK_SECONDS = 30.0
_GO_ON = """'{"spec":{"suspend":false}}'"""
_OUT_OF_SERVICE = f"{OUT_OF_SERVICE_TAINT}=nodeshutdown:NoExecute"


def _queue(seen: Observation) -> list[Cause]:
    """Held back by Kueue, or suspended without Kueue."""
    if seen.top is None or not observation.suspended(seen.top) or has_ended(seen):
        return []
    labels = seen.top["metadata"].get("labels") or {}
    queue = labels.get(QUEUE_LABEL, "")
    if seen.workload is None:
        if not queue:
            return [
                Cause(
                    "suspended",
                    "the run was suspended manually",
                    (),
                    f"kubectl patch {seen.top['kind'].lower()} {seen.name} --type=merge -p {_GO_ON}",
                )
            ]
        return [
            Cause("queue", f"waiting for Kueue to pick it up in queue {queue}", (), f"kubectl get localqueue {queue}")
        ]
    if (seen.workload.get("spec") or {}).get("active") is False:
        return [
            Cause(
                "queue-deactivated",
                f"Kueue deactivated the run in queue {queue}",
                _messages(seen.workload, "Evicted", "QuotaReserved"),
                f"catdog cancel {seen.name}, then catdog resume {seen.name}",
            )
        ]
    places = ", ".join(f"position {place + 1} in {name}" for name, place in seen.position)
    evidence = _messages(seen.workload, "QuotaReserved", "Admitted", "Evicted")
    reserved = condition(seen.workload, "QuotaReserved") or {}
    if reserved.get("reason") == "ExceedsMaxQuota" or any("maximum capacity" in line for line in evidence):
        return [
            Cause(
                "queue-never",
                f"queue {queue} can never admit this run: it requests more than the total quota",
                evidence,
                f"catdog cancel {seen.name}, then submit with fewer --gpus",
            )
        ]
    if is_true(seen.workload, "Preempted") or is_true(seen.workload, "Evicted"):
        head = f"evicted by Kueue, waiting again in queue {queue}"
    else:
        head = f"waiting in queue {queue}"
    return [
        Cause("queue", f"{head}{f', {places}' if places else ''}", evidence, f"kubectl describe localqueue {queue}")
    ]


def _unschedulable(seen: Observation) -> list[Cause]:
    stuck = []
    for pod in seen.pods:
        scheduled = condition(pod, "PodScheduled") or {}
        if scheduled.get("status") == "False" and scheduled.get("reason") in ("Unschedulable", "SchedulerError"):
            stuck.append((pod, str(scheduled.get("message", ""))))
    if not stuck:
        return []
    lacking = sorted({name for _, message in stuck for name in re.findall(r"Insufficient ([\w./-]+)", message)})
    other = sorted({reason for _, message in stuck for reason in _scheduler_reasons(message)})
    if lacking:
        cause = f"{len(stuck)} of {_workers(seen)} pods cannot be scheduled: not enough {', '.join(lacking)}"
    else:
        cause = f"{len(stuck)} of {_workers(seen)} pods cannot be scheduled: {'; '.join(other) or 'no node fits'}"
    evidence = [f"{who(stuck[0][0])}: {stuck[0][1]}", *_near_nodes(seen, stuck[0][0])]
    preemptor = [
        f"{in_words(event)}"
        for event in events_of(seen, "Pod", ("NotTriggerScaleUp", "TriggeredScaleUp", "FailedScaleUp"))
    ]
    command = (
        f"catdog cancel {seen.name}, then catdog resume {seen.name} with fewer --gpus"
        if lacking
        else "kubectl get nodes --show-labels"
    )
    return [Cause("unschedulable", cause, tuple(evidence + preemptor[:1]), command)]


def _scheduler_reasons(message: str) -> list[str]:
    """ "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {a: b}. preemption: …" split."""
    head = message.partition(":")[2].partition(". ")[0]
    return [part.strip(" .") for part in re.split(r", (?=\d+ )", head) if part.strip(" .")]


def _near_nodes(seen: Observation, pod: Object) -> list[str]:
    """The nodes that come closest to fitting the pod, and the resources they are short of."""
    if not seen.spaces:
        return []
    asked = requests(pod)
    lines = []
    for space in seen.spaces:
        amounts = space.free if space.free is not None else space.allocatable
        short = {
            name: amounts.get(name, quantity.ZERO)
            for name, much in asked.items()
            if amounts.get(name, quantity.ZERO) < much
        }
        kind = "in total" if space.free is None else "free"
        words = ", ".join(
            f"{name} {quantity.shown(has)} {kind}, {quantity.shown(asked[name])} requested"
            for name, has in short.items()
        )
        lines.append((len(short), f"{space.name}: {words or 'has room, but another scheduling rule excludes it'}"))
    return [line for _, line in sorted(lines)[:NEAR_NODES]]


def _gated(seen: Observation) -> list[Cause]:
    held = [pod for pod in seen.pods if (condition(pod, "PodScheduled") or {}).get("reason") == "SchedulingGated"]
    if not held:
        return []
    gates = sorted({str(gate["name"]) for pod in held for gate in (pod.get("spec") or {}).get("schedulingGates") or ()})
    return [
        Cause(
            "gated",
            f"{len(held)} of {_workers(seen)} pods are blocked by scheduling gates: {', '.join(gates)}",
            (),
            f"kubectl describe pod {held[0]['metadata']['name']}",
        )
    ]


def _not_created(seen: Observation) -> list[Cause]:
    """Scheduled, but the container cannot be created: volumes, Secrets, sandbox."""
    for pod in seen.pods:
        state = waiting(pod)
        reason = str(state.get("reason", ""))
        if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"):
            return [
                Cause(
                    "container",
                    f"the container cannot be created: {state.get('message', reason)}",
                    (f"{who(pod)}: {reason}",),
                    f"kubectl describe pod {pod['metadata']['name']}",
                )
            ]
        if observation.started(pod):
            continue
        for event in events_of(seen, "Pod", ("FailedMount", "FailedAttachVolume", "FailedMapVolume"), pod):
            return [
                Cause(
                    "mount",
                    f"a volume cannot be mounted on {(pod.get('spec') or {}).get('nodeName', 'the node')}",
                    (f"{who(pod)}: {in_words(event)}",),
                    f"check extraVolumes in the platform: kubectl get configmap {CONFIG_MAP} -o yaml",
                )
            ]
        for event in events_of(seen, "Pod", ("FailedCreatePodSandBox", "NetworkNotReady"), pod):
            return [
                Cause(
                    "sandbox",
                    f"node {(pod.get('spec') or {}).get('nodeName', '')} cannot set up the pod's network",
                    (f"{who(pod)}: {in_words(event)}",),
                    f"kubectl describe node {(pod.get('spec') or {}).get('nodeName', '')}",
                )
            ]
    return []


def _node_lost(seen: Observation) -> list[Cause]:
    """A pod that cannot be terminated because its node is not responding."""
    for pod in seen.pods:
        deleted = instant(pod["metadata"].get("deletionTimestamp"))
        if deleted is None or not observation.is_active(pod):
            continue
        node = (pod.get("spec") or {}).get("nodeName", "")
        late = (seen.now - deleted).total_seconds()
        silent = _silent(seen, node)
        if silent or late > TERMINATING_SLACK_SECONDS:
            cause = f"node {node} is not responding, and its pod cannot be replaced until the node is known to be down"
            evidence = [f"{who(pod)}: Terminating for {max(0, late):.0f} s beyond its grace period"]
            evidence += [silent] if silent else []
            return [
                Cause(
                    "node-lost",
                    cause,
                    tuple(evidence),
                    f"if the machine is powered off: kubectl taint node {node} {_OUT_OF_SERVICE}",
                )
            ]
    for pod in seen.pods:
        node = (pod.get("spec") or {}).get("nodeName", "")
        if observation.is_active(pod) and node and (silent := _silent(seen, node)):
            return [
                Cause(
                    "node-lost",
                    f"node {node} is not responding; its pod is evicted after a minute",
                    (who(pod), silent),
                    f"kubectl describe node {node}",
                )
            ]
    return []


def _silent(seen: Observation, node: str) -> str:
    for one in seen.nodes or ():
        ready = condition(one, "Ready") or {}
        if one["metadata"]["name"] == node and ready.get("status") == "Unknown":
            return f"node {node}: {ready.get('reason', 'NotReady')}: {ready.get('message', '')}".rstrip(": ")
    return ""


RULES: tuple[Rule, ...] = (_queue, refused, _unschedulable, _gated, not_pulled, _not_created, _node_lost)


def _workers(seen: Observation) -> int:
    return max(len(seen.pods), 1)


def _messages(one: Object, *kinds: str) -> tuple[str, ...]:
    found = [condition(one, kind) for kind in kinds]
    return tuple(
        f"{c['type']} {c['status']}, {c.get('reason', '')}: {c.get('message', '')}".rstrip(": ") for c in found if c
    )

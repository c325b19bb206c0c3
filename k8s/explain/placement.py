"""Rules for pods that no node has taken: too little room, labels, taints, gates, no scheduler. Pure."""

import re

from k8s.explain import observation
from k8s.explain.again import restart
from k8s.explain.cause import Cause
from k8s.explain.command import GAP, By, Next, helm, kubectl
from k8s.explain.observation import Object, Observation, age_of, condition, events_of, in_words, who
from k8s.planning import quantity
from k8s.planning.capacity import requests, untolerated

NEAR_NODES = 3
UNSEEN_SECONDS = 30.0
"""A scheduler looks at a new pod within a second; after this long there is none that does."""


def unscheduled(seen: Observation) -> list[Cause]:
    """The scheduler finds no node for pods of the run, or does not look at them."""
    stuck = []
    for pod in seen.pods:
        scheduled = condition(pod, "PodScheduled") or {}
        if scheduled.get("status") == "False" and scheduled.get("reason") != "SchedulingGated":
            stuck.append((pod, f"{scheduled.get('reason', '')}: {scheduled.get('message', '')}"))
    if not stuck:
        return _unseen(seen)
    lacking = sorted({name for _, message in stuck for name in re.findall(r"Insufficient ([\w./-]+)", message)})
    other = sorted({reason for _, message in stuck for reason in _scheduler_reasons(message)})
    head = f"{_of_workers(seen, len(stuck))} cannot be scheduled"
    cause = f"{head}: not enough {', '.join(lacking)}" if lacking else f"{head}: {'; '.join(other) or 'no node fits'}"
    first = stuck[0][0]
    evidence = [f"{who(pod)}: {message}" for pod, message in _one_each(stuck)]
    evidence += _taints(seen, first) + _near_nodes(seen, first)
    scaling = events_of(seen, "Pod", ("NotTriggerScaleUp", "TriggeredScaleUp", "FailedScaleUp"))
    evidence += [in_words(event) for event in scaling[:1]]
    if any("/" in name for name in lacking):  # devices, such as nvidia.com/gpu
        then: Next = (*restart(seen, "--gpus", GAP), ": as many as there is room for")
    elif lacking:
        then = (
            "wait for other pods to end, or let workers ask for less: ",
            helm(seen.typed, f"resources.{lacking[0]}={GAP}"),
        )
    elif "free ports" in cause:
        then = ("on the node's network (hostNetwork) a node takes one worker: wait until other runs end, or ",)
        then += (*restart(seen, "--gpus", GAP), ": for no more workers than nodes")
    elif "taint" in cause:
        then = _tolerate(seen, first)
    else:
        then = (kubectl(seen.typed, "get", "nodes", "--show-labels", by=_reader(seen)), _wanted(first))
    return [Cause("unschedulable", cause, tuple(evidence), then)]


def _one_each(stuck: list[tuple[Object, str]]) -> list[tuple[Object, str]]:
    """One pod for each message."""
    return list({message: (pod, message) for pod, message in reversed(stuck)}.values())[::-1]


def _unseen(seen: Observation) -> list[Cause]:
    if not observation.is_going(seen.top):
        return []
    waits = [
        pod
        for pod in seen.pods
        if observation.is_active(pod)
        and not (pod.get("spec") or {}).get("nodeName")
        and condition(pod, "PodScheduled") is None
        and (age_of(pod, seen.now) or 0.0) > UNSEEN_SECONDS
    ]
    if not waits:
        return []
    scheduler = (waits[0].get("spec") or {}).get("schedulerName", "default-scheduler")
    return [
        Cause(
            "unscheduled",
            f"no scheduler has looked at {_of_workers(seen, len(waits))}",
            (f"{who(waits[0])}: created {age_of(waits[0], seen.now) or 0:.0f} s ago, for the scheduler {scheduler}",),
            (
                kubectl(seen.typed, "get", "pods", "--all-namespaces", by=By.ADMIN),
                ", to see whether that scheduler runs",
            ),
        )
    ]


def gated(seen: Observation) -> list[Cause]:
    """Something else than the scheduler has to let the pods go on first."""
    stuck = [pod for pod in seen.pods if (condition(pod, "PodScheduled") or {}).get("reason") == "SchedulingGated"]
    if not stuck:
        return []
    gates = sorted(
        {str(gate["name"]) for pod in stuck for gate in (pod.get("spec") or {}).get("schedulingGates") or ()}
    )
    return [
        Cause(
            "gated",
            f"{_of_workers(seen, len(stuck))} are blocked by scheduling gates: {', '.join(gates)}",
            tuple(who(pod) for pod in stuck[:1]),
            (kubectl(seen.typed, "describe", "pod", str(stuck[0]["metadata"]["name"])),),
        )
    ]


def _of_workers(seen: Observation, count: int) -> str:
    return f"{count} of {max(observation.workers(seen), len(seen.pods), 1)} pods"


def _scheduler_reasons(message: str) -> list[str]:
    """ "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {a: b}. preemption: …" split."""
    head = message.partition("available:")[2].partition(". ")[0]
    return [part.strip(" .") for part in re.split(r", (?=\d+ )", head) if part.strip(" .")]


def _taints(seen: Observation, pod: Object) -> list[str]:
    """The taints that keep the pod off nodes: since 1.37 the scheduler no longer names them."""
    tolerations = (pod.get("spec") or {}).get("tolerations") or ()
    lines = []
    for node in seen.nodes or ():
        if found := untolerated(node, tolerations):
            lines.append(f"{node['metadata']['name']}: taint {', '.join(map(_taint, found))}")
    return lines[:NEAR_NODES]


def _taint(taint: Object) -> str:
    return f"{taint.get('key')}{'=' + str(taint['value']) if taint.get('value') else ''}:{taint.get('effect')}"


def _tolerate(seen: Observation, pod: Object) -> Next:
    tolerations = (pod.get("spec") or {}).get("tolerations") or ()
    keys = sorted({str(taint.get("key")) for node in seen.nodes or () for taint in untolerated(node, tolerations)})
    named = keys[0] if keys else GAP
    change = helm(seen.typed, f"tolerations[0].key={named}", "tolerations[0].operator=Exists")
    return ("if these nodes are meant for runs, tolerate the taint in the platform; ", change)


def _wanted(pod: Object) -> str:
    """The labels that the pod asks of a node."""
    wanted = (pod.get("spec") or {}).get("nodeSelector") or {}
    return f"; the pods need {', '.join(f'{key}={value}' for key, value in sorted(wanted.items()))}" if wanted else ""


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


def _reader(seen: Observation) -> By:
    """Who may read nodes: the submitter if the chart allows it, which was just tried."""
    return By.ADMIN if seen.nodes is None else By.YOU

"""Rules for pods that a node has taken, and that do not run yet or cannot be replaced. Pure."""

from k8s.explain import observation
from k8s.explain.cause import Cause, Rule
from k8s.explain.command import By, Next, catdog, kubectl
from k8s.explain.images import REASONS as IMAGE_REASONS
from k8s.explain.images import not_pulled
from k8s.explain.observation import Observation, age_of, condition, events_of, in_words, instant, waiting, who
from k8s.explain.placement import gated, unscheduled
from k8s.explain.queue import queued
from k8s.explain.refused import refused
from k8s.explain.states import TABLE, Field, words
from k8s.labels import CONFIG_MAP, OUT_OF_SERVICE_TAINT

TERMINATING_SLACK_SECONDS = 30.0
_OUT_OF_SERVICE = f"{OUT_OF_SERVICE_TAINT}=nodeshutdown:NoExecute"
_BEING_MADE = ("", *(one.value for one in TABLE if one.field is Field.WAITING and one.kind == "creating"))
_MOUNT, _SANDBOX, _DEVICE = (
    tuple(one.value for one in TABLE if one.field is Field.POD_EVENT and one.kind == kind)
    for kind in ("mount", "sandbox", "container")
)


def _not_made(seen: Observation) -> list[Cause]:
    """Scheduled, but the container cannot be created: volumes, Secrets, devices, sandbox."""
    for pod in seen.pods:
        state = waiting(pod)
        reason = str(state.get("reason", ""))
        describe = (kubectl(seen.typed, "describe", "pod", str(pod["metadata"]["name"])),)
        if reason not in (*_BEING_MADE, *IMAGE_REASONS):
            meaning = words(Field.WAITING, reason) or "the container cannot start"
            text = f"the container cannot be created: {state.get('message') or meaning}"
            return [Cause("container", text, (f"{who(pod)}: {reason}: {meaning}",), describe)]
        if observation.started(pod) or not observation.is_active(pod):
            continue
        node = (pod.get("spec") or {}).get("nodeName", "")
        for event in events_of(seen, "Pod", _MOUNT, pod):
            text = f"a volume cannot be mounted on {node or 'the node'}"
            then: Next = (
                "check extraVolumes in the platform: ",
                kubectl(seen.typed, "get", "configmap", CONFIG_MAP, "-o", "yaml"),
            )
            return [Cause("mount", text, (f"{who(pod)}: {in_words(event)}",), then)]
        for event in events_of(seen, "Pod", _SANDBOX, pod):
            text = f"node {node} cannot set up the pod's network"
            return [Cause("sandbox", text, (f"{who(pod)}: {in_words(event)}",), _look_at_node(seen, node))]
        for event in events_of(seen, "Pod", _DEVICE, pod):
            text = f"the container cannot be created: {words(Field.POD_EVENT, str(event.get('reason')))}"
            return [Cause("container", text, (f"{who(pod)}: {in_words(event)}",), describe)]
    return []


def being_made(seen: Observation) -> list[Cause]:
    """Containers that are being created, which is reported only if nothing else is found."""
    made = [
        pod
        for pod in seen.pods
        if observation.is_active(pod) and (pod.get("spec") or {}).get("nodeName") and not observation.started(pod)
    ]
    if not made or not observation.is_going(seen.top):
        return []
    count = f"{len(made)} of {max(observation.workers(seen), len(seen.pods))} containers"
    evidence = [
        f"{who(pod)}: {waiting(pod).get('reason') or 'no status yet'}{_for(age_of(pod, seen.now))}" for pod in made[:3]
    ]
    describe = kubectl(seen.typed, "describe", "pod", str(made[0]["metadata"]["name"]))
    return [Cause("creating", f"{count} are being created", tuple(evidence), (describe, " if that takes minutes"))]


def _for(seconds: float | None) -> str:
    return "" if seconds is None else f", {seconds:.0f} s after the pod was created"


def _node_lost(seen: Observation) -> list[Cause]:
    """A pod whose node is not responding, so that it may not terminate."""
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
            taint = kubectl(seen.typed, "taint", "node", node, _OUT_OF_SERVICE, by=By.ADMIN)
            return [Cause("node-lost", cause, tuple(evidence), ("if the machine is powered off, ", taint))]
    for pod in seen.pods:
        node = (pod.get("spec") or {}).get("nodeName", "")
        unknown = (pod.get("status") or {}).get("phase") == "Unknown"
        silent = _silent(seen, node) or ("its phase is Unknown" if unknown else "")
        if observation.is_active(pod) and node and silent:
            text = f"node {node} is not responding; its pod is evicted after a minute"
            return [Cause("node-lost", text, (who(pod), silent), _look_at_node(seen, node))]
    return []


def _look_at_node(seen: Observation, node: str) -> Next:
    """A submitter may read nodes if the chart allows it, which was just tried."""
    if seen.nodes is None:
        return (kubectl(seen.typed, "describe", "node", node, by=By.ADMIN),)
    return (kubectl(seen.typed, "get", "node", node, "-o", "wide"),)


def _silent(seen: Observation, node: str) -> str:
    for one in seen.nodes or ():
        ready = condition(one, "Ready") or {}
        if one["metadata"]["name"] == node and ready.get("status") in ("Unknown", "False"):
            return f"node {node}: {ready.get('reason', 'NotReady')}: {ready.get('message', '')}".rstrip(": ")
    return ""


def being_deleted(seen: Observation) -> list[Cause]:
    """The run's object is being deleted, and its pods have not gone yet."""
    if seen.top is None or not seen.top["metadata"].get("deletionTimestamp"):
        return []
    left = [who(pod) for pod in seen.pods if observation.is_active(pod)]
    text = "the run was cancelled, and its workers save and exit" if left else "the run was cancelled"
    return [
        Cause(
            "cancelled", text, tuple(left[:4]), (catdog(seen.typed, "status", seen.name), " shows when they are gone")
        )
    ]


RULES: tuple[Rule, ...] = (queued, refused, unscheduled, gated, not_pulled, _not_made, _node_lost)

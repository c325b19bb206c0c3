"""Why a run waits or has failed: states and events → cause, evidence, next command. Pure.

`explain` asks every rule in turn; a rule looks at a Snapshot and gives the causes it recognises. The most telling
comes first. A lost peer (75), and a failure that only the objects report, are told where no better cause is known.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from k8s import quantity, snapshot
from k8s.capacity import requests
from k8s.phase import Phase, phase_of, progress
from k8s.snapshot import Object, Snapshot, about, condition, instant, is_true, terminated, waiting, who
from trainer.exits import MEANING, NEVER_RETRIED, Exit

NEAR_NODES = 3
TERMINATING_SLACK_SECONDS = 30.0
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"


@dataclass(frozen=True)
class Cause:
    """One reason, what shows it, and what to type next. `kind` is a fixed word for machines."""

    kind: str
    cause: str
    evidence: tuple[str, ...] = ()
    next: str = ""


Rule = Callable[[Snapshot], list[Cause]]

_VAGUE = ("failed", "peer-lost")  # least telling first


def explain(seen: Snapshot) -> list[Cause]:
    """The causes that can be read from `seen`, most telling first; at least one line is always said."""
    found = [cause for rule in _RULES for cause in rule(seen)]
    for vague in _VAGUE:
        found = [cause for cause in found if cause.kind != vague] or found
    return found or [_calm(seen)]


def as_text(causes: Iterable[Cause]) -> str:
    """For people: cause, then indented evidence and next command."""
    lines = []
    for cause in causes:
        lines.append(cause.cause)
        lines += [f"  {line}" for line in cause.evidence]
        if cause.next:
            lines.append(f"  next: {cause.next}")
    return "\n".join(lines)


# --- waiting ---------------------------------------------------------------------------------------------------------


def _queue(seen: Snapshot) -> list[Cause]:
    """Held by Kueue, or suspended with no Kueue to let it go."""
    if not snapshot.suspended(seen.top) or _ended(seen):
        return []
    labels = (seen.top or {})["metadata"].get("labels") or {}
    queue = labels.get("kueue.x-k8s.io/queue-name", "")
    if seen.workload is None:
        if not queue:
            return [
                Cause(
                    "suspended",
                    "the run is suspended by hand",
                    (),
                    f"kubectl patch … suspend=false, or catdog cancel {seen.name}",
                )
            ]
        return [
            Cause("queue", f"waiting for Kueue to take it up in queue {queue}", (), f"kubectl get localqueue {queue}")
        ]
    if (seen.workload.get("spec") or {}).get("active") is False:
        return [
            Cause(
                "queue-deactivated",
                f"Kueue has deactivated the run in queue {queue}",
                _messages(seen.workload, "Evicted", "QuotaReserved"),
                f"catdog cancel {seen.name}, then catdog resume {seen.name}",
            )
        ]
    places = ", ".join(f"place {place + 1} in {name}" for name, place in seen.position)
    evidence = _messages(seen.workload, "QuotaReserved", "Admitted", "Evicted")
    reserved = condition(seen.workload, "QuotaReserved") or {}
    if reserved.get("reason") == "ExceedsMaxQuota" or any("maximum capacity" in line for line in evidence):
        return [
            Cause(
                "queue-never",
                f"queue {queue} can never hold this run: it asks for more than the whole quota",
                evidence,
                f"catdog cancel {seen.name}, then submit with fewer --gpus",
            )
        ]
    if is_true(seen.workload, "Preempted") or is_true(seen.workload, "Evicted"):
        head = f"stopped by Kueue, and waiting in queue {queue}"
    else:
        head = f"waiting in queue {queue}"
    return [
        Cause("queue", f"{head}{f', {places}' if places else ''}", evidence, f"kubectl describe localqueue {queue}")
    ]


def _unschedulable(seen: Snapshot) -> list[Cause]:
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
        cause = f"{len(stuck)} of {_workers(seen)} pods cannot be placed: not enough {', '.join(lacking)}"
    else:
        cause = f"{len(stuck)} of {_workers(seen)} pods cannot be placed: {'; '.join(other) or 'no node fits'}"
    evidence = [f"{who(stuck[0][0])}: {stuck[0][1]}", *_near_nodes(seen, stuck[0][0])]
    preemptor = [
        f"{_last(event)}" for event in _events(seen, "Pod", ("NotTriggerScaleUp", "TriggeredScaleUp", "FailedScaleUp"))
    ]
    command = (
        f"catdog cancel {seen.name}, then catdog resume {seen.name} with fewer --gpus"
        if lacking
        else "kubectl get nodes --show-labels"
    )
    return [Cause("unschedulable", cause, tuple(evidence + preemptor[:1]), command)]


def _scheduler_reasons(message: str) -> list[str]:
    """ "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {a: b}. preemption: …" cut up."""
    head = message.partition(":")[2].partition(". ")[0]
    return [part.strip(" .") for part in re.split(r", (?=\d+ )", head) if part.strip(" .")]


def _near_nodes(seen: Snapshot, pod: Object) -> list[str]:
    """The nodes that lack least of what the pod asks for, and what they lack."""
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
        kind = "in all" if space.free is None else "free"
        words = ", ".join(
            f"{name} {quantity.shown(has)} {kind}, {quantity.shown(asked[name])} asked" for name, has in short.items()
        )
        lines.append((len(short), f"{space.name}: {words or 'has room, but another rule keeps the pod away'}"))
    return [line for _, line in sorted(lines)[:NEAR_NODES]]


def _gated(seen: Snapshot) -> list[Cause]:
    held = [pod for pod in seen.pods if (condition(pod, "PodScheduled") or {}).get("reason") == "SchedulingGated"]
    if not held:
        return []
    gates = sorted({str(gate["name"]) for pod in held for gate in (pod.get("spec") or {}).get("schedulingGates") or ()})
    return [
        Cause(
            "gated",
            f"{len(held)} of {_workers(seen)} pods are held back by {', '.join(gates)}",
            (),
            f"kubectl describe pod {held[0]['metadata']['name']}",
        )
    ]


def _refused(seen: Snapshot) -> list[Cause]:
    """The controller may not create the pods, or the API refuses them."""
    if seen.pods or _ended(seen):
        return []
    for event in _events(
        seen,
        "",
        (
            "FailedCreate",
            "JobCreationFailed",
            "PodCreationFailed",
            "ReplicatedJobsCreationFailed",
            "HeadlessServiceCreationFailed",
        ),
    ):
        message = str(event.get("message", ""))
        for pattern, kind, cause, command in _REFUSALS:
            if re.search(pattern, message):
                return [Cause(kind, cause, (_last(event),), command)]
        return [Cause("create-failed", "the pods cannot be created", (_last(event),), f"catdog doctor {seen.name}")]
    return []


_REFUSALS = (
    (r"exceeded quota", "quota", "a ResourceQuota of the namespace is used up", "kubectl describe resourcequota"),
    (
        r"must specify .* for",
        "quota",
        "a ResourceQuota wants requests that the pods do not have",
        "kubectl describe resourcequota",
    ),
    (
        r"violates PodSecurity",
        "policy",
        "the namespace's Pod Security level refuses the pods: see extraVolumes of the platform",
        "kubectl get namespace --show-labels",
    ),
    (
        r"admission webhook .* denied|denied the request|ValidatingAdmissionPolicy",
        "policy",
        "a policy of the cluster refuses the pods",
        "ask the cluster's administrators about the policy named here",
    ),
    (
        r"(?i)serviceaccount .*not found|error looking up service account",
        "service-account",
        "the ServiceAccount of the workers is not there",
        "helm upgrade --install catdog …, or --service-account NAME",
    ),
    (
        r"no PriorityClass|PriorityClass .*not found",
        "priority-class",
        "the PriorityClass is not there",
        "kubectl get priorityclass",
    ),
    (r"forbidden", "policy", "the cluster refuses the pods", "kubectl describe the object named here"),
)


def _image(seen: Snapshot) -> list[Cause]:
    for pod in seen.pods:
        reason = str(waiting(pod).get("reason", ""))
        if reason not in (
            "ErrImagePull",
            "ImagePullBackOff",
            "InvalidImageName",
            "ErrImageNeverPull",
            "ImageInspectError",
            "RegistryUnavailable",
        ):
            continue
        image = _image_of(pod)
        evidence = [f"{who(pod)}: {reason}: {waiting(pod).get('message', '')}".rstrip(": ")]
        evidence += [_last(event) for event in _events(seen, "Pod", ("Failed",), pod)[:1]]
        text = " ".join(evidence)
        if re.search(r"(?i)not found|manifest unknown|name unknown|does not exist", text):
            why, command = "there is no such image", "--image REPOSITORY:TAG with a tag that was pushed"
        elif re.search(r"(?i)unauthorized|denied|forbidden|authentication|401|403", text):
            why, command = "the registry refuses the node", "helm upgrade catdog … --set 'imagePullSecrets={NAME}'"
        elif reason == "InvalidImageName":
            why, command = "that is no image name", "--image REPOSITORY:TAG"
        elif reason == "ErrImageNeverPull":
            why, command = (
                "the node does not have it, and imagePullPolicy is Never",
                "load it onto the node, or helm upgrade catdog … --set imagePullPolicy=IfNotPresent",
            )
        else:
            why, command = "the pull fails", f"kubectl describe pod {pod['metadata']['name']}"
        return [Cause("image", f"image {image} cannot be pulled: {why}", tuple(evidence), command)]
    return []


def _not_created(seen: Snapshot) -> list[Cause]:
    """Placed, but the container cannot be made: volumes, secrets, sandbox."""
    for pod in seen.pods:
        state = waiting(pod)
        reason = str(state.get("reason", ""))
        if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"):
            return [
                Cause(
                    "container",
                    f"the container cannot be made: {state.get('message', reason)}",
                    (f"{who(pod)}: {reason}",),
                    f"kubectl describe pod {pod['metadata']['name']}",
                )
            ]
        if snapshot.started(pod):
            continue
        for event in _events(seen, "Pod", ("FailedMount", "FailedAttachVolume", "FailedMapVolume"), pod):
            return [
                Cause(
                    "mount",
                    f"a volume cannot be mounted on {(pod.get('spec') or {}).get('nodeName', 'the node')}",
                    (f"{who(pod)}: {_last(event)}",),
                    "check extraVolumes of the platform: kubectl get configmap catdog-platform -o yaml",
                )
            ]
        for event in _events(seen, "Pod", ("FailedCreatePodSandBox", "NetworkNotReady"), pod):
            return [
                Cause(
                    "sandbox",
                    f"node {(pod.get('spec') or {}).get('nodeName', '')} cannot set up the pod's network",
                    (f"{who(pod)}: {_last(event)}",),
                    f"kubectl describe node {(pod.get('spec') or {}).get('nodeName', '')}",
                )
            ]
    return []


def _pulling(seen: Snapshot) -> list[Cause]:
    for pod in seen.pods:
        if waiting(pod).get("reason") == "ContainerCreating":
            events = _events(seen, "Pod", ("Pulling",), pod)
            pulled = _events(seen, "Pod", ("Pulled",), pod)
            if events and not pulled:
                return [
                    Cause("pulling", f"image {_image_of(pod)} is being pulled", (f"{who(pod)}: {_last(events[0])}",))
                ]
    return []


def _node_lost(seen: Snapshot) -> list[Cause]:
    """A pod that cannot be ended because its node does not answer."""
    for pod in seen.pods:
        deleted = instant(pod["metadata"].get("deletionTimestamp"))
        if deleted is None or not snapshot.is_active(pod):
            continue
        node = (pod.get("spec") or {}).get("nodeName", "")
        late = (seen.now - deleted).total_seconds()
        silent = _silent(seen, node)
        if silent or late > TERMINATING_SLACK_SECONDS:
            cause = f"node {node} does not answer, and its pod cannot be replaced until it is known to be dead"
            evidence = [f"{who(pod)}: has been Terminating for {max(0, late):.0f} s beyond its grace period"]
            evidence += [silent] if silent else []
            return [
                Cause(
                    "node-lost",
                    cause,
                    tuple(evidence),
                    f"if the machine is off: kubectl taint node {node} {_OUT_OF_SERVICE}",
                )
            ]
    for pod in seen.pods:
        node = (pod.get("spec") or {}).get("nodeName", "")
        if snapshot.is_active(pod) and node and (silent := _silent(seen, node)):
            return [
                Cause(
                    "node-lost",
                    f"node {node} does not answer; its pod is given up after a minute",
                    (who(pod), silent),
                    f"kubectl describe node {node}",
                )
            ]
    return []


def _silent(seen: Snapshot, node: str) -> str:
    for one in seen.nodes or ():
        ready = condition(one, "Ready") or {}
        if one["metadata"]["name"] == node and ready.get("status") == "Unknown":
            return f"node {node}: {ready.get('reason', 'NotReady')}: {ready.get('message', '')}".rstrip(": ")
    return ""


# --- ended -----------------------------------------------------------------------------------------------------------

_DISRUPTIONS = {
    "PreemptionByScheduler": ("preempted", "a pod of higher priority took its place"),
    "EvictionByEvictionAPI": ("evicted", "it was evicted: a drain, or an autoscaler that removes the node"),
    "DeletionByTaintManager": ("evicted", "its node got a taint that it does not tolerate"),
    "DeletionByPodGC": ("node-lost", "its node is gone"),
    "TerminationByKubelet": ("evicted", "its node was short of something or shut down"),
}


def _disrupted(seen: Snapshot) -> list[Cause]:
    for pod in seen.pods:
        found = condition(pod, "DisruptionTarget") or {}
        if found.get("status") == "True":
            kind, words = _DISRUPTIONS.get(str(found.get("reason")), ("evicted", "it was disrupted"))
            evidence = f"{who(pod)}: {found.get('reason')}: {found.get('message', '')}".rstrip(": ")
            return [
                Cause(
                    kind,
                    f"a worker was stopped by the cluster: {words}; this is not counted",
                    (evidence,),
                    f"catdog status {seen.name}: the run goes on by itself",
                )
            ]
        if (pod.get("status") or {}).get("reason") == "Evicted":
            message = str(pod["status"].get("message", ""))
            if re.search(
                r"(?i)exceeds the (total )?limit|exceeded its local ephemeral storage limit|Usage of EmptyDir", message
            ):
                return [
                    Cause(
                        "storage-limit",
                        "a worker wrote more to /tmp than it may",
                        (f"{who(pod)}: {message}",),
                        "helm upgrade catdog … --set resources.ephemeralStorage=20Gi, then catdog resume " + seen.name,
                    )
                ]
            return [
                Cause(
                    "evicted",
                    "a worker was evicted by its node",
                    (f"{who(pod)}: {message}",),
                    f"kubectl describe node {(pod.get('spec') or {}).get('nodeName', '')}",
                )
            ]
    return []


def _out_of_memory(seen: Snapshot) -> list[Cause]:
    for pod in seen.pods:
        if terminated(pod).get("reason") == "OOMKilled":
            limit = _limit(pod, "memory")
            return [
                Cause(
                    "memory",
                    f"a worker needed more memory than its limit, {limit}",
                    (f"{who(pod)}: OOMKilled, exit code {terminated(pod).get('exitCode')}",),
                    "helm upgrade catdog … --set resources.memory=…, or a smaller --cache-memory; then catdog resume "
                    + seen.name,
                )
            ]
    return []


def _exit_codes(seen: Snapshot) -> list[Cause]:
    """The trainer's own codes, with its last words; and what a container runtime reports for a signal."""
    causes = []
    for pod in sorted(seen.pods, key=lambda one: str(terminated(one).get("finishedAt", ""))):
        code = terminated(pod).get("exitCode")
        if code in (None, 0, int(Exit.TERMINATED)) or terminated(pod).get("reason") == "OOMKilled":
            continue
        causes.append(
            _of_exit(seen, int(code), last_words(str(terminated(pod).get("message", "")), int(code)), who(pod))
        )
    return causes


def last_words(message: str, code: int) -> str:
    """The trainer's reason in a termination message, "CODE MEANING: REASON" or "CODE: REASON"; or the log's tail."""
    meaning = MEANING.get(Exit(code), "") if code in Exit._value2member_map_ else ""
    for prefix in (f"{code} {meaning}: ", f"{code}: "):
        if message.startswith(prefix):
            return message[len(prefix) :].strip()
    lines = [line for line in message.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _of_exit(seen: Snapshot, code: int, words: str, source: str) -> Cause:
    kind, command = _EXIT_NEXT.get(code, ("exit", "catdog logs {name}"))
    meaning = MEANING.get(Exit(code), "") if code in Exit._value2member_map_ else _SIGNALS.get(code, "")
    final = " (not retried)" if code in {int(one) for one in NEVER_RETRIED} else ""
    cause = f"exit code {code}{f', {meaning}' if meaning else ''}{final}"
    return Cause(kind, f"{cause}: {words}" if words else cause, (source,), command.format(name=seen.name))


_SIGNALS = {
    1: "an error outside catdog",
    127: "the image has no such program",
    134: "it aborted (SIGABRT)",
    137: "it was killed (SIGKILL)",
    139: "it crashed (SIGSEGV)",
}
_EXIT_NEXT: Mapping[int, tuple[str, str]] = {
    2: ("usage", "use the same version of catdog here and in the image"),
    64: ("bad-option", "catdog submit again with that option mended"),
    65: ("bad-data", "mend the data set, then catdog resume {name}"),
    66: ("input-missing", "catdog submit again with --data URI of a data set that is there"),
    69: (
        "rendezvous",
        "catdog why {name} while it runs tells which pod is missing; --rendezvous-timeout gives it longer",
    ),
    70: ("bug", "catdog doctor {name}, and report it"),
    73: ("run-refused", "catdog submit with another --name, or --force-resume"),
    74: ("storage", "catdog resume {name}"),
    75: ("peer-lost", "catdog logs {name}"),
    76: ("stalled", "catdog resume {name}; --stall-timeout gives a step longer"),
    77: ("no-permission", "give the workers' service account the role named here, then catdog resume {name}"),
    78: ("no-accelerator", "check driver and device plugin of the node, and that the image is the CUDA variant"),
    80: ("diverged", "catdog submit with a lower --learning-rate, or --clip-norm"),
    127: ("image", "--image with an image made from catdog's Dockerfile"),
    137: ("killed", "catdog logs {name}; a node that is short of memory kills without a limit being reached"),
}


def _job_failed(seen: Snapshot) -> list[Cause]:
    """What the objects themselves say, where no pod is left to tell more."""
    for one in (*seen.jobs, seen.top):
        found = condition(one, "Failed") or {}
        if one is None or found.get("status") != "True":
            continue
        reason, message = str(found.get("reason", "")), str(found.get("message", ""))
        evidence = (f"{one.get('kind', 'object')} {one['metadata']['name']}: {reason}: {message}".rstrip(": "),)
        code = re.search(r"failed with exit code (\d+)", message)
        if code is not None:
            return [_of_exit(seen, int(code[1]), _state_reason(seen), evidence[0])]
        if "DeadlineExceeded" in reason or "DeadlineExceeded" in message:
            return [
                Cause(
                    "deadline",
                    "one attempt took longer than activeDeadlineSeconds",
                    evidence,
                    f"catdog resume {seen.name}",
                )
            ]
        if reason in (
            "BackoffLimitExceeded",
            "FailedIndexes",
            "MaxFailedIndexesExceeded",
            "ReachedMaxRestarts",
            "FailedJobs",
        ):
            return [
                Cause(
                    "restarts",
                    f"it failed more often than --max-restarts allows{_because(seen)}",
                    evidence,
                    f"catdog logs {seen.name}; then catdog resume {seen.name}",
                )
            ]
        return [Cause("failed", f"it failed{_because(seen)}", evidence, f"catdog doctor {seen.name}")]
    return []


def _state_failed(seen: Snapshot) -> list[Cause]:
    state = seen.state or {}
    if state.get("state") != "failed" or state.get("exit_code") is None:
        return []
    if seen.top is not None and not snapshot.failed(seen.top):
        return []  # of an attempt before this one
    return [
        _of_exit(
            seen,
            int(state["exit_code"]),
            str(state.get("reason", "")),
            f"state.json, rank {state.get('rank', 0)}, {state.get('updated', '')}",
        )
    ]


def _state_reason(seen: Snapshot) -> str:
    state = seen.state or {}
    return str(state.get("reason", "")) if state.get("state") == "failed" else ""


def _because(seen: Snapshot) -> str:
    reason = _state_reason(seen)
    return f": {reason}" if reason else ""


_RULES: tuple[Rule, ...] = (
    _queue,
    _refused,
    _unschedulable,
    _gated,
    _image,
    _not_created,
    _node_lost,
    _out_of_memory,
    _disrupted,
    _exit_codes,
    _job_failed,
    _state_failed,
    _pulling,
)


def _calm(seen: Snapshot) -> Cause:
    phase = phase_of(seen)
    where = progress(seen.state)
    words = {
        None: f"there is no run called {seen.name}",
        Phase.SUCCEEDED: "it has succeeded",
        Phase.RUNNING: f"nothing is wrong: it trains{f' ({where})' if where else ''}",
        Phase.STARTING: "nothing is wrong yet: the workers start, and wait for each other",
        Phase.PENDING: "nothing is known yet: the pods are being made",
        Phase.CANCELLED: "it was cancelled",
        Phase.PREEMPTED: "it was stopped by SIGTERM, with its state saved",
        Phase.LOST: "state.json says that it runs, but there is no pod, and no heartbeat",
    }.get(phase, str(phase))
    command = f"catdog resume {seen.name}" if phase in (Phase.CANCELLED, Phase.PREEMPTED, Phase.LOST) else ""
    return Cause(str(phase or "unknown"), words, (), command)


def _ended(seen: Snapshot) -> bool:
    return snapshot.succeeded(seen.top) or snapshot.failed(seen.top)


def _workers(seen: Snapshot) -> int:
    return max(len(seen.pods), 1)


def _events(seen: Snapshot, kind: str, reasons: tuple[str, ...], pod: Object | None = None) -> list[Object]:
    """Events of these reasons, newest first; about one pod where it is given."""
    name = None if pod is None else f"Pod/{pod['metadata']['name']}"
    found = [
        event
        for event in seen.events
        if event.get("reason") in reasons and about(event).startswith(kind) and (name is None or about(event) == name)
    ]
    return sorted(found, key=snapshot.event_time, reverse=True)


def _last(event: Object) -> str:
    return f"{event.get('reason')}: {event.get('message', '')}".strip()


def _messages(one: Object, *kinds: str) -> tuple[str, ...]:
    found = [condition(one, kind) for kind in kinds]
    return tuple(
        f"{c['type']} {c['status']}, {c.get('reason', '')}: {c.get('message', '')}".rstrip(": ") for c in found if c
    )


def _image_of(pod: Object) -> str:
    return str((pod.get("spec") or {}).get("containers", [{}])[0].get("image", ""))


def _limit(pod: Object, name: str) -> str:
    containers = (pod.get("spec") or {}).get("containers") or [{}]
    return str(((containers[0].get("resources") or {}).get("limits") or {}).get(name, "not set"))


def age(since: datetime, now: datetime) -> str:
    """Time passed, for people: 42s, 7m, 3h12m, 2d4h."""
    seconds = max(0, int((now - since).total_seconds()))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds % 3600 // 60}m"
    return f"{seconds // 86400}d{seconds % 86400 // 3600}h"

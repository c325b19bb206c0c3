"""Rules for a run with a worker that was stopped or has exited: disruptions, exit codes, object conditions. Pure."""

import re
from collections.abc import Mapping

from k8s.explain import observation
from k8s.explain.cause import Cause, Rule
from k8s.explain.observation import Object, Observation, condition, terminated, who
from trainer.contract import STATE, State
from trainer.exits import MEANING, NEVER_RETRIED, Exit

_DISRUPTIONS = {
    "PreemptionByScheduler": ("preempted", "preempted by a pod with higher priority"),
    "EvictionByEvictionAPI": ("evicted", "evicted by a node drain, or by an autoscaler removing the node"),
    "DeletionByTaintManager": ("evicted", "its node has a taint that it does not tolerate"),
    "DeletionByPodGC": ("node-lost", "its node no longer exists"),
    "TerminationByKubelet": ("evicted", "its node ran low on resources or shut down"),
}


def _disrupted(seen: Observation) -> list[Cause]:
    for pod in seen.pods:
        found = condition(pod, "DisruptionTarget") or {}
        if found.get("status") == "True":
            kind, words = _DISRUPTIONS.get(str(found.get("reason")), ("evicted", "the pod was disrupted"))
            evidence = f"{who(pod)}: {found.get('reason')}: {found.get('message', '')}".rstrip(": ")
            return [
                Cause(
                    kind,
                    f"the cluster stopped a worker: {words}; this does not count against --max-restarts",
                    (evidence,),
                    f"catdog status {seen.name}; the run continues by itself",
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
                        "a worker wrote more to /tmp than its limit allows",
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


def _out_of_memory(seen: Observation) -> list[Cause]:
    for pod in seen.pods:
        if terminated(pod).get("reason") == "OOMKilled":
            limit = _limit(pod, "memory")
            return [
                Cause(
                    "memory",
                    f"a worker used more memory than its limit, {limit}",
                    (f"{who(pod)}: OOMKilled, exit code {terminated(pod).get('exitCode')}",),
                    "helm upgrade catdog … --set resources.memory=…, or lower --cache-memory; then catdog resume "
                    + seen.name,
                )
            ]
    return []


def _exit_codes(seen: Observation) -> list[Cause]:
    """The trainer's exit codes, with its last message; and the codes a container runtime reports for signals."""
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
    """The trainer's reason in a termination message, "CODE MEANING: REASON" or "CODE: REASON"; or the last log line."""
    meaning = MEANING.get(Exit(code), "") if code in Exit._value2member_map_ else ""
    for prefix in (f"{code} {meaning}: ", f"{code}: "):
        if message.startswith(prefix):
            return message[len(prefix) :].strip()
    lines = [line for line in message.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _of_exit(seen: Observation, code: int, words: str, source: str) -> Cause:
    kind, command = _EXIT_NEXT.get(code, ("exit", "catdog logs {name}"))
    meaning = MEANING.get(Exit(code), "") if code in Exit._value2member_map_ else _SIGNALS.get(code, "")
    final = " (not retried)" if code in {int(one) for one in NEVER_RETRIED} else ""
    cause = f"exit code {code}{f', {meaning}' if meaning else ''}{final}"
    return Cause(kind, f"{cause}: {words}" if words else cause, (source,), command.format(name=seen.name))


_SIGNALS = {
    1: "an error outside catdog",
    127: "command not found in the image",
    134: "aborted (SIGABRT)",
    137: "killed (SIGKILL)",
    139: "crashed (SIGSEGV)",
}
_EXIT_NEXT: Mapping[int, tuple[str, str]] = {
    2: ("usage", "use the same version of catdog here and in the image"),
    64: ("bad-option", "fix the option and run catdog submit again"),
    65: ("bad-data", "fix the data set, then catdog resume {name}"),
    66: ("input-missing", "catdog submit again with the --data URI of an existing data set"),
    69: (
        "rendezvous",
        "catdog why {name} while it is running shows which pod is missing; raise --rendezvous-timeout to wait longer",
    ),
    70: ("bug", "catdog doctor {name}, then report the bug"),
    73: ("run-refused", "catdog submit with another --name, or with --force-resume"),
    74: ("storage", "catdog resume {name}"),
    75: ("peer-lost", "catdog logs {name}"),
    76: ("stalled", "catdog resume {name}; raise --stall-timeout if steps take longer"),
    77: ("no-permission", "grant the workers' service account the role named above, then catdog resume {name}"),
    78: ("no-accelerator", "check the node's driver and device plugin, and that the image is the CUDA variant"),
    80: ("diverged", "catdog submit with a lower --learning-rate, or with --clip-norm"),
    127: ("image", "set --image to an image built from catdog's Dockerfile"),
    137: ("killed", "catdog logs {name}; a node that runs out of memory kills containers even below their limits"),
}


def _job_failed(seen: Observation) -> list[Cause]:
    """The failure that the objects report, when no pod is left with more detail."""
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
                    f"the run failed more often than --max-restarts allows{_because(seen)}",
                    evidence,
                    f"catdog logs {seen.name}; then catdog resume {seen.name}",
                )
            ]
        return [Cause("failed", f"the run failed{_because(seen)}", evidence, f"catdog doctor {seen.name}")]
    return []


def _state_failed(seen: Observation) -> list[Cause]:
    state = seen.state or {}
    if state.get("state") != State.FAILED or state.get("exit_code") is None:
        return []
    if seen.top is not None and not observation.failed(seen.top):
        return []  # from an earlier attempt
    return [
        _of_exit(
            seen,
            int(state["exit_code"]),
            str(state.get("reason", "")),
            f"{STATE}, rank {state.get('rank', 0)}, {state.get('updated', '')}",
        )
    ]


def _state_reason(seen: Observation) -> str:
    state = seen.state or {}
    return str(state.get("reason", "")) if state.get("state") == State.FAILED else ""


def _because(seen: Observation) -> str:
    reason = _state_reason(seen)
    return f": {reason}" if reason else ""


RULES: tuple[Rule, ...] = (_out_of_memory, _disrupted, _exit_codes, _job_failed, _state_failed)


def _limit(pod: Object, name: str) -> str:
    resources = observation.container_spec(pod).get("resources") or {}
    return str((resources.get("limits") or {}).get(name, "not set"))

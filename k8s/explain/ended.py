"""Rules for a run with a worker that was stopped or has exited: disruptions, exit codes, object conditions. Pure."""

import re

from k8s.explain import observation
from k8s.explain.again import restart, resume
from k8s.explain.cause import Cause, Rule
from k8s.explain.codes import meaning_of, then_of
from k8s.explain.command import GAP, By, Next, catdog, helm, kubectl
from k8s.explain.observation import Object, Observation, condition, is_true, terminated, who
from k8s.explain.phase import telling_pods
from k8s.explain.states import Field, held, words
from trainer.contract import STATE, State
from trainer.exits import NEVER_RETRIED, Exit

_DISK = r"(?i)exceeds the (total )?limit|exceeded its local ephemeral storage limit|Usage of EmptyDir"


def _disrupted(seen: Observation) -> list[Cause]:
    for pod in telling_pods(seen):
        found = condition(pod, "DisruptionTarget") or {}
        if found.get("status") == "True":
            row = held(Field.DISRUPTED, str(found.get("reason")))
            kind, meaning = (row.kind, row.words) if row else ("evicted", "the pod was disrupted")
            evidence = f"{who(pod)}: {found.get('reason')}: {found.get('message', '')}".rstrip(": ")
            text = f"the cluster stopped a worker: {meaning}; this does not count against --max-restarts"
            return [Cause(kind, text, (evidence,), _goes_on(seen))]
    return []


def _goes_on(seen: Observation) -> Next:
    if seen.top is None or observation.has_ended(seen):
        return resume(seen)
    return (catdog(seen.typed, "status", seen.name), "; the run continues by itself")


def _stopped_by_node(seen: Observation) -> list[Cause]:
    """Pods that failed with a reason of their own: evicted, or never admitted by their node."""
    for pod in telling_pods(seen):
        status = pod.get("status") or {}
        reason, message = str(status.get("reason") or ""), str(status.get("message", ""))
        if status.get("phase") != "Failed" or not reason or is_true(pod, "DisruptionTarget"):
            continue
        evidence = (f"{who(pod)}: {reason}: {message}".rstrip(": "),)
        if reason == "Evicted" and re.search(_DISK, message):
            then: Next = (helm(seen.typed, f"resources.ephemeralStorage={GAP}"), ", then ", *restart(seen))
            return [Cause("storage-limit", "a worker wrote more to /tmp than its limit allows", evidence, then)]
        node = str((pod.get("spec") or {}).get("nodeName", ""))
        look: Next = (kubectl(seen.typed, "describe", "node", node, by=By.ADMIN),) if node else _goes_on(seen)
        if reason == "Evicted":
            return [Cause("evicted", "a worker was evicted by its node", evidence, look)]
        row = held(Field.POD_REASON, reason)
        kind = row.kind if row else "rejected"
        text = f"node {node or 'of a worker'} did not run its pod: {row.words if row else reason}"
        if kind == "deadline":
            return [Cause(kind, f"a worker was stopped: {row.words if row else reason}", evidence, restart(seen))]
        return [Cause(kind, text, evidence, look)]
    return []


def _out_of_memory(seen: Observation) -> list[Cause]:
    for pod in telling_pods(seen):
        if terminated(pod).get("reason") == "OOMKilled":
            then: Next = (
                helm(seen.typed, f"resources.memory={GAP}"),
                ", or a lower --cache-memory; then ",
                *restart(seen),
            )
            return [
                Cause(
                    "memory",
                    f"a worker used more memory than its limit, {_limit(pod, 'memory')}",
                    (f"{who(pod)}: OOMKilled, exit code {terminated(pod).get('exitCode')}",),
                    then,
                )
            ]
    return []


def _not_started(seen: Observation) -> list[Cause]:
    """Containers that ended without having run, or whose end nobody saw."""
    for pod in telling_pods(seen):
        ended = terminated(pod)
        row = held(Field.TERMINATED, str(ended.get("reason")))
        if row is None or row.kind not in ("container", "node-lost"):
            continue
        describe = kubectl(seen.typed, "describe", "pod", str(pod["metadata"]["name"]))
        text = f"a worker's container: {row.words}"
        evidence = f"{who(pod)}: {ended.get('reason')}: {ended.get('message', '')}".rstrip(": ")
        return [Cause(row.kind, text, (evidence,), (describe,))]
    return []


def _exit_codes(seen: Observation) -> list[Cause]:
    """The trainer's exit codes, with its last message; and the codes a container runtime reports for signals."""
    causes = []
    for pod in sorted(telling_pods(seen), key=lambda one: str(terminated(one).get("finishedAt", ""))):
        code, reason = terminated(pod).get("exitCode"), str(terminated(pod).get("reason"))
        if code in (None, 0, int(Exit.TERMINATED)) or reason == "OOMKilled" or _told_otherwise(reason):
            continue
        last = last_words(str(terminated(pod).get("message", "")), int(code))
        source = who(pod) if reason in ("Error", "None") else f"{who(pod)}: {reason}"
        causes.append(_of_exit(seen, int(code), last, source))
    return causes


def _told_otherwise(reason: str) -> bool:
    row = held(Field.TERMINATED, reason)
    return row is not None and row.kind in ("container", "node-lost")


def last_words(message: str, code: int) -> str:
    """The trainer's reason in a termination message, "CODE MEANING: REASON" or "CODE: REASON"; or the last log line."""
    for prefix in (f"{code} {meaning_of(code)}: ", f"{code}: "):
        if message.startswith(prefix):
            return message[len(prefix) :].strip()
    lines = [line for line in message.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _of_exit(seen: Observation, code: int, words: str, source: str) -> Cause:
    kind, then = then_of(code, seen)
    meaning = meaning_of(code)
    final = " (not retried)" if code in {int(one) for one in NEVER_RETRIED} else ""
    cause = f"exit code {code}{f', {meaning}' if meaning else ''}{final}"
    return Cause(kind, f"{cause}: {words}" if words else cause, (source,), then)


def _job_failed(seen: Observation) -> list[Cause]:
    """The failure that the objects report, when no pod is left with more detail."""
    for one in (*seen.jobs, seen.top):
        kind = next((kind for kind in ("Failed", "FailureTarget") if is_true(one, kind)), "")
        if one is None or not kind:
            continue
        found = condition(one, kind) or {}
        reason, message = str(found.get("reason", "")), str(found.get("message", ""))
        evidence = (f"{one.get('kind', 'object')} {one['metadata']['name']}: {reason}: {message}".rstrip(": "),)
        code = re.search(r"failed with exit code (\d+)", message)
        if code is not None:
            return [_of_exit(seen, int(code[1]), _state_reason(seen), evidence[0])]
        if "DeadlineExceeded" in reason or "DeadlineExceeded" in message:
            return [Cause("deadline", "one attempt took longer than activeDeadlineSeconds", evidence, restart(seen))]
        row = held(Field.JOB_FAILED, reason) or held(Field.JOBSET_FAILED, reason)
        if row is not None and row.kind == "restarts":
            then: Next = (catdog(seen.typed, "logs", seen.name), "; then ", *restart(seen))
            text = f"the run failed more often than --max-restarts allows{_because(seen)}"
            return [Cause("restarts", text, evidence, then)]
        look = (catdog(seen.typed, "doctor", seen.name),)
        meaning = f": {row.words}" if row is not None else ""
        return [Cause("failed", f"the run failed{_because(seen) or meaning}", evidence, look)]
    return []


def _state_failed(seen: Observation) -> list[Cause]:
    """What the run itself says, unless that is of an attempt before the workers that are there now."""
    state = seen.state or {}
    if state.get("state") != State.FAILED or not isinstance(state.get("exit_code"), int):
        return []
    if seen.top is not None and not observation.failed(seen.top) and not observation.is_of_these(seen):
        return []
    source = f"{STATE}, rank {state.get('rank', 0)}, {state.get('updated', '')}"
    return [_of_exit(seen, int(state["exit_code"]), str(state.get("reason", "")), source)]


def _state_reason(seen: Observation) -> str:
    state = seen.state or {}
    return str(state.get("reason", "")) if state.get("state") == State.FAILED else ""


def _because(seen: Observation) -> str:
    reason = _state_reason(seen)
    return f": {reason}" if reason else ""


def restarting(seen: Observation) -> list[Cause]:
    """The JobSet replaces all its workers: reported only if no cause is known."""
    found = condition(seen.top, "RestartingJobSet") or {}
    if found.get("status") != "True" or not observation.is_going(seen.top):
        return []
    evidence = f"{found.get('reason', '')}: {found.get('message', '')}".strip(": ")
    look = (catdog(seen.typed, "logs", seen.name),)
    return [Cause("restarting", words(Field.JOBSET, "RestartingJobSet"), (evidence,), look)]


RULES: tuple[Rule, ...] = (
    _out_of_memory,
    _disrupted,
    _stopped_by_node,
    _not_started,
    _exit_codes,
    _job_failed,
    _state_failed,
)


def _limit(pod: Object, name: str) -> str:
    resources = observation.container_spec(pod).get("resources") or {}
    return str((resources.get("limits") or {}).get(name, "not set"))

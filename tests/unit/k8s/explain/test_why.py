import re

import pytest

from k8s.explain.cause import as_text
from k8s.explain.ended import last_words
from k8s.explain.observation import Observation
from k8s.explain.why import explain
from k8s.planning.capacity import spaces
from tests.unit.k8s.explain.sightings import Object, condition, ended, event, pod, running, seen, state, top, waiting
from trainer.exits import MEANING, NEVER_RETRIED, Exit


def node(name: str, ready: str = "True", gpus: str = "1") -> Object:
    return {
        "metadata": {"name": name},
        "status": {
            "conditions": [
                condition(
                    "Ready",
                    ready,
                    "NodeStatusUnknown" if ready == "Unknown" else "",
                    "Kubelet stopped posting node status.",
                )
            ],
            "allocatable": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": gpus, "pods": "110"},
        },
    }


def unschedulable(message: str) -> Object:
    return pod(0, condition("PodScheduled", "False", "Unschedulable", message), node=None)


def workload(*conditions: Object, active: bool = True) -> Object:
    return {
        "metadata": {"name": "w"},
        "spec": {"queueName": "research", "active": active},
        "status": {"conditions": list(conditions)},
    }


def child_job(message: str) -> Object:
    failed = condition("Failed", "True", "PodFailurePolicy", message)
    return {"kind": "Job", "metadata": {"name": "run-w-0"}, "status": {"conditions": [failed]}}


OWN_QUOTA = "couldn't assign flavors to pod set w: insufficient unused quota for gpu in flavor l4, 2 more needed"
QUEUED = top(suspend=True, queue="research")

# observation → kind, and text in cause, evidence and next command
CASES: dict[str, tuple[Observation, str, str, str, str]] = {
    "too few GPUs": (
        seen(
            top(),
            unschedulable(
                "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint {a: b}."
            ),
            spaces=spaces([node("small", gpus="1"), node("none", gpus="0")], []),
        ),
        "unschedulable",
        "1 of 2 pods cannot be scheduled: not enough nvidia.com/gpu",
        "none: nvidia.com/gpu 0 free, 2 requested",
        "--gpus",
    ),
    "no node matches": (
        seen(
            top(),
            unschedulable(
                "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: …"
            ),
        ),
        "unschedulable",
        "2 node.s. didn't match Pod's node affinity/selector",
        "0/2 nodes",
        "show-labels",
    ),
    "ports of the node": (
        seen(
            top(),
            unschedulable("0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports."),
        ),
        "unschedulable",
        "free ports",
        "0/2 nodes",
        "a node takes one worker",
    ),
    "a runtime class that is none": (
        seen(
            top(),
            events=[
                event(
                    "FailedCreate",
                    'pods "x" is forbidden: pod rejected: RuntimeClass "nvidia" not found',
                    "Job/run-w-0",
                )
            ],
        ),
        "runtime-class",
        "the RuntimeClass does not exist",
        'RuntimeClass "nvidia" not found',
        "get runtimeclass",
    ),
    "an autoscaler that cannot help": (
        seen(
            top(),
            unschedulable("0/1 nodes are available: 1 Insufficient cpu."),
            events=[event("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached")],
        ),
        "unschedulable",
        "not enough cpu",
        "max node group size reached",
        "",
    ),
    "held back by a gate": (
        seen(
            top(),
            {
                **(gated := pod(0, condition("PodScheduled", "False", "SchedulingGated"), node=None)),
                "spec": {**gated["spec"], "schedulingGates": [{"name": "kueue.x-k8s.io/topology"}]},
            },
        ),
        "gated",
        "kueue.x-k8s.io/topology",
        "",
        "describe pod",
    ),
    "over quota in a queue": (
        seen(
            QUEUED,
            workload=workload(condition("QuotaReserved", "False", "WaitingForQuota", OWN_QUOTA)),
            position=[("queue research", 2), ("its cluster queue", 4)],
        ),
        "queue",
        "waiting in queue research, position 3 in queue research, position 5 in its cluster queue",
        "2 more needed",
        "localqueue research",
    ),
    "more than the queue can ever admit": (
        seen(
            QUEUED,
            workload=workload(condition("QuotaReserved", "False", "ExceedsMaxQuota", "request > maximum capacity (4)")),
        ),
        "queue-never",
        "can never admit",
        "maximum capacity",
        "fewer --gpus",
    ),
    "evicted by a queue": (
        seen(
            QUEUED,
            workload=workload(
                condition("QuotaReserved", "False", "Pending", ""),
                condition("Evicted", "True", "Preempted", "Preempted to accommodate a higher priority Workload"),
            ),
        ),
        "queue",
        "evicted by Kueue, waiting again",
        "higher priority",
        "",
    ),
    "deactivated by a queue": (
        seen(QUEUED, workload=workload(active=False)),
        "queue-deactivated",
        "deactivated",
        "",
        "resume",
    ),
    "a queue that has not noticed": (seen(QUEUED), "queue", "waiting for Kueue", "", "research"),
    "suspended manually": (
        seen(top(suspend=True)),
        "suspended",
        "manually",
        "",
        'kubectl patch jobset run --type=merge -p \'{"spec":{"suspend":false}}\'',
    ),
    "a quota of the namespace": (
        seen(
            top(),
            events=[
                event(
                    "FailedCreate", 'pods "run-w-0-0" is forbidden: exceeded quota: q, requested: cpu=4', "Job/run-w-0"
                )
            ],
        ),
        "quota",
        "ResourceQuota",
        "exceeded quota: q",
        "resourcequota",
    ),
    "Pod Security": (
        seen(
            top(),
            events=[
                event(
                    "FailedCreate",
                    'pods "x" is forbidden: violates PodSecurity "restricted:latest": hostPath volumes',
                    "Job/run-w-0",
                )
            ],
        ),
        "policy",
        "Pod Security",
        "hostPath",
        "namespace",
    ),
    "a webhook": (
        seen(
            top(),
            events=[
                event("FailedCreate", 'admission webhook "v.example" denied the request: no label team', "Job/run-w-0")
            ],
        ),
        "policy",
        "a cluster policy",
        "no label team",
        "administrators",
    ),
    "no ServiceAccount": (
        seen(
            top(),
            events=[
                event(
                    "FailedCreate",
                    'error looking up service account ml/catdog-run: serviceaccount "catdog-run" not found',
                    "Job/run-w-0",
                )
            ],
        ),
        "service-account",
        "ServiceAccount",
        "catdog-run",
        "helm upgrade",
    ),
    "no PriorityClass": (
        seen(
            top(),
            events=[
                event("FailedCreate", 'pods "x" is forbidden: no PriorityClass with name low was found', "Job/run-w-0")
            ],
        ),
        "priority-class",
        "PriorityClass",
        "low",
        "priorityclass",
    ),
    "no such image": (
        seen(
            top(),
            waiting("ImagePullBackOff", "Back-off pulling"),
            events=[event("Failed", "Failed to pull image: manifest unknown: not found")],
        ),
        "image",
        "image registry.example/catdog:1 cannot be pulled: there is no such image",
        "manifest unknown",
        "--image",
    ),
    "a registry that denies access": (
        seen(top(), waiting("ErrImagePull", "pull access denied: 401 Unauthorized")),
        "image",
        "the registry denies access",
        "401",
        "imagePullSecrets",
    ),
    "an image that is never pulled": (
        seen(top(), waiting("ErrImageNeverPull")),
        "image",
        "imagePullPolicy is Never",
        "",
        "IfNotPresent",
    ),
    "a volume": (
        seen(
            top(),
            waiting("ContainerCreating"),
            events=[event("FailedMount", 'MountVolume.SetUp failed for volume "pictures": claim not found')],
        ),
        "mount",
        "a volume cannot be mounted on node-1",
        "claim not found",
        "extraVolumes",
    ),
    "a Secret": (
        seen(top(), waiting("CreateContainerConfigError", 'secret "s" not found')),
        "container",
        'secret "s" not found',
        "CreateContainerConfigError",
        "describe pod",
    ),
    "a pod network": (
        seen(
            top(), waiting("ContainerCreating"), events=[event("FailedCreatePodSandBox", "plugin type=bridge failed")]
        ),
        "sandbox",
        "node-1 cannot set up the pod's network",
        "bridge",
        "describe node",
    ),
    "an image being pulled": (
        seen(
            top(),
            waiting("ContainerCreating"),
            running(1),
            events=[event("Pulling", "Pulling image registry.example/catdog:1")],
        ),
        "pulling",
        "is being pulled",
        "Pulling",
        "",
    ),
    "too much memory": (
        seen(top(condition("Failed")), ended(137, reason="OOMKilled"), ended(75, "75: peer", rank=1)),
        "memory",
        "more memory than its limit, 16Gi",
        "OOMKilled",
        "resources.memory",
    ),
    "a drain": (
        seen(
            top(),
            ended(
                143,
                "143 stopped",
                "Error",
                0,
                condition("DisruptionTarget", "True", "EvictionByEvictionAPI", "Eviction API: evicting"),
            ),
        ),
        "evicted",
        "a node drain.* not count",
        "EvictionByEvictionAPI",
        "continues by itself",
    ),
    "a preemption": (
        seen(
            top(),
            ended(
                143,
                "",
                "Error",
                0,
                condition(
                    "DisruptionTarget",
                    "True",
                    "PreemptionByScheduler",
                    "preempting to accommodate a higher priority pod",
                ),
            ),
        ),
        "preempted",
        "higher priority",
        "preempting",
        "",
    ),
    "too much disk": (
        seen(
            top(condition("Failed")),
            pod(phase="Failed", reason="Evicted", message='Usage of EmptyDir volume "tmp" exceeds the limit "10Gi".'),
        ),
        "storage-limit",
        "more to /tmp",
        "10Gi",
        "ephemeralStorage",
    ),
    "a node short of memory": (
        seen(top(), pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")),
        "evicted",
        "evicted by its node",
        "low on resource",
        "describe node",
    ),
    "a dead node's pod that cannot terminate": (
        seen(top(), running(deleted=45), nodes=[node("node-1", "Unknown")]),
        "node-lost",
        "cannot be replaced until the node is known to be down",
        "Terminating for 45 s",
        "out-of-service",
    ),
    "a node that just went silent": (
        seen(top(), running(), nodes=[node("node-1", "Unknown")], state=state()),
        "node-lost",
        "node-1 is not responding",
        "Kubelet stopped",
        "get node node-1",
    ),
    "bad data": (
        seen(
            top(condition("Failed")),
            ended(65, f"65 {MEANING[Exit.BAD_DATA]}: gs://d: 40 of 100 pictures of train cannot be used"),
        ),
        "bad-data",
        r"exit code 65, .* \(not retried\): gs://d: 40 of 100",
        "rank 0",
        "resume run",
    ),
    "a rendezvous that failed": (
        seen(
            top(),
            ended(69, "69: rendezvous: 1 of 2 workers came within 1200 s; missing rank 1 (run-w-0-1.run:2222)"),
            ended(75, "75: rank 0 stopped with 69", rank=1),
        ),
        "rendezvous",
        r"missing rank 1 \(run-w-0-1",
        "rank 0",
        "--rendezvous-timeout",
    ),
    "no accelerator": (
        seen(
            top(condition("Failed")),
            ended(78, f"78 {MEANING[Exit.NO_ACCELERATOR]}: --accelerator gpu, but TensorFlow sees no GPU"),
        ),
        "no-accelerator",
        "sees no GPU",
        "",
        "CUDA variant",
    ),
    "only lost peers": (
        seen(top(), ended(75, "75: a peer was lost", rank=1), running()),
        "peer-lost",
        "another worker was lost",
        "rank 1",
        "logs run",
    ),
    "a crash without a message": (
        seen(top(), ended(139, "Fatal Python error: Segmentation fault\n  File x\n")),
        "exit",
        r"exit code 139, crashed \(SIGSEGV\): File x",
        "rank 0",
        "logs",
    ),
    "too many restarts, pods gone": (
        seen(
            top(
                condition(
                    "Failed", "True", "ReachedMaxRestarts", "jobset failed due to reaching max number of restarts"
                )
            ),
            state=state("failed", exit_code=76, reason="no step for 900 s"),
        ),
        "restarts",
        "more often than --max-restarts allows: no step for 900 s",
        "ReachedMaxRestarts",
        "resume",
    ),
    "a fatal code, pods gone": (
        seen(
            top(condition("Failed", "True", "FailJobSetFailurePolicyAction", "see job")),
            jobs=[
                child_job("Container trainer for pod ml/p failed with exit code 77 matching FailJob rule at index 1")
            ],
            state=state("failed", exit_code=77, reason="the bucket refuses"),
        ),
        "no-permission",
        "exit code 77.*the bucket refuses",
        "PodFailurePolicy",
        "resume",
    ),
    "too long": (
        seen(
            top(
                condition("Failed", "True", "DeadlineExceeded", "Job was active longer than specified deadline"),
                kind="Job",
            )
        ),
        "deadline",
        "activeDeadlineSeconds",
        "DeadlineExceeded",
        "resume",
    ),
    "a folder whose run failed": (
        seen(state=state("failed", exit_code=80, reason="the loss was nan")),
        "diverged",
        "exit code 80.*the loss was nan",
        "state.json",
        "--learning-rate",
    ),
    "a healthy run": (
        seen(top(), running(), running(1), state=state()),
        "running",
        r"nothing is wrong: it is training \(epoch 2",
        "",
        "",
    ),
    "a run that succeeded": (seen(top(condition("Completed")), ended(0)), "succeeded", "has succeeded", "", ""),
    "a run that nobody knows": (seen(), "unknown", "there is no run named run", "", ""),
    "a lost run": (seen(state=state(seconds_ago=1000)), "lost", "no heartbeat", "", "resume run"),
    "an earlier failure is not reported once it runs again": (
        seen(top(), running(), running(1), state=state("failed", seconds_ago=200, exit_code=76, reason="x")),
        "starting",
        "wait for each other",
        "the attempt before said failed",
        "catdog logs run",
    ),
}


@pytest.mark.parametrize(("snapshot", "kind", "cause", "evidence", "command"), CASES.values(), ids=CASES.keys())
def test_cause(snapshot: Observation, kind: str, cause: str, evidence: str, command: str) -> None:
    found = explain(snapshot)[0]
    assert found.kind == kind
    assert re.search(cause, found.cause)
    assert evidence in "\n".join(found.evidence)
    assert command in found.next


@pytest.mark.parametrize("code", [code for code in Exit if code not in (Exit.DONE, Exit.TERMINATED, Exit.INTERRUPTED)])
def test_every_exit_code_of_the_trainer_has_a_meaning_and_a_next_command(code: Exit) -> None:
    [found] = explain(seen(top(condition("Failed")), ended(int(code), f"{int(code)} {MEANING[code]}: because")))[:1]
    assert found.cause.endswith(": because")
    assert MEANING[code] in found.cause
    assert ("not retried" in found.cause) == (code in NEVER_RETRIED)
    assert found.next
    assert "{" not in found.next


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (f"69 {MEANING[Exit.RENDEZVOUS_FAILED]}: rank 1", "rank 1"),
        ("69: rank 1: late", "rank 1: late"),
        ("Traceback\n  File\nValueError: x\n", "ValueError: x"),
        ("", ""),
    ],
)
def test_last_words(message: str, words: str) -> None:
    assert last_words(message, 69) == words


WORDS = "3 attempts in a row have ended without any checkpoint; the first of them: exit code 70: KeyError: 'x'"


@pytest.mark.parametrize(
    "pods",
    [
        # A Job keeps the pods of earlier attempts.
        [ended(70, "70: later", at=300), ended(137, "", "OOMKilled", at=200), ended(79, f"79: {WORDS}", at=5)],
        [],  # A JobSet does not, nor is a deleted pod there any more.
    ],
)
def test_a_run_that_was_given_up_is_told_by_its_first_cause(pods: list[Object]) -> None:
    failed = condition(
        "Failed", reason="PodFailurePolicy", message="Container trainer failed with exit code 79 matching"
    )
    told = state("failed", exit_code=79, reason=WORDS)
    found = explain(seen(top(failed, kind="Job"), *pods, state=told))[0]
    assert (found.kind, found.cause) == ("no-progress", f"exit code 79, no progress (not retried): {WORDS}")
    assert found.next == "fix what made the first of them fail, then catdog resume run"


def test_text_has_cause_evidence_and_next_command() -> None:
    text = as_text(explain(CASES["bad data"][0]))
    assert re.fullmatch(r"exit code 65.*\n  rank 0 .*\n  next: .*", text)

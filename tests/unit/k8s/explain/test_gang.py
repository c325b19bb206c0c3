"""A gang that is not whole, and evidence that disagrees: each has its own answer, and none is "nothing is wrong"."""

import dataclasses
import re

import pytest

from k8s.explain.cause import as_text
from k8s.explain.observation import Observation
from k8s.explain.why import explain
from tests.unit.k8s.explain.sightings import (
    NOW,
    Object,
    ago,
    condition,
    ended,
    event,
    pod,
    running,
    seen,
    state,
    top,
    waiting,
)

QUOTA = 'pods "run-w-0-1-x" is forbidden: exceeded quota: q, requested: cpu=4, used: cpu=4, limited: cpu=4'


def refused(message: str = QUOTA, seconds_ago: float = 5, about: str = "Job/run-w-0") -> Object:
    return event("FailedCreate", f"Error creating: {message}", about, seconds_ago)


def young(one: Object, seconds: float) -> Object:
    return {**one, "metadata": {**one["metadata"], "creationTimestamp": ago(seconds)}}


def second(one: Object) -> Object:
    """The same pod as rank 1."""
    labels = {"batch.kubernetes.io/job-completion-index": "1"}
    return {**one, "metadata": {**one["metadata"], "name": "run-w-0-1-abcde", "uid": "u-1", "labels": labels}}


def tainted() -> list[Object]:
    taints = [{"key": "team", "value": "vision", "effect": "NoSchedule"}]
    return [{"metadata": {"name": "node-2"}, "spec": {"taints": taints}, "status": {"conditions": []}}]


def secretive(*names: str) -> Object:
    one = second(waiting("ImagePullBackOff", "401 Unauthorized"))
    return {**one, "spec": {**one["spec"], "imagePullSecrets": [{"name": name} for name in names]}}


NO_SECRET = event(
    "FailedToRetrieveImagePullSecret",
    "Unable to retrieve some image pull secrets (regcred); attempting to pull the image may not succeed.",
    "Pod/run-w-0-1-abcde",
)
TAINT = "0/2 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s). preemption: 0/2 nodes"

# observation → kind of the first cause, and text of all that is said
CASES: dict[str, tuple[Observation, str, str]] = {
    "quota for one of two": (
        seen(top(), running(0), events=[refused()]),
        "quota",
        r"1 of 2 pods cannot be created \(rank 1\): a ResourceQuota(.|\n)*exceeded quota: q(.|\n)*"
        r"the others wait for it: rank 0(.|\n)*ask a cluster admin: kubectl describe resourcequota",
    ),
    "quota for one of two, in its first seconds": (
        seen(young(top(), 2), young(running(0, 1), 2), events=[refused(seconds_ago=1)]),
        "quota",
        "rank 1",
    ),
    "quota for one of two of a plain Job": (
        seen(top(kind="Job"), running(1), events=[refused(about="Job/run")]),
        "quota",
        r"\(rank 0\)",
    ),
    "quota for the pod that replaces a failed one": (
        seen(top(), running(0), ended(137, rank=1), events=[refused()], state=state()),
        "quota",
        "rank 1(.|\n)*exit code 137",
    ),
    "a refusal that is long over": (
        seen(top(), running(0), events=[refused(seconds_ago=4000)]),
        "pods-missing",
        "1 of 2 pods do not exist: rank 1(.|\n)*no event says why",
    ),
    "one pod was never created": (
        seen(top(), running(0)),
        "pods-missing",
        "rank 1(.|\n)*the others wait for it: rank 0(.|\n)*kubectl describe jobset run",
    ),
    "one pod is about to be created": (
        seen(young(top(), 3), young(running(0, 1), 2)),
        "pending",
        "the pods are being created: 1 of 2 exist",
    ),
    "one pod cannot be placed": (
        seen(
            top(),
            running(0),
            pod(1, condition("PodScheduled", "False", "Unschedulable", "0/1 nodes are available: 1 Insufficient cpu.")),
        ),
        "unschedulable",
        "1 of 2 pods cannot be scheduled: not enough cpu",
    ),
    "the image of one pod cannot be pulled": (
        seen(top(), running(0), second(waiting("ErrImagePull", "manifest unknown"))),
        "image",
        "there is no such image",
    ),
    "a taint, not a label": (
        seen(
            top(),
            running(0),
            pod(1, condition("PodScheduled", "False", "Unschedulable", TAINT), node=None),
            nodes=tainted(),
        ),
        "unschedulable",
        r"untolerated taint(.|\n)*node-2: taint team=vision:NoSchedule(.|\n)*tolerations\[0\].key=team",
    ),
    "a pull Secret that is not there": (
        seen(top(), running(0), secretive("other", "regcred"), events=[NO_SECRET]),
        "image",
        r"the pull Secret regcred does not exist(.|\n)*"
        "ask whoever installed the chart: kubectl create secret .* regcred",
    ),
    "a pull Secret that opens nothing": (
        seen(top(), running(0), secretive("regcred")),
        "image",
        "denies access with the pull Secret regcred",
    ),
    "no pull Secret": (seen(top(), running(0), secretive()), "image", "the platform names no pull Secret"),
    "no scheduler looks at it": (
        seen(top(), running(0), young(pod(1, node=None), 60)),
        "unscheduled",
        "no scheduler has looked at 1 of 2 pods",
    ),
    "a heartbeat that stopped": (
        seen(top(), running(0, 1000), running(1, 1000), state=state(seconds_ago=300)),
        "silent",
        "no heartbeat for 300 s though the workers run; the last was at epoch 2, step 120",
    ),
    "a heartbeat in the log that stopped": (
        seen(top(), running(0, 1000), running(1, 1000), state=state(seconds_ago=300), unread="403"),
        "silent",
        "the log of rank 0: updated",
    ),
    "this attempt has failed, and its workers linger": (
        seen(top(), running(0), running(1), state=state("failed", exit_code=76, reason="no step for 900 s")),
        "stalled",
        "exit code 76.*no step for 900 s",
    ),
    "a state of this attempt that is neither": (
        seen(top(), running(0), running(1), state=state("preempted", reason="stopped by a signal")),
        "stopping",
        "says preempted: stopped by a signal, and the workers have not ended",
    ),
    "no right to read the folder, and nothing in the log": (
        seen(top(), running(0), running(1), unread="gs://m/runs/run/state.json: 403"),
        "unread",
        "all 2 workers run, and how far they are cannot be read(.|\n)*403",
    ),
    "no right to read the folder, and one worker is missing": (
        seen(top(), running(0), unread="403"),
        "pods-missing",
        "rank 1",
    ),
    "no right to read the folder, and no objects": (seen(unread="403"), "unread", "nothing is known of run"),
    "workers that start for long": (
        seen(top(), running(0, 900), running(1, 900)),
        "starting",
        "unusually long(.|\n)*900 s ago(.|\n)*catdog logs run",
    ),
    "containers being created": (
        seen(top(), running(0), second(waiting("ContainerCreating"))),
        "creating",
        "1 of 2 containers are being created",
    ),
    "a worker that is being replaced": (
        seen(top(kind="Job"), running(0), ended(143, rank=1), state=state()),
        "starting",
        "1 of 2 pods are being replaced: rank 1",
    ),
    "a worker that the others have lost": (
        seen(top(), running(0), running(1), state=state(lost=[1], lost_since="2026-11-26T12:00:00+00:00")),
        "lost-worker",
        "rank 1 is silent or gone since 2026-11-26T12:00:00(.|\n)*start again from the last checkpoint(.|\n)*run-w-0-1",
    ),
    "a slow worker": (
        seen(top(), running(0), running(1), state=state(slow={"rank": 1, "times": 2.4})),
        "slow",
        "it is training .*, but rank 1 takes 2.4 times as long(.|\n)*run-w-0-1",
    ),
    "all workers were stopped": (seen(top(), ended(143), ended(143, rank=1)), "stopped", "none was replaced yet"),
}


@pytest.mark.parametrize(("snapshot", "kind", "text"), CASES.values(), ids=CASES.keys())
def test_what_is_not_whole_or_does_not_agree_says_so(snapshot: Observation, kind: str, text: str) -> None:
    causes = explain(snapshot)
    assert causes[0].kind == kind
    assert re.search(text, as_text(causes)), as_text(causes)
    assert not re.search("nothing is wrong", as_text(causes))


HEALTHY = seen(top(), running(0), running(1), state=state())


@pytest.mark.parametrize(
    "snapshot",
    [
        HEALTHY,
        dataclasses.replace(HEALTHY, unread="403"),  # the log of rank 0 tells it
        dataclasses.replace(HEALTHY, events=[refused()]),  # it was refused at first, and is whole now
        seen(top(kind="Job"), running(0), running(1), ended(137, rank=1), state=state()),  # replaced, and trains again
    ],
)
def test_nothing_is_wrong_when_heartbeat_pods_and_state_agree(snapshot: Observation) -> None:
    [cause] = explain(snapshot)
    assert (cause.kind, cause.cause) == ("running", "nothing is wrong: it is training (epoch 2, step 120 of 1,890)")


@pytest.mark.parametrize(
    "changes",
    [
        {"pods": [running(0)]},
        {"pods": [running(0), pod(1, phase="Unknown")]},
        {"pods": [running(0), second(waiting("ContainerCreating"))]},
        {"pods": [running(0), ended(143, rank=1)]},
        {"pods": []},
        {"state": None},
        {"state": state(seconds_ago=91)},
        {"state": state(seconds_ago=400)},
        {"state": state("failed", exit_code=70)},
        {"state": state("cancelled")},
        {"state": state(updated="?")},
        {"state": None, "unread": "403"},
        {"now": NOW.replace(hour=13)},
    ],
)
def test_one_piece_of_evidence_against_it_is_enough(changes: dict[str, object]) -> None:
    assert not any("nothing is wrong" in cause.cause for cause in explain(dataclasses.replace(HEALTHY, **changes)))  # type: ignore[arg-type]

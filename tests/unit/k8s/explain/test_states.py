"""Every state of the table, as API objects, is answered by the kind of cause that the table says, and never calmly."""

from collections.abc import Callable

import pytest

from k8s.explain.observation import Observation
from k8s.explain.states import TABLE, Field, Held, held
from k8s.explain.why import explain
from tests.unit.k8s.explain.sightings import (
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

QUEUED = top(suspend=True, queue="research")
UNKNOWN = "SomethingOfALaterVersion"


def workload(*conditions: Object, active: bool = True, **status: object) -> Object:
    spec = {"queueName": "research", "active": active}
    return {"metadata": {"name": "w"}, "spec": spec, "status": {"conditions": list(conditions), **status}}


def node(ready: str) -> Object:
    return {"metadata": {"name": "node-1"}, "status": {"conditions": [condition("Ready", ready, "KubeletNotReady")]}}


def of_job(value: str) -> Observation:
    if value == "Suspended":
        return seen(top(condition("Suspended"), kind="Job", suspend=True))
    return seen(top(condition(value), kind="Job"), ended(0), ended(0, rank=1), state=state("succeeded"))


def of_job_set(value: str) -> Observation:
    if value == "Suspended":
        return seen(top(condition(value), suspend=True))
    if value == "RestartingJobSet":
        return seen(top(condition(value, "True", "DefaultFailurePolicy")), pod(0), pod(1), state=state(seconds_ago=400))
    return seen(top(condition(value)), state=state("succeeded") if value == "Completed" else None)


def of_pods(value: str) -> Observation:
    if value == "fewer than workers":
        return seen(top(), running())
    return seen(top(), ended(143), ended(143, rank=1))


def of_phase(value: str) -> Observation:
    if value == "Unknown":
        return seen(top(), running(0), pod(1, phase="Unknown"), state=state())
    new = pod(1, node=None)
    return seen(top(), running(), {**new, "metadata": {**new["metadata"], "creationTimestamp": ago(60)}})


def of_waiting(value: str) -> Observation:
    return seen(top(), waiting(value), running(1))


def of_terminated(value: str) -> Observation:
    code = 0 if value == "Completed" else 1
    return seen(top(), ended(code, reason=value), ended(code, reason=value, rank=1))


def of_workload(value: str) -> Observation:
    if value == "there is none":
        return seen(QUEUED)
    if value == "spec.active is false":
        return seen(QUEUED, workload=workload(active=False))
    return seen(QUEUED, workload=workload(condition(value)))


def of_ours(value: str) -> Observation:
    both = (running(0), running(1))
    return {
        "a heartbeat older than 90 s": seen(top(), running(0, 1000), running(1, 1000), state=state(seconds_ago=91)),
        "failed, since the workers started": seen(top(), *both, state=state("failed", exit_code=139, reason="x")),
        "failed, before they started": seen(top(), *both, state=state("failed", 200, exit_code=76, reason="x")),
        "no state yet": seen(top(), *both),
        "no right to read it": seen(top(), *both, unread="403"),
    }[value]


MAKE: dict[Field, Callable[[str], Observation]] = {
    Field.JOB: of_job,
    Field.JOB_FAILED: lambda reason: seen(top(condition("FailureTarget", reason=reason), kind="Job"), running()),
    Field.JOBSET: of_job_set,
    Field.JOBSET_FAILED: lambda reason: seen(top(condition("Failed", reason=reason))),
    Field.CREATION: lambda reason: seen(top(), running(), events=[event(reason, "no", "Job/run-w-0")]),
    Field.PODS: of_pods,
    Field.PHASE: of_phase,
    Field.SCHEDULED: lambda reason: seen(
        top(), running(), pod(1, condition("PodScheduled", "False", reason, "because"), node=None)
    ),
    Field.DISRUPTED: lambda reason: seen(
        top(), running(), ended(143, "", "Error", 1, condition("DisruptionTarget", "True", reason, "because"))
    ),
    Field.POD_REASON: lambda reason: seen(top(), running(), pod(1, phase="Failed", reason=reason, message="because")),
    Field.WAITING: of_waiting,
    Field.TERMINATED: of_terminated,
    Field.POD_EVENT: lambda reason: seen(
        top(), waiting("ContainerCreating"), running(1), events=[event(reason, "because")]
    ),
    Field.NODE: lambda status: seen(top(), running(), running(1), nodes=[node(status)], state=state()),
    Field.QUOTA: lambda reason: seen(QUEUED, workload=workload(condition("QuotaReserved", "False", reason, "because"))),
    Field.ADMITTED: lambda reason: seen(
        QUEUED, workload=workload(condition("QuotaReserved"), condition("Admitted", "False", reason, "because"))
    ),
    Field.EVICTED: lambda reason: seen(QUEUED, workload=workload(condition("Evicted", "True", reason, "because"))),
    Field.CHECK: lambda word: seen(
        QUEUED, workload=workload(condition("QuotaReserved"), admissionChecks=[{"name": "c", "state": word}])
    ),
    Field.WORKLOAD: of_workload,
    Field.OURS: of_ours,
}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.field.name}-{row.value}")
def test_each_state_is_answered_as_the_table_says(row: Held) -> None:
    causes = explain(MAKE[row.field](row.value))
    assert row.kind in {cause.kind for cause in causes}
    assert not any("nothing is wrong" in cause.cause for cause in causes)
    if row.kind not in ("succeeded", "finishing"):
        assert causes[0].then or causes[0].evidence, "an answer needs evidence, or a next step"


OF_A_LATER_VERSION = [
    field
    for field in Field
    if field not in (Field.JOB, Field.JOBSET, Field.PODS, Field.PHASE, Field.NODE, Field.WORKLOAD, Field.OURS)
    and field not in (Field.CREATION, Field.POD_EVENT)  # events tell much that holds nothing up
]


@pytest.mark.parametrize("field", OF_A_LATER_VERSION)
def test_a_reason_that_is_not_in_the_table_is_answered_too(field: Field) -> None:
    causes = explain(MAKE[field](UNKNOWN))
    assert not any("nothing is wrong" in cause.cause for cause in causes)
    assert any(UNKNOWN in text for cause in causes for text in (cause.cause, *cause.evidence)) or field is Field.CHECK
    assert held(field, UNKNOWN) is None


def test_no_state_is_listed_twice() -> None:
    assert len({(row.field, row.value) for row in TABLE}) == len(TABLE)

import pytest

from k8s.explain.observation import Observation
from k8s.explain.phase import Phase, phase_of, progress
from tests.unit.k8s.explain.sightings import condition, ended, pod, running, seen, state, top, waiting

CASES: dict[str, tuple[Observation, Phase | None]] = {
    "nothing at all": (seen(), None),
    "held by a queue": (seen(top(suspend=True, queue="q")), Phase.QUEUED),
    "held by a queue, old pods still there": (seen(top(suspend=True, queue="q"), running()), Phase.STARTING),
    "no pods yet": (seen(top()), Phase.PENDING),
    "a pod without a node": (seen(top(), running(0), pod(1, node=None)), Phase.PENDING),
    "a container being made": (seen(top(), waiting("ContainerCreating"), running(1)), Phase.STARTING),
    "containers run, no heartbeat yet": (seen(top(), running(), running(1)), Phase.STARTING),
    "containers run, state of the attempt before": (
        seen(top(), running(0, since=10), running(1, since=10), state=state(seconds_ago=60)),
        Phase.STARTING,
    ),
    "a worker without a pod": (seen(top(), running(0)), Phase.PENDING),
    "this attempt has failed and not ended": (
        seen(top(), running(0), running(1), state=state("failed")),
        Phase.RUNNING,
    ),
    "it cannot be read, and the log says nothing": (
        seen(top(), running(0), running(1), unread="403"),
        Phase.RUNNING,
    ),
    "it cannot be read, and the log has told": (
        seen(top(), running(0), running(1), unread="403", state=state()),
        Phase.RUNNING,
    ),
    "it trains": (seen(top(), running(0), running(1), state=state()), Phase.RUNNING),
    "it has written its final state, and waits for a last scrape": (
        seen(top(), running(0), running(1), state=state("succeeded")),
        Phase.RUNNING,
    ),
    "one has ended, its pod has not been counted, the other waits for a last scrape": (
        seen(
            top(), pod(0, phase="Running", state={"terminated": {"exitCode": 0}}), running(1), state=state("succeeded")
        ),
        Phase.RUNNING,
    ),
    "all workers are done, the controller has not noticed": (
        seen(top(), ended(0), state=state("succeeded")),
        Phase.RUNNING,
    ),
    "one worker failed, another runs": (seen(top(), ended(75), running(1), state=state()), Phase.RUNNING),
    "it succeeded as a JobSet": (seen(top(condition("Completed")), ended(0)), Phase.SUCCEEDED),
    "it succeeded as a Job": (seen(top(condition("Complete"), kind="Job"), ended(0)), Phase.SUCCEEDED),
    "it failed": (seen(top(condition("Failed")), ended(65), state=state("failed")), Phase.FAILED),
    "a condition that is not true is none": (
        seen(top(condition("Failed", "False")), running(), running(1), state=state()),
        Phase.RUNNING,
    ),
    "being cancelled": (seen(top(deleted=True), running(), state=state()), Phase.CANCELLED),
    "folder only: succeeded": (seen(state=state("succeeded", 1e6)), Phase.SUCCEEDED),
    "folder only: failed": (seen(state=state("failed")), Phase.FAILED),
    "folder only: preempted": (seen(state=state("preempted")), Phase.PREEMPTED),
    "folder only: cancelled": (seen(state=state("cancelled")), Phase.CANCELLED),
    "folder only: a live heartbeat": (seen(state=state(seconds_ago=30)), Phase.RUNNING),
    "folder only: silence": (seen(state=state(seconds_ago=91)), Phase.LOST),
    "folder only: an unreadable time": (seen(state=state(updated="?")), Phase.LOST),
}


@pytest.mark.parametrize(("snapshot", "phase"), CASES.values(), ids=CASES.keys())
def test_phase(snapshot: Observation, phase: Phase | None) -> None:
    assert phase_of(snapshot) == phase


def test_progress() -> None:
    assert progress(state()) == "epoch 2, step 120 of 1,890"
    assert progress(None) == progress({"step": 3}) == ""


def test_a_state_with_a_key_more_or_a_value_of_another_kind_is_read_as_far_as_it_goes() -> None:
    later = {**state(), "lost": [1], "ledger": {"input": 3.0}}
    assert progress(later) == progress(state())
    assert phase_of(seen(state=later)) == Phase.RUNNING
    assert progress({**state(), "total_steps": "many"}) == progress({**state(), "step": None}) == ""

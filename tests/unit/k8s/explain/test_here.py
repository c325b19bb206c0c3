"""A run whose process is on the machine that asks."""

import pytest

from k8s.explain.observation import Holder, Observation
from k8s.explain.phase import Phase, phase_of
from k8s.explain.why import explain
from tests.unit.k8s.explain.sightings import seen, state, top


def alone(holder: Holder | None, seconds_ago: int = 5, **more: object) -> Observation:
    return seen(None, state=state("running", seconds_ago=seconds_ago, **more), holder=holder, local=True)


@pytest.mark.parametrize(
    ("holder", "seconds_ago", "phase", "kind", "words"),
    [
        (None, 5, Phase.RUNNING, "running", "nothing is wrong"),
        (None, 100, Phase.LOST, "lost", "no heartbeat"),
        (Holder(7), 5, Phase.RUNNING, "running", "nothing is wrong"),
        (Holder(7), 100, Phase.RUNNING, "silent", "no heartbeat for 100 s though its process 7 is there"),
        (Holder(7, gone=True), 5, Phase.LOST, "killed", "its process 7 is gone without a word"),
        (Holder(7, gone=True), 100, Phase.LOST, "killed", "its process 7 is gone without a word"),
        (Holder(7, stopped=True), 5, Phase.RUNNING, "stopped-process", "its process 7 stands still"),
    ],
)
def test_the_process_tells_before_the_heartbeat_does(
    holder: Holder | None, seconds_ago: int, phase: Phase, kind: str, words: str
) -> None:
    run = alone(holder, seconds_ago)
    first = explain(run)[0]
    assert (phase_of(run), first.kind) == (phase, kind)
    assert words in first.cause


def test_whom_a_killed_gang_lost_is_told() -> None:
    first = explain(alone(Holder(7, gone=True), lost=[1]))[0]
    assert first.evidence[-1] == "lost: rank 1"
    assert first.next == "the same catdog train command again: it goes on from the last checkpoint"


def test_a_killed_run_that_was_started_here_goes_on_here_though_its_folder_is_in_a_bucket() -> None:
    run = seen(None, state=state("running"), holder=Holder(7, gone=True), resumable=True)
    assert explain(run)[0].next == "the same catdog train command again: it goes on from the last checkpoint"


def test_of_a_run_that_has_ended_its_process_says_nothing() -> None:
    ended = seen(None, state=state("succeeded", seconds_ago=5), holder=Holder(7, gone=True))
    assert (phase_of(ended), explain(ended)[0].kind) == (Phase.SUCCEEDED, "succeeded")


def test_where_there_are_objects_they_decide() -> None:
    assert "killed" not in {
        cause.kind for cause in explain(seen(top(), state=state("running"), holder=Holder(7, True)))
    }

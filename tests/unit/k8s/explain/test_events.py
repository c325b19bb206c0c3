"""Events are about a run by uid while the object exists, then by its exact name; never by the beginning of a name."""

from typing import Any

from k8s.explain.events import of_run
from tests.unit.k8s.explain.sightings import ago, running, top


def event(about: str, uid: str = "gone", seconds_ago: float = 60) -> dict[str, Any]:
    kind, _, name = about.partition("/")
    made = {"name": about, "creationTimestamp": ago(seconds_ago)}
    return {"metadata": made, "involvedObject": {"kind": kind, "name": name, "uid": uid}}


def told(events: list[dict[str, Any]], *owned: Any, kind: str = "JobSet", others: frozenset[str] = frozenset()) -> Any:
    found = of_run(events, top(kind=kind), owned, others)
    return [one["metadata"]["name"] for one in found]


def test_what_exists_is_known_by_its_uid() -> None:
    pod = running(0)
    events = [event("JobSet/run", "u-top"), event("Pod/run-w-0-0-abcde", "u-0"), event("Pod/anything", "u-0")]
    assert told(events, pod) == ["JobSet/run", "Pod/run-w-0-0-abcde", "Pod/anything"]


def test_another_object_of_the_same_name_is_another_runs() -> None:
    assert told([event("JobSet/run"), event("Job/run"), event("Service/run")]) == []
    assert told([event("Job/run"), event("JobSet/run")], kind="Job") == []


def test_what_is_gone_is_known_by_its_exact_name() -> None:
    mine = ["Job/run-w-0", "Pod/run-w-0-0-bcdfg", "Pod/run-w-0-1-bcdfg"]
    others = ["Pod/run-w-0-2-bcdfg", "Pod/run-2-0-bcdfg", "Pod/run-0-bcdfg", "Job/run-2", "Pod/run-2-w-0-0-bcdfg"]
    assert told([event(name) for name in mine + others]) == mine
    assert told([event("Pod/run-0-bcdfg"), event("Pod/run-w-0-0-bcdfg")], kind="Job") == ["Pod/run-0-bcdfg"]


def test_what_is_gone_belongs_to_a_longer_named_run_that_exists() -> None:
    assert told([event("Pod/run-w-0-0-bcdfg")], others=frozenset({"run-w-0"})) == []


def test_what_was_before_the_run_is_from_an_earlier_one() -> None:
    assert told([event("Pod/run-w-0-0-bcdfg", seconds_ago=301)]) == []
    assert told([event("Pod/run-w-0-0-bcdfg", seconds_ago=299)]) != []

"""The names of a run's objects: those that a shape makes are its own, and no other run's, unless they coincide."""

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from k8s.labels import REPLICATED_JOB
from k8s.manifest import shape as shapes
from k8s.manifest.names import is_of, job_of, same_job
from k8s.manifest.spec import check_name
from tests.unit.k8s.manifest.cases import spec

KINDS = st.sampled_from(["Job", "JobSet"])
WORKERS = st.integers(1, 40)
SUFFIX = st.text("bcdfghjklmnpqrstvwxz2456789", min_size=5, max_size=5)
PART = st.sampled_from(["exp", "w", "0", "1", "2", "10", "a", "bcdfg", "24567"])
RUNS = st.lists(PART, min_size=1, max_size=5).map("-".join).filter(lambda name: name[0].isalpha())


def pods(run: str, kind: str, workers: int, suffix: str) -> list[str]:
    """Pod names, made as the controllers do: from the Job's, the index and what generateName appends."""
    return [f"{job_of(run, kind)}-{index}-{suffix}" for index in range(workers)]


@given(RUNS, KINDS, WORKERS, SUFFIX)
def test_the_pods_of_a_run_are_its_own(run: str, kind: str, workers: int, suffix: str) -> None:
    check_name(run, workers)
    made = pods(run, kind, workers, suffix)
    assert all(is_of(run, kind, workers, ("Pod", name)) for name in made)
    assert not any(is_of(run, kind, workers, ("Job", name)) for name in made)
    assert not is_of(run, kind, workers, ("Pod", f"{job_of(run, kind)}-{workers}-{suffix}"))


@given(RUNS, KINDS, WORKERS, RUNS, KINDS, WORKERS, SUFFIX)
def test_the_pods_of_another_run_are_not(
    run: str, kind: str, workers: int, other: str, other_kind: str, others: int, suffix: str
) -> None:
    assume(run != other)
    for name in pods(other, other_kind, others, suffix):
        mine = is_of(run, kind, workers, ("Pod", name))
        assert not mine or job_of(run, kind) == job_of(other, other_kind)
        # Where both have a Job of one name, the longer-named run has what there is, if it exists.
        if len(other) > len(run):
            assert not is_of(run, kind, workers, ("Pod", name), {other})


@given(RUNS, KINDS, RUNS, KINDS)
def test_two_runs_have_a_job_of_one_name_only_if_one_is_named_like_the_others_child(
    run: str, kind: str, other: str, other_kind: str
) -> None:
    if run != other and job_of(run, kind) == job_of(other, other_kind):
        assert other in same_job(run)
        assert run in same_job(other)


@given(RUNS, RUNS, KINDS)
def test_a_gone_job_is_a_runs_only_if_it_is_the_child_of_its_job_set(run: str, name: str, kind: str) -> None:
    assert is_of(run, kind, 2, ("Job", name)) == (kind == "JobSet" and name == f"{run}-{REPLICATED_JOB}-0")
    assert not is_of(run, kind, 2, ("JobSet", run))


def test_events_of_a_longer_name_are_never_told_of_the_shorter() -> None:
    for name in ("exp-2-0-bcdfg", "exp-2-w-0-0-bcdfg", "exp-20-bcdfg", "expb-0-bcdfg", "exp-0-bcdfga", "exp-00-bcdfg"):
        assert not is_of("exp", "Job", 3, ("Pod", name)), name
        assert not is_of("exp", "JobSet", 3, ("Pod", name)), name
    assert not is_of("exp", "JobSet", 3, ("Pod", "exp-2-bcdfg")), "as a Job it would be rank 2's"
    assert is_of("exp", "Job", 3, ("Pod", "exp-2-bcdfg"))
    assert is_of("exp", "JobSet", 3, ("Pod", "exp-w-0-2-bcdfg"))
    assert not is_of("exp", "JobSet", 3, ("Pod", "exp-w-0-2-bcdfg"), {"exp-w-0"})


def test_the_hosts_of_workers_follow_the_same_names() -> None:
    gang = spec("exp", 2, 1)
    for kind, shape in (("Job", shapes.job(gang)), ("JobSet", shapes.job_set(gang))):
        assert re.match(r"(.*)-[^-]+\.exp:", shape.host_template)[1] == job_of("exp", kind)  # type: ignore[index]

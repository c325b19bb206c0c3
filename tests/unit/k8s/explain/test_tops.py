"""Which object of a name is the run."""

from typing import Any

import pytest

from k8s.exits import Cli, CliError
from k8s.explain import tops
from tests.unit.k8s.explain.sightings import ago, condition, pod, state, top


def made(kind: str, uid: str, *conditions: dict[str, Any], seconds_ago: float = 300, **labels: str) -> dict[str, Any]:
    one = top(*conditions, kind=kind)
    given = {**one["metadata"]["labels"], **{f"app.kubernetes.io/{name}": value for name, value in labels.items()}}
    return {
        **one,
        "metadata": {**one["metadata"], "uid": uid, "labels": given, "creationTimestamp": ago(seconds_ago)},
    }


def test_one_that_is_alive_counts_before_one_that_has_finished_and_then_the_newest() -> None:
    old, new = made("JobSet", "old", condition("Completed")), made("Job", "new", seconds_ago=10)
    for found in ([old, new], [new, old]):
        assert [one["metadata"]["uid"] for one in tops.named(found).ours] == ["new", "old"]
    alive = made("JobSet", "alive", seconds_ago=500)
    ended = made("Job", "ended", condition("Failed"), seconds_ago=10)
    assert tops.named([ended, alive]).top == alive
    later = made("JobSet", "later", condition("Failed"), seconds_ago=5)
    assert tops.named([ended, later]).top == later
    assert tops.named([ended, alive]).live
    assert not tops.named([ended, later]).live


def test_only_what_catdog_made_under_this_name_is_a_run() -> None:
    for name, value in {"managed-by": "Helm", "name": "other", "instance": "elsewhere"}.items():
        one = made("Job", "u", **{name: value})
        assert tops.named([one]) == tops.Named([], [], [one])
    owned = made("Job", "u")
    owned["metadata"]["ownerReferences"] = [{"kind": "JobSet"}]
    claim = made("Job", "c", component="claim")
    assert tops.named([owned, claim]) == tops.Named([], [claim], [owned])
    assert tops.named([]).top is None


def test_pods_of_an_earlier_object_are_not_this_ones() -> None:
    one = pod()
    for label in ("jobset.sigs.k8s.io/jobset-uid", "batch.kubernetes.io/controller-uid"):
        mine = {**one, "metadata": {**one["metadata"], "labels": {label: "u-top"}}}
        other = {**one, "metadata": {**one["metadata"], "labels": {label: "before"}}}
        assert tops.owns(top(), mine)
        assert not tops.owns(top(), other)
    labels = {"jobset.sigs.k8s.io/jobset-uid": "u-top", "batch.kubernetes.io/controller-uid": "the child's"}
    assert tops.owns(top(), {**one, "metadata": {**one["metadata"], "labels": labels}})


def test_the_object_that_was_created_is_followed_and_no_other() -> None:
    first, second = made("JobSet", "first"), made("Job", "second", seconds_ago=10)
    now = {**first, "status": {"conditions": [condition("Completed")]}}
    assert tops.same(tops.named([now, second]), first, ()) == now
    assert tops.same(tops.named([]), first, ()) is None
    with pytest.raises(
        CliError, match="the JobSet run that was created here is gone, and there is now Job run"
    ) as caught:
        tops.same(tops.named([second]), first, ())
    assert (caught.value.code, caught.value.transient) == (Cli.PREREQUISITE, False)


def test_what_is_proposed_for_a_taken_name_has_the_namespace_that_was_typed() -> None:
    typed = ("-n", "team")
    alive = tops.taken("run", made("Job", "u"), typed)
    assert alive.endswith("or catdog cancel run -n team and then catdog resume run -n team")
    done = {**made("Job", "u"), "status": {"conditions": [condition("Complete")]}}
    assert tops.taken("run", done, typed).endswith("or catdog resume run -n team, or catdog delete run -n team first")
    both = [made("Job", "first"), made("JobSet", "second", seconds_ago=10)]
    [note] = tops.others(tops.named(both), both[0], typed)
    assert note.endswith("catdog delete run -n team deletes both")


def test_an_earlier_state_is_told_apart() -> None:
    assert tops.is_older(state("succeeded", seconds_ago=301), top())
    assert not tops.is_older(state("succeeded", seconds_ago=299), top())
    assert not tops.is_older(None, top())

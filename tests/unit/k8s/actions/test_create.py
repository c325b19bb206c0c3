"""Creating a run: all of its objects or none, and under a name that is free in every kind."""

from collections.abc import Iterator
from typing import Any

import pytest

from k8s.actions import create as creating
from k8s.actions.create import check_free, create
from k8s.actions.submit import check_on_server
from k8s.api import client as api
from k8s.api.client import Cluster
from k8s.api.errors import ApiError
from k8s.exits import Cli, CliError
from tests.unit.k8s.actions.test_submit import prepared
from tests.unit.k8s.api.api_server import Api, serve
from tests.unit.k8s.manifest.cases import JOBSET, NEITHER

JOBS, SERVICES = "/apis/batch/v1/namespaces/ml/jobs", "/api/v1/namespaces/ml/services"
SETS = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/ml/jobsets"
SHAPES = {"one worker": (1, JOBSET), "JobSet": (2, JOBSET), "Job and Service": (2, NEITHER)}


@pytest.fixture
def server() -> Api:
    return Api()


@pytest.fixture
def cluster(server: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr(api, "_FIRST_WAIT", 0.001)
    with serve(server) as made:
        yield made


def test_the_first_object_owns_the_others(server: Api, cluster: Cluster) -> None:
    made = create(cluster, prepared(2, served=NEITHER))
    assert set(server.objects) == {f"{JOBS}/r", f"{SERVICES}/r"}
    [owner] = server.objects[f"{SERVICES}/r"]["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "batch/v1", "kind": "Job", "name": "r", "uid": made["metadata"]["uid"]}


def test_nothing_is_left_when_the_second_object_is_refused(server: Api, cluster: Cluster) -> None:
    server.fault = lambda method, path, query: (403, {"message": "no"}) if path == SERVICES else None
    with pytest.raises(ApiError, match="no permission to create Service r"):
        create(cluster, prepared(2, served=NEITHER))
    assert server.objects == {}


def test_what_could_not_be_undone_is_reported(server: Api, cluster: Cluster) -> None:
    server.fault = lambda method, path, query: (
        (403, {"message": "no"}) if path == SERVICES or method == "DELETE" else None
    )
    with pytest.raises(ApiError) as caught:
        create(cluster, prepared(2, served=NEITHER))
    assert "Job r was created and could not be deleted" in caught.value.__notes__[0]


def test_a_lost_response_is_recovered(server: Api, cluster: Cluster) -> None:
    server.lose_answer_of = "POST"
    assert create(cluster, prepared(1))["metadata"]["name"] == "r"
    assert len(server.asked("POST")) == 1


def test_another_run_of_that_name_is_not_taken_for_ours(server: Api, cluster: Cluster) -> None:
    create(cluster, prepared(1, epochs=77))
    server.lose_answer_of = "POST"
    with pytest.raises(ApiError, match="cannot be reached"):
        create(cluster, prepared(1))


def one(kind: str, name: str = "r", **labels: str) -> dict[str, Any]:
    """An object that somebody else created."""
    return {"kind": kind, "metadata": {"name": name, "uid": "theirs", "labels": labels}, "spec": {}}


def run(kind: str, ended: str = "", name: str = "r") -> dict[str, Any]:
    """A run in this shape, alive or with the condition that ended it."""
    labels = {"name": "catdog", "instance": name, "managed-by": "catdog-submit", "component": "run"}
    made = one(kind, name, **{f"app.kubernetes.io/{key}": value for key, value in labels.items()})
    return {**made, "status": {"conditions": [{"type": ended, "status": "True"}] if ended else []}}


PATHS = {"Job": JOBS, "JobSet": SETS, "Service": SERVICES}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("found", "says"),
    [
        (run("Job"), "taken by Job r, a run that is alive; use another --name, or catdog cancel r"),
        (run("JobSet"), "taken by JobSet r, a run that is alive; use another --name, or catdog cancel r"),
        (run("JobSet", "Completed"), "JobSet r, a run that has succeeded; .* or catdog resume r, or catdog delete r"),
        (run("Job", "Failed"), "Job r, a run that has failed; use another --name, or catdog resume r"),
        (one("Job"), "Job r, which is not a run of catdog; use another --name$"),
        (one("JobSet"), "JobSet r, which is not a run of catdog; use another --name$"),
        (one("Service"), "Service r, which is not of this run; use another --name$"),
        ({**run("Job"), "metadata": {**run("Job")["metadata"], "ownerReferences": [{}]}}, "Job r, which is not a run"),
    ],
)
def test_whatever_has_the_name_is_named_and_nothing_is_created(
    server: Api, cluster: Cluster, shape: str, found: dict[str, Any], says: str
) -> None:
    server.objects[f"{PATHS[found['kind']]}/r"] = found
    workers, served = SHAPES[shape]
    with pytest.raises(CliError, match=says) as caught:
        check_free(cluster, prepared(workers, served=served), patience=0)
    assert caught.value.code == Cli.USAGE
    assert list(server.objects.values()) == [found]
    assert all(query.get("dryRun") == "All" for method, _, query, _ in server.requests if method == "POST")


def test_the_child_of_a_job_set_has_a_name_too(server: Api, cluster: Cluster) -> None:
    child = run("Job", name="r-w-0")
    server.objects[f"{JOBS}/r-w-0"] = child
    with pytest.raises(CliError, match="--name r: the name is taken by Job r-w-0, a run that is alive; use another"):
        check_free(cluster, prepared(2))
    check_free(cluster, prepared(1))
    server.objects = {f"{SETS}/r": run("JobSet")}
    with pytest.raises(CliError, match="--name r-w-0: the name is taken by JobSet r"):
        check_free(cluster, prepared(1, name="r-w-0"))


def test_a_service_that_is_going_away_is_waited_for(
    server: Api, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.objects[f"{SERVICES}/r"] = one("Service")
    monkeypatch.setattr(creating.time, "sleep", lambda seconds: server.objects.clear())
    check_free(cluster, prepared(2, served=NEITHER), patience=5)


def test_a_service_that_may_not_be_created_matters_only_to_runs_that_need_one(server: Api, cluster: Cluster) -> None:
    server.fault = lambda method, path, query: (403, {"message": "no"}) if path == SERVICES else None
    for workers, served in SHAPES.values():
        check_free(cluster, prepared(workers, served=served))


def test_a_claim_holds_the_name_until_the_job_set_exists_and_no_longer(server: Api, cluster: Cluster) -> None:
    made = create(cluster, prepared(2))
    assert made["kind"] == "JobSet"
    assert set(server.objects) == {f"{SETS}/r"}
    assert [path for method, path, _, _ in server.requests if method != "GET"] == [JOBS, SETS, f"{JOBS}/r"]
    claim = server.requests[0][3]
    assert (claim["spec"]["completions"], claim["spec"]["parallelism"]) == (0, 0)
    assert claim["spec"]["ttlSecondsAfterFinished"] == 60
    assert claim["metadata"]["labels"]["app.kubernetes.io/component"] == "claim"


def test_a_claim_is_given_back_when_the_job_set_is_refused(server: Api, cluster: Cluster) -> None:
    server.fault = lambda method, path, query: (403, {"message": "no"}) if path == SETS else None
    with pytest.raises(ApiError, match="no permission to create JobSet r"):
        create(cluster, prepared(2))
    assert server.objects == {}


def test_a_claim_that_cannot_be_given_back_fails_nothing(server: Api, cluster: Cluster) -> None:
    server.fault = lambda method, path, query: (403, {"message": "no"}) if method == "DELETE" else None
    assert create(cluster, prepared(2))["kind"] == "JobSet"


def test_a_claim_of_another_submit_is_told_apart_from_a_run(server: Api, cluster: Cluster) -> None:
    claim = prepared(2).claim
    assert claim is not None
    server.objects[f"{JOBS}/r"] = {**claim, "metadata": {**claim["metadata"], "uid": "theirs"}}
    for shape in (prepared(1), prepared(2, epochs=77)):
        with pytest.raises(CliError, match=r"another submit holds it until .*, or try again in a minute"):
            create(cluster, shape)


def test_a_run_of_another_shape_that_came_meanwhile_wins(server: Api, cluster: Cluster) -> None:
    server.objects[f"{SETS}/r"] = run("JobSet")
    with pytest.raises(CliError, match="taken by JobSet r, a run that is alive"):
        create(cluster, prepared(1))
    assert list(server.objects) == [f"{SETS}/r"]


def test_a_service_of_another_that_came_meanwhile_wins(server: Api, cluster: Cluster) -> None:
    server.objects[f"{SERVICES}/r"] = one("Service")
    with pytest.raises(CliError, match="taken by Service r"):
        create(cluster, prepared(2, served=NEITHER))
    assert list(server.objects) == [f"{SERVICES}/r"]


def test_every_object_is_checked_before_any_is_made(server: Api, cluster: Cluster) -> None:
    server.fault = lambda method, path, query: (422, {"message": "bad"}) if path == SERVICES else None
    with pytest.raises(ApiError, match="create Service r: bad"):
        check_on_server(cluster, prepared(2, served=NEITHER))
    assert server.objects == {}
    assert all(query.get("dryRun") == "All" for _, _, query, _ in server.requests)


def test_the_pods_of_a_job_set_are_checked_as_those_of_a_job(server: Api, cluster: Cluster) -> None:
    """The API server does not look into a JobSet's pod template, but the claim has the same in a Job."""
    server.fault = lambda method, path, query: (422, {"message": "bad affinity"}) if path == JOBS else None
    with pytest.raises(ApiError, match="create Job r: bad affinity"):
        check_on_server(cluster, prepared(2))
    assert server.objects == {}

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from k8s.api import client as api
from k8s.api.client import Cluster
from k8s.api.errors import ApiError
from tests.unit.k8s.api.api_server import Api, Configuration, serve

JOBS = "/apis/batch/v1/namespaces/ml/jobs"
PODS = "/api/v1/namespaces/ml/pods"


@pytest.fixture
def server() -> Api:
    return Api()


@pytest.fixture
def cluster(server: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr(api, "_FIRST_WAIT", 0.001)
    with serve(server) as made:
        yield made


def job(name: str = "r") -> dict[str, object]:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {}}


def test_a_dry_run_is_checked_strictly_and_makes_nothing(server: Api, cluster: Cluster) -> None:
    server.warnings = ["would violate PodSecurity"]
    made, warnings = api.create(cluster, job(), dry_run=True)
    assert made["metadata"]["uid"]
    assert warnings == ("would violate PodSecurity",)
    assert server.objects == {}
    assert server.requests[0][:3] == ("POST", JOBS, {"dryRun": "All", "fieldValidation": "Strict"})


def test_deleting_waits_for_what_is_owned_and_takes_this_very_object(server: Api, cluster: Cluster) -> None:
    made, _ = api.create(cluster, job())
    api.delete(cluster, made)
    assert server.objects == {}
    body = server.requests[-1][3]
    assert body["propagationPolicy"] == "Foreground"
    assert body["preconditions"] == {"uid": made["metadata"]["uid"]}
    api.delete(cluster, made)  # gone already


def test_lists_are_read_to_their_last_page(server: Api, cluster: Cluster) -> None:
    server.page = 2
    server.objects = {f"{PODS}/p{i}": {"metadata": {"name": f"p{i}"}} for i in range(5)}
    found = api.items(cluster, PODS, "list pods", selector="a=b")
    assert [one["metadata"]["name"] for one in found] == [f"p{i}" for i in range(5)]
    assert {one["kind"] for one in found} == {"Pod"}
    assert len(server.requests) == 3
    assert all(query["labelSelector"] == "a=b" for _, _, query, _ in server.requests)


def test_reading_is_tried_again_when_the_server_stumbles(server: Api, cluster: Cluster) -> None:
    server.objects[f"{JOBS}/r"] = job()
    server.fault = lambda method, path, query: (503, {"message": "starting"}) if len(server.requests) < 3 else None
    assert api.get(cluster, f"{JOBS}/r", "read job r")["kind"] == "Job"
    assert len(server.requests) == 3


def test_a_refusal_is_not_tried_again(server: Api, cluster: Cluster) -> None:
    server.fault = lambda method, path, query: (403, {"message": "no"})
    with pytest.raises(ApiError, match="no permission to read job r in namespace ml"):
        api.get(cluster, f"{JOBS}/r", "read job r")
    assert len(server.requests) == 1


def test_creating_is_never_tried_again(server: Api, cluster: Cluster) -> None:
    server.fault = lambda method, path, query: (503, {"message": "starting"})
    with pytest.raises(ApiError):
        api.create(cluster, job())
    assert len(server.requests) == 1


def test_what_is_not_there_is_none_but_what_may_not_be_read_is_an_error(server: Api, cluster: Cluster) -> None:
    assert api.find(cluster, f"{JOBS}/r", "read job r") is None
    server.fault = lambda method, path, query: (403, {"message": "no"})
    with pytest.raises(ApiError, match="no permission"):
        api.find(cluster, f"{JOBS}/r", "read job r")


def test_an_api_server_that_is_gone(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    gone = replace(cluster, configuration=Configuration(f"http://127.0.0.1:{port}"))
    with pytest.raises(ApiError, match=f"http://127.0.0.1:{port} cannot be reached") as caught:
        api.get(gone, JOBS, "list jobs")
    assert caught.value.transient


def test_an_answer_that_is_not_json_is_an_error_in_words(server: Api, cluster: Cluster) -> None:
    server.logs["p"] = ["not json"]
    server.fault = lambda method, path, query: (502, {"message": "bad gateway"})
    with pytest.raises(ApiError, match="502 bad gateway"):
        api.get(cluster, JOBS, "list jobs")


def test_log_lines_come_with_their_times(server: Api, cluster: Cluster) -> None:
    server.logs["p"] = ["2026-11-23T12:00:00.1Z one", "2026-11-23T12:00:01Z zwölf"]
    assert list(api.log_lines(cluster, "p", follow=True, since="2026-11-23T12:00:01Z")) == [
        "2026-11-23T12:00:01Z zwölf"
    ]
    assert server.requests[0][2] == {
        "container": "trainer",
        "timestamps": "true",
        "follow": "true",
        "sinceTime": "2026-11-23T12:00:01Z",
    }


def test_a_log_that_cannot_be_read_is_an_error(server: Api, cluster: Cluster) -> None:
    server.fault = lambda method, path, query: (400, {"message": "container is waiting to start"})
    with pytest.raises(ApiError, match="waiting to start"):
        list(api.log_lines(cluster, "p", follow=False))

"""All runs at once: the requests to the cluster and to storage, and the results."""

import json
from pathlib import Path
from typing import Any

import pytest

from k8s.actions import observe
from k8s.api.errors import ApiError
from k8s.explain.phase import phase_of
from tests.unit.k8s.api.api_server import Api, serve
from tests.unit.k8s.explain.sightings import condition, ended, top

JOBS, PODS = "/apis/batch/v1/namespaces/ml/jobs", "/api/v1/namespaces/ml/pods"
SETS = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/ml/jobsets"


def job(name: str, run: str, created: str) -> dict[str, Any]:
    found = top(condition("Complete"), kind="Job")
    labels = {**found["metadata"]["labels"], "app.kubernetes.io/instance": name}
    metadata = {
        **found["metadata"],
        "name": name,
        "labels": labels,
        "creationTimestamp": created,
        "annotations": {"catdog.dev/run": run},
    }
    return {**found, "metadata": metadata}


def pod(run: str) -> dict[str, Any]:
    found = ended(0)
    labels = {**found["metadata"].get("labels", {}), "app.kubernetes.io/instance": run}
    return {**found, "metadata": {**found["metadata"], "name": f"{run}-0", "labels": labels}}


def state(folder: Path, word: str, updated: str = "2026-11-23T12:00:00+00:00") -> None:
    folder.mkdir(parents=True)
    (folder / "state.json").write_text(json.dumps({"state": word, "updated": updated}))


def cluster_of(runs: Path, count: int) -> Api:
    api = Api()
    for number in range(count):
        name = f"r{number:02d}"
        api.objects[f"{JOBS}/{name}"] = job(name, f"{runs}/{name}", f"2026-11-23T12:00:{number:02d}Z")
        api.objects[f"{PODS}/{name}-0"] = pod(name)
        state(runs / name, "succeeded")
    return api


def test_thirty_runs_are_listed_with_one_request_of_each_kind(tmp_path: Path) -> None:
    api = cluster_of(tmp_path, 30)
    api.objects[f"{SETS}/s"] = job("s", str(tmp_path / "s"), "2026-11-23T13:00:00Z")
    with serve(api) as cluster:
        listed, trouble = observe.list_runs(cluster, str(tmp_path), jobset=True)
    assert sorted(api.asked("GET")) == sorted([JOBS, SETS, PODS])
    assert trouble == ""
    assert [one.observation.name for one in listed] == ["s", *(f"r{number:02d}" for number in reversed(range(30)))]
    assert [len(one.observation.pods) for one in listed] == [0, *[1] * 30]
    assert all(phase_of(one.observation) == "succeeded" for one in listed)


def test_a_folder_without_objects_is_a_run_too_and_none_is_listed_twice(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    api = cluster_of(runs, 2)
    state(runs / "old", "failed", "2026-11-22T12:00:00+00:00")
    state(runs / "older", "cancelled", "2026-11-21T12:00:00+00:00")
    with serve(api) as cluster:
        listed, _ = observe.list_runs(cluster, f"{runs}/", jobset=False)
    assert [(one.observation.name, phase_of(one.observation)) for one in listed] == [
        ("r01", "succeeded"),
        ("r00", "succeeded"),
        ("old", "failed"),
        ("older", "cancelled"),
    ]
    assert [one.uri for one in listed] == [f"{runs}/{name}" for name in ("r01", "r00", "old", "older")]


def test_a_run_elsewhere_is_read_where_it_is(tmp_path: Path) -> None:
    state(tmp_path / "elsewhere" / "x", "running")
    api = Api()
    api.objects[f"{JOBS}/x"] = job("x", str(tmp_path / "elsewhere" / "x"), "2026-11-23T12:00:00Z")
    api.objects[f"{PODS}/x-0"] = pod("x")
    with serve(api) as cluster:
        [found], trouble = observe.list_runs(cluster, str(tmp_path / "runs"), jobset=False)
        [same], _ = observe.list_runs(cluster, "", jobset=False)
    assert (found.observation.state or {})["state"] == (same.observation.state or {})["state"] == "running"
    assert trouble == ""


def test_a_forbidden_listing_raises(tmp_path: Path) -> None:
    api = Api(fault=lambda method, path, query: (403, {"message": "no"}) if path == PODS else None)
    api.objects[f"{JOBS}/x"] = job("x", "", "2026-11-23T12:00:00Z")
    with serve(api) as cluster, pytest.raises(ApiError, match="list pods"):
        observe.list_runs(cluster, str(tmp_path), jobset=False)

"""What is read of a pod is the trainer's, also next to sidecars."""

import pytest

from k8s.explain import observation
from k8s.explain.why import explain
from tests.unit.k8s.explain.sightings import Object, ended, pod, running, seen, top

SIDECAR = {"name": "istio-proxy", "state": {"running": {"startedAt": "2026-11-23T11:00:00Z"}}}


def beside(one: Object, *, first: bool) -> Object:
    """The pod with a sidecar, listed before or after the trainer."""

    def joined(mine: list[Object], other: Object) -> list[Object]:
        return [other, *mine] if first else [*mine, other]

    resources = {"limits": {"memory": "64Mi"}}
    containers = joined(one["spec"]["containers"], {"name": "istio-proxy", "image": "proxy:1", "resources": resources})
    made = {**one, "spec": {**one["spec"], "containers": containers}}
    if "containerStatuses" in one["status"]:
        made["status"] = {**one["status"], "containerStatuses": joined(one["status"]["containerStatuses"], SIDECAR)}
    return made


@pytest.mark.parametrize("first", [True, False])
def test_a_sidecar_is_never_taken_for_the_trainer(first: bool) -> None:
    failed = beside(ended(66, "66: no data"), first=first)
    assert observation.terminated(failed)["exitCode"] == 66
    assert observation.started(failed)
    cause = explain(seen(top(), failed))[0]
    assert "exit code 66" in cause.cause
    assert observation.container_spec(failed)["image"] == "registry.example/catdog:1"
    killed = beside(ended(137, reason="OOMKilled"), first=first)
    assert any("its limit, 16Gi" in one.cause for one in explain(seen(top(), killed)))


def test_a_sidecar_alone_is_no_start() -> None:
    only = running()
    assert observation.started(only)
    assert not observation.started({**only, "status": {**only["status"], "containerStatuses": [SIDECAR]}})
    assert observation.container(pod()) == {}

from decimal import Decimal
from typing import Any

import pytest

from k8s.planning.capacity import NodeSpace, fitting, matching, one_each, requests, spaces


def node(
    name: str = "n",
    labels: dict[str, str] | None = None,
    taints: list[Any] | None = None,
    ready: str = "True",
    **spec: Any,
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": taints or [], **spec},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "allocatable": {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "2", "pods": "10"},
        },
    }


def pod(node_name: str | None, phase: str = "Running", **quantities: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"resources": {"requests": quantities}}]}
    if node_name:
        spec["nodeName"] = node_name
    return {"metadata": {"name": "p"}, "spec": spec, "status": {"phase": phase}}


def test_free_is_what_unfinished_pods_leave() -> None:
    pods = [
        pod("n", cpu="500m"),
        pod("n", memory="2Gi"),
        pod("n", "Succeeded", cpu="3"),
        pod("other", cpu="3"),
        pod(None, cpu="1"),
    ]
    [space] = spaces([node()], pods)
    assert space.free is not None
    assert space.free["cpu"] == Decimal("3.5")
    assert space.free["memory"] == 6 * 2**30
    assert space.free["pods"] == 8
    assert space.allocatable["cpu"] == 4


def test_free_is_unknown_if_pods_cannot_be_listed() -> None:
    assert spaces([node()], None)[0].free is None


def test_requests_are_of_all_containers_or_the_largest_init_container() -> None:
    one = {
        "metadata": {"name": "p"},
        "spec": {
            "containers": [{"resources": {"requests": {"cpu": "1"}}}, {"resources": {"requests": {"cpu": "1"}}}],
            "initContainers": [
                {"resources": {"requests": {"cpu": "3", "memory": "1Gi"}}},
                {"restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}},
            ],
            "overhead": {"cpu": "250m"},
        },
    }
    assert requests(one) == {"cpu": Decimal("3.25"), "memory": Decimal(2**30)}


@pytest.mark.parametrize(
    ("taint", "toleration", "fits"),
    [
        ({"key": "gpu", "effect": "NoSchedule"}, {"key": "gpu", "operator": "Exists"}, True),
        ({"key": "gpu", "value": "a", "effect": "NoSchedule"}, {"key": "gpu", "value": "a"}, True),
        ({"key": "gpu", "value": "a", "effect": "NoSchedule"}, {"key": "gpu", "value": "b"}, False),
        ({"key": "gpu", "effect": "NoSchedule"}, {"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "gpu", "effect": "NoSchedule"}, {"operator": "Exists"}, True),
        ({"key": "gpu", "effect": "NoSchedule"}, {"key": "spot", "operator": "Exists"}, False),
        ({"key": "gpu", "effect": "PreferNoSchedule"}, {"key": "spot"}, True),
    ],
)
def test_taints(taint: dict[str, str], toleration: dict[str, str], fits: bool) -> None:
    assert bool(matching([node(taints=[taint])], {}, [toleration])) is fits


def test_only_nodes_that_take_pods_match() -> None:
    nodes = [
        node("good", {"pool": "a"}),
        node("other", {"pool": "b"}),
        node("cordoned", {"pool": "a"}, unschedulable=True),
        node("down", {"pool": "a"}, ready="Unknown"),
    ]
    assert [one["metadata"]["name"] for one in matching(nodes, {"pool": "a"}, [])] == ["good"]


def test_workers_that_need_the_nodes_ports_are_one_a_node() -> None:
    many = {"cpu": Decimal(64), "pods": Decimal(110)}
    [one] = one_each([NodeSpace("a", many, many)])
    assert (fitting(one.allocatable, {"cpu": Decimal(1)}), fitting(one.free or {}, {"cpu": Decimal(1)})) == (1, 1)
    [full, unknown] = one_each([NodeSpace("a", many, {**many, "pods": Decimal(0)}), NodeSpace("b", {}, None)])
    assert fitting(full.free or {}, {"cpu": Decimal(1)}) == 0
    assert unknown.free is None


def test_fitting_counts_whole_workers_and_places_for_pods() -> None:
    need = {"cpu": Decimal("1.5"), "nvidia.com/gpu": Decimal(0)}
    assert fitting({"cpu": Decimal(4)}, need) == 2
    assert fitting({"cpu": Decimal(4), "pods": Decimal(1)}, need) == 1
    assert fitting({"memory": Decimal(4)}, need) == 0

"""Node capacity: from the API's node and pod objects to the resources that are free for workers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from k8s.planning import quantity

Object = Mapping[str, Any]
Amounts = Mapping[str, Decimal]

_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class NodeSpace:
    """One node that workers can be scheduled to. `free` is None if listing pods is not allowed.

    Amounts are in base units by resource name: CPUs, bytes, pods, devices.
    """

    name: str
    allocatable: Amounts
    free: Amounts | None = None


def matching(nodes: Iterable[Object], node_selector: Mapping[str, str], tolerations: Iterable[Object]) -> list[Object]:
    """The nodes that pods with this selector and these tolerations can be scheduled to, ready and not cordoned."""
    wanted = list(tolerations)
    return [
        node
        for node in nodes
        if not (node.get("spec") or {}).get("unschedulable")
        and _ready(node)
        and node_selector.items() <= (node["metadata"].get("labels") or {}).items()
        and not untolerated(node, wanted)
    ]


def untolerated(node: Object, tolerations: Iterable[Object]) -> list[Object]:
    """The taints of a node that keep pods with these tolerations off it."""
    wanted = list(tolerations)
    return [taint for taint in (node.get("spec") or {}).get("taints") or () if not _tolerated(taint, wanted)]


def spaces(nodes: Iterable[Object], pods: Iterable[Object] | None) -> list[NodeSpace]:
    """What each node has, and what the requests of its `pods` leave free (None: unknown)."""
    used: dict[str, dict[str, Decimal]] = {}
    for pod in pods or ():
        name = (pod.get("spec") or {}).get("nodeName")
        if name and (pod.get("status") or {}).get("phase") not in _ENDED:
            _add(used.setdefault(name, {}), {**requests(pod), "pods": Decimal(1)})
    made = []
    for node in nodes:
        name = node["metadata"]["name"]
        has = _amounts((node.get("status") or {}).get("allocatable"), f"node {name}")
        taken = used.get(name, {})
        free = {resource: max(Decimal(0), amount - taken.get(resource, Decimal(0))) for resource, amount in has.items()}
        made.append(NodeSpace(name, has, None if pods is None else free))
    return made


def one_each(nodes: Iterable[NodeSpace]) -> list[NodeSpace]:
    """The nodes with room for one worker at most, whatever else they have: workers that need the node's ports."""

    def capped(amounts: Amounts) -> Amounts:
        return {**amounts, "pods": min(amounts.get("pods", Decimal(1)), Decimal(1))}

    return [
        NodeSpace(one.name, capped(one.allocatable), None if one.free is None else capped(one.free)) for one in nodes
    ]


def requests(pod: Object) -> dict[str, Decimal]:
    """What a pod reserves on its node: the sum over containers, or the largest init container if that is more.

    As in https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
    """
    spec = pod.get("spec") or {}
    where = f"pod {pod['metadata'].get('name', '')}"
    total: dict[str, Decimal] = {}
    largest: dict[str, Decimal] = {}
    for container in spec.get("containers") or ():
        _add(total, _amounts((container.get("resources") or {}).get("requests"), where))
    for container in spec.get("initContainers") or ():
        asked = _amounts((container.get("resources") or {}).get("requests"), where)
        if container.get("restartPolicy") == "Always":
            _add(total, asked)
        else:
            largest = {
                name: max(largest.get(name, Decimal(0)), asked.get(name, Decimal(0))) for name in largest | asked
            }
    for name, amount in largest.items():
        total[name] = max(total.get(name, Decimal(0)), amount)
    _add(total, _amounts(spec.get("overhead"), where))
    return total


def fitting(amounts: Amounts, need: Amounts) -> int:
    """How many workers with this need fit into these amounts; the limit on pods counts if it is known."""
    counts = [int(amounts.get(name, Decimal(0)) // amount) for name, amount in need.items() if amount > 0]
    if "pods" in amounts:
        counts.append(int(amounts["pods"]))
    return min(counts, default=0)


def _amounts(quantities: Mapping[str, Any] | None, where: str) -> dict[str, Decimal]:
    return {name: quantity.parse(str(text), f"{where}: {name}") for name, text in (quantities or {}).items()}


def _add(total: dict[str, Decimal], more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Decimal(0)) + amount


def _ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return all(one["status"] == "True" for one in conditions if one["type"] == "Ready")


def _tolerated(taint: Object, tolerations: Iterable[Object]) -> bool:
    return taint.get("effect") == "PreferNoSchedule" or any(_matches(taint, one) for one in tolerations)


def _matches(taint: Object, toleration: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    exists = toleration.get("operator", "Equal") == "Exists"
    return exists or (bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", ""))

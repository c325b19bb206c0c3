"""Requested GPUs → workers × GPUs per worker, given what the nodes have and what is free. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from k8s.exits import usage
from k8s.planning import quantity
from k8s.planning.capacity import Amounts, NodeSpace, fitting

Need = Callable[[int], Amounts]
"""What one worker with this many GPUs requests, by resource."""


@dataclass(frozen=True)
class Plan:
    """`workers` equal workers with `gpus` GPUs each; `note` gives the reason in one line.

    `fits`: "now" into what is free, "later" into what the nodes have, "nowhere", or "unknown" without node data.
    """

    workers: int
    gpus: int
    fits: str
    note: str


def plan(
    total: int,
    need: Need,
    nodes: Sequence[NodeSpace] | None,
    gpus_per_node: int,
    *,
    workers: int | None = None,
    gpus_per_worker: int | None = None,
    slices: str = "",
) -> Plan:
    """Divide `total` GPUs among the fewest equal workers; `workers` or `gpus_per_worker` fix the shape.

    Each gets the largest divisor of `total` that fits into what is free, else into what the nodes have. Nodes that
    cannot be read (None), or do not exist yet (an autoscaled pool), rule out nothing: then `gpus_per_node` decides.
    With `total` 0: CPU workers, one unless `workers` says otherwise. `slices` is the resource if its units are slices
    of GPUs (MIG): each worker gets one, since a process sees one slice at most.

    Raises:
        CliError: 2 for counts that do not divide, or that give a worker several slices.
    """
    if total < 0:
        raise usage(f"--gpus is {total}; it must be 0 (CPU workers) or more")
    for flag, count in (("--workers", workers), ("--gpus-per-node", gpus_per_worker)):
        if count is not None and count < 1:
            raise usage(f"{flag} is {count}; it must be at least 1")
    if slices and total:
        _check_slices(total, workers, gpus_per_worker, slices)
        chosen = _plan(_shapes(total, workers, 1), need, nodes, gpus_per_node)
        return replace(chosen, note=f"{chosen.note}; one worker, one slice: a process sees one MIG device ({slices})")
    return _plan(_shapes(total, workers, gpus_per_worker), need, nodes, gpus_per_node)


def _check_slices(total: int, workers: int | None, gpus_per_worker: int | None, slices: str) -> None:
    rule = f"a worker uses one slice of {slices}, since a process sees one MIG device"
    if gpus_per_worker not in (None, 1):
        raise usage(f"--gpus-per-node is {gpus_per_worker}, but {rule}; leave it out")
    if workers not in (None, total):
        raise usage(f"--gpus {total} with --workers {workers}: {rule}; use --workers {total}, or leave it out")


def _plan(shapes: list[tuple[int, int]], need: Need, nodes: Sequence[NodeSpace] | None, gpus_per_node: int) -> Plan:
    if not nodes:
        return _without_nodes(shapes, nodes, gpus_per_node)
    if all(node.free is not None for node in nodes):
        for count, gpus in shapes:
            if _room([node.free or {} for node in nodes], need(gpus)) >= count:
                return Plan(count, gpus, "now", f"{_words(count, gpus)}: free now on {_nodes(len(nodes))}")
    for count, gpus in shapes:
        if _room([node.allocatable for node in nodes], need(gpus)) >= count:
            known = all(node.free is not None for node in nodes)
            why = (
                "the nodes have enough, but not all of it is free: it will wait"
                if known
                else "the nodes have enough; whether it is free is unknown"
            )
            return Plan(count, gpus, "later", f"{_words(count, gpus)}: {why}")
    return _nowhere(shapes, need, nodes, gpus_per_node)


def _shapes(total: int, workers: int | None, gpus_per_worker: int | None) -> list[tuple[int, int]]:
    """The allowed (workers, GPUs per worker), largest workers first."""
    if total == 0:
        if gpus_per_worker:
            raise usage(f"--gpus 0 means CPU workers; omit --gpus-per-node {gpus_per_worker}")
        return [(workers or 1, 0)]
    shapes = [(total // gpus, gpus) for gpus in range(total, 0, -1) if total % gpus == 0]
    if workers is not None:
        shapes = [shape for shape in shapes if shape[0] == workers]
        if not shapes:
            raise usage(f"--gpus {total} cannot be divided equally among --workers {workers}")
    if gpus_per_worker is not None:
        shapes = [shape for shape in shapes if shape[1] == gpus_per_worker]
        if not shapes:
            beside = f" and --workers {workers}" if workers is not None else ""
            raise usage(f"--gpus {total} cannot be divided equally into --gpus-per-node {gpus_per_worker}{beside}")
    return shapes


def _without_nodes(shapes: list[tuple[int, int]], nodes: Sequence[NodeSpace] | None, gpus_per_node: int) -> Plan:
    count, gpus = next((shape for shape in shapes if shape[1] <= gpus_per_node), shapes[-1])
    why = "the nodes were not read" if nodes is None else "no node matches yet"
    rule = "" if len(shapes) == 1 else f"; gpusPerNode in the platform is {gpus_per_node}"
    return Plan(count, gpus, "unknown", f"{_words(count, gpus)}: {why}{rule}")


def _nowhere(shapes: list[tuple[int, int]], need: Need, nodes: Sequence[NodeSpace], gpus_per_node: int) -> Plan:
    """Nothing fits: choose workers that fit on one node if possible, and say what would fit."""
    has = [node.allocatable for node in nodes]
    single = [shape for shape in shapes if _room(has, need(shape[1])) >= 1]
    count, gpus = single[0] if single else next((s for s in shapes if s[1] <= gpus_per_node), shapes[-1])
    room = _room(has, need(gpus))
    if room:
        would = f"room for {room} of {count}; {_advice(room, gpus)} would fit"
    else:
        would = f"one worker needs {_amounts(need(gpus))}, the closest node has {_amounts(_largest(has, need(gpus)))}"
    return Plan(count, gpus, "nowhere", f"{_words(count, gpus)}: does not fit {_nodes(len(nodes))}: {would}")


def _advice(room: int, gpus: int) -> str:
    return f"--gpus {room * gpus}" if gpus else f"--workers {room}"


def _room(amounts: Sequence[Amounts], need: Amounts) -> int:
    return sum(fitting(one, need) for one in amounts)


def _largest(amounts: Sequence[Amounts], need: Amounts) -> Amounts:
    """The amounts of the requested resources on the node that comes closest."""

    def lacking(one: Amounts) -> tuple[int, Decimal]:
        short = [name for name in need if one.get(name, Decimal(0)) < need[name]]
        return len(short), -sum((one.get(name, Decimal(0)) / need[name] for name in short), Decimal(0))

    best = min(amounts, key=lacking)
    return {name: best.get(name, Decimal(0)) for name in need}


def _amounts(amounts: Amounts) -> str:
    return ", ".join(f"{name} {quantity.shown(amount)}" for name, amount in amounts.items())


def _words(workers: int, gpus: int) -> str:
    kind = f"{gpus} GPU{'s' if gpus != 1 else ''} each" if gpus else "on CPU"
    return f"{workers} worker{'s' if workers != 1 else ''}, {kind}"


def _nodes(count: int) -> str:
    return f"the {count} matching nodes" if count != 1 else "the one matching node"

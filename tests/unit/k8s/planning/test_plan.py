from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s.exits import Cli, CliError
from k8s.planning.capacity import Amounts, NodeSpace
from k8s.planning.plan import Plan, plan

GPU = "nvidia.com/gpu"


def need(gpus: int) -> Amounts:
    return {"cpu": Decimal(max(1, gpus)), **({GPU: Decimal(gpus)} if gpus else {})}


def node(name: str, gpus: int, free: int | None = None, cpu: int = 64) -> NodeSpace:
    def amounts(count: int) -> Amounts:
        return {GPU: Decimal(count), "cpu": Decimal(cpu), "pods": Decimal(100)}

    return NodeSpace(name, amounts(gpus), None if free is None else amounts(free))


@pytest.mark.parametrize(
    ("nodes", "shape", "fits"),
    [
        ([node("a", 4, 4)], (1, 4), "now"),
        ([node("a", 4, 4), node("b", 8, 8)], (1, 4), "now"),
        ([node("a", 4, 2), node("b", 4, 2)], (2, 2), "now"),
        ([node("a", 4, 1), node("b", 4, 3)], (4, 1), "now"),
        ([node("a", 2, 2), node("b", 2, 2)], (2, 2), "now"),
        ([node(str(i), 1, 1) for i in range(4)], (4, 1), "now"),
        ([node("a", 3, 3), node("b", 2, 2)], (2, 2), "now"),
        ([node("a", 4, 0)], (1, 4), "later"),
        ([node("a", 4)], (1, 4), "later"),
        ([node("a", 2), node("b", 2)], (2, 2), "later"),
        ([node("a", 2, 2)], (2, 2), "nowhere"),
        ([node("a", 0, 0)], (4, 1), "nowhere"),
        ([node("a", 4, 4, cpu=3)], (2, 2), "nowhere"),
    ],
)
def test_four_gpus(nodes: list[NodeSpace], shape: tuple[int, int], fits: str) -> None:
    chosen = plan(4, need, nodes, gpus_per_node=1)
    assert (chosen.workers, chosen.gpus) == shape
    assert chosen.fits == fits


@pytest.mark.parametrize("nodes", [None, []])
@pytest.mark.parametrize(("per_node", "shape"), [(1, (4, 1)), (2, (2, 2)), (3, (2, 2)), (4, (1, 4)), (8, (1, 4))])
def test_without_nodes_the_platform_decides(
    nodes: list[NodeSpace] | None, per_node: int, shape: tuple[int, int]
) -> None:
    chosen = plan(4, need, nodes, per_node)
    assert (chosen.workers, chosen.gpus, chosen.fits) == (*shape, "unknown")
    assert f"gpusPerNode in the platform is {per_node}" in chosen.note


def test_what_would_fit_is_said() -> None:
    assert "--gpus 2 would fit" in plan(4, need, [node("a", 2, 2)], 1).note
    note = plan(4, need, [node("a", 0, 0), node("b", 0, 0, cpu=1)], 4).note
    assert "one worker needs cpu 4, nvidia.com/gpu 4, the closest node has cpu 64, nvidia.com/gpu 0" in note
    assert "--workers 1 would fit" in plan(0, lambda _: {"cpu": Decimal(40)}, [node("a", 0, 0)], 1, workers=2).note


def test_cpu_workers() -> None:
    assert plan(0, need, [node("a", 0, 0)], 1) == Plan(
        1, 0, "now", "1 worker, on CPU: free now on the one matching node"
    )
    assert (plan(0, need, None, 1, workers=3).workers, plan(0, need, None, 1, workers=3).gpus) == (3, 0)


def test_a_requested_shape_is_kept() -> None:
    big = [node("a", 8, 8)]
    assert plan(4, need, big, 1, workers=2).gpus == 2
    assert plan(4, need, big, 1, gpus_per_worker=1).workers == 4
    assert plan(4, need, big, 1, workers=4, gpus_per_worker=1).fits == "now"
    assert plan(4, need, None, 1, workers=1).gpus == 4


@pytest.mark.parametrize(
    ("total", "workers", "each", "message"),
    [
        (-1, None, None, "--gpus is -1"),
        (4, 3, None, "divided equally among"),
        (4, None, 3, "divided equally into"),
        (4, 2, 4, "and --workers 2"),
        (0, None, 2, "omit --gpus-per-node 2"),
        (4, 0, None, "--workers is 0"),
        (4, None, -2, "--gpus-per-node is -2"),
    ],
)
def test_counts_that_do_not_divide(total: int, workers: int | None, each: int | None, message: str) -> None:
    with pytest.raises(CliError, match=message) as caught:
        plan(total, need, None, 1, workers=workers, gpus_per_worker=each)
    assert caught.value.code == Cli.USAGE


MIG = "nvidia.com/mig-1g.10gb"


def test_of_mig_slices_each_worker_gets_one_and_the_plan_says_why() -> None:
    for nodes in (None, [node("a", 8, 8)], [node("a", 4, 4), node("b", 4, 4)]):
        chosen = plan(4, need, nodes, 8, slices=MIG)
        assert (chosen.workers, chosen.gpus) == (4, 1)
        assert chosen.note.endswith(f"; one worker, one slice: a process sees one MIG device ({MIG})")
    assert plan(4, need, None, 8, workers=4, gpus_per_worker=1, slices=MIG).workers == 4
    assert plan(0, need, None, 8, workers=2, slices=MIG) == plan(0, need, None, 8, workers=2)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"gpus_per_worker": 2}, "--gpus-per-node is 2, but a worker uses one slice of nvidia.com/mig-1g.10gb"),
        ({"workers": 2}, "--gpus 4 with --workers 2: a worker uses one slice .*; use --workers 4"),
    ],
)
def test_several_slices_for_a_worker_are_refused(asked: dict[str, int], message: str) -> None:
    with pytest.raises(CliError, match=message) as caught:
        plan(4, need, None, 1, workers=asked.get("workers"), gpus_per_worker=asked.get("gpus_per_worker"), slices=MIG)
    assert caught.value.code == Cli.USAGE


nodes_of = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=6).map(
    lambda pairs: [node(str(i), max(a, b), min(a, b)) for i, (a, b) in enumerate(pairs)]
)


@given(st.integers(1, 48), nodes_of, st.integers(1, 8))
def test_workers_are_equal_and_use_every_gpu(total: int, nodes: list[NodeSpace], per_node: int) -> None:
    chosen = plan(total, need, nodes, per_node)
    assert chosen.workers * chosen.gpus == total


@given(st.integers(1, 48), nodes_of)
def test_no_larger_worker_would_have_fitted(total: int, nodes: list[NodeSpace]) -> None:
    chosen = plan(total, need, nodes, 1)

    def room(gpus: int, free: bool) -> int:
        amounts = [(n.free or {}) if free else n.allocatable for n in nodes]
        return sum(int(a[GPU]) // gpus for a in amounts)

    larger = [g for g in range(chosen.gpus + 1, total + 1) if total % g == 0]
    if chosen.fits in ("now", "later"):
        free = chosen.fits == "now"
        assert room(chosen.gpus, free) >= chosen.workers
        assert all(room(g, free) < total // g for g in larger)
    if chosen.fits != "now":
        assert all(room(g, True) < total // g for g in range(1, total + 1) if total % g == 0)


@given(st.integers(1, 16), nodes_of)
def test_more_free_nodes_never_make_smaller_workers(total: int, nodes: list[NodeSpace]) -> None:
    before = plan(total, need, nodes, 1)
    after = plan(total, need, [*nodes, node("more", 8, 8)], 1)
    assert after.gpus >= before.gpus or before.fits != "now"

"""The order of `--shuffle blocks`: each picture once, a worker's pieces its own, and never another order silently."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.blocks import Blocks, block_order, blocks_of, first_pieces, is_sorted_by_class, lanes
from trainer.data.examples import Example, Place
from trainer.data.order import EpochOrder

sizes = st.lists(st.integers(1, 30), max_size=40)
batches = st.integers(1, 70)
seeds = st.integers(0, 2**31 - 1)


def blocks(counts: list[int]) -> Blocks:
    """Blocks of so many pictures, whose ids are mixed."""
    laid = np.random.default_rng(0).permutation(sum(counts)).astype(np.int64)
    return Blocks(laid, np.cumsum([0, *counts]).astype(np.int64))


def block_of(order: EpochOrder, held: Blocks) -> list[int]:
    places = np.argsort(held.laid)[order.ids]
    return [int(one) for one in np.searchsorted(held.starts, places, side="right") - 1]


def pieces_of(order: EpochOrder) -> np.ndarray:
    assert order.pieces is not None
    return order.pieces


@given(seeds, sizes, batches, st.integers(0, 9))
def test_an_order_is_a_permutation_and_each_piece_lies_in_one_block_side_by_side(
    seed: int, counts: list[int], batch: int, epoch: int
) -> None:
    held = blocks(counts)
    order = block_order(seed, held, batch, epoch)
    assert order.ids.dtype == np.int64
    assert sorted(order.ids.tolist()) == list(range(sum(counts)))
    place = np.argsort(held.laid)
    for piece in set(pieces_of(order).tolist()):
        members = order.ids[pieces_of(order) == piece]
        there = np.sort(place[members])
        assert there.tolist() == list(range(there[0], there[0] + len(there)))
        assert len({block_of(order, held)[int(at)] for at in np.flatnonzero(pieces_of(order) == piece)}) == 1


@given(seeds, sizes, batches)
def test_replicas_share_no_piece_in_full_batches(seed: int, counts: list[int], batch: int) -> None:
    order = block_order(seed, blocks(counts), batch, 0)
    full = len(order.ids) // batch
    for replicas in (number for number in range(1, 9) if lanes(batch) % number == 0):
        rows = pieces_of(order)[: full * batch].reshape(full, replicas, batch // replicas)
        owners = [set(rows[:, replica].ravel().tolist()) for replica in range(replicas)]
        assert sum(map(len, owners)) == len(set().union(*owners))


@given(seeds)
def test_a_batch_has_pictures_of_as_many_blocks_as_there_are_lanes(seed: int) -> None:
    held = blocks([5] * 64)
    order = block_order(seed, held, 16, 0)
    for start in range(0, len(order.ids) // 16 * 16, 16):
        assert len(set(block_of(EpochOrder(order.ids[start : start + 16]), held))) == 16


@given(seeds)
def test_epochs_and_seeds_differ(seed: int) -> None:
    held = blocks([5] * 20)
    orders = {block_order(seed + more, held, 8, epoch).ids.tobytes() for more in (0, 1) for epoch in range(3)}
    assert len(orders) == 6


def test_within_a_block_pictures_are_mixed() -> None:
    held = Blocks(np.arange(400), np.array([0, 400]))
    order = block_order(3, held, 1, 0)
    assert set(pieces_of(order).tolist()) == {0}
    assert np.corrcoef(order.ids, np.arange(400))[0, 1] < 0.3


# These values are part of what a run is: a run that is resumed with another catdog must see the same order.
GOLDEN = {
    (0, 0): [12, 7, 5, 0, 13, 8, 10, 1, 11, 6, 4, 2, 9, 3],
    (7, 3): [8, 6, 1, 12, 7, 5, 2, 11, 9, 4, 0, 13, 3, 10],
}


@pytest.mark.parametrize(("seed", "epoch"), GOLDEN)
def test_orders_never_change_silently(seed: int, epoch: int) -> None:
    held = Blocks(np.arange(14)[::-1].copy(), np.array([0, 3, 4, 9, 14]))
    assert block_order(seed, held, 4, epoch).ids.tolist() == GOLDEN[seed, epoch]
    assert held.fingerprint == "435dc7d19fcf176a"


LANES = {1: 1, 7: 7, 20: 20, 32: 32, 37: 1, 48: 24, 50: 10, 64: 32, 100: 20, 256: 32}


def test_lanes_are_a_number_that_many_replica_counts_divide() -> None:
    assert {batch: lanes(batch) for batch in LANES} == LANES


def packed(*places: tuple[str, int]) -> list[Example]:
    return [Example(f"train/a/{i}.jpg", 0, 5, 0, Place(*place)) for i, place in enumerate(places)]


def test_blocks_are_stretches_of_a_shard_in_order_of_place_whatever_the_ids() -> None:
    held = blocks_of(packed(("s1", 90), ("s0", 5), ("s1", 0), ("s0", 105), ("s1", 20)), 100)
    assert held is not None
    assert held.laid.tolist() == [1, 3, 2, 4, 0]
    assert held.starts.tolist() == [0, 1, 2, 5]


def test_loose_pictures_have_no_blocks() -> None:
    assert blocks_of([*packed(("s1", 90)), Example("train/a/9.jpg", 0, 5, 0)]) is None


def test_the_same_pictures_packed_otherwise_have_another_fingerprint() -> None:
    ways = [(0, 50, 100), (50, 0, 100), (0, 150, 100), (0, 5, 9)]
    made = [blocks_of(packed(*(("s0", offset) for offset in way)), 100) for way in ways]
    assert len({one.fingerprint for one in made if one is not None}) == len(ways)


def test_first_pieces_are_whole_and_enough() -> None:
    order = block_order(0, blocks([5] * 20), 8, 0)
    ids = first_pieces(order, 12)
    chosen = {int(piece) for piece, i in zip(pieces_of(order), order.ids, strict=True) if i in ids}
    assert 12 <= len(ids) <= 12 + 5
    assert sorted(ids.tolist()) == sorted(
        int(i) for piece, i in zip(pieces_of(order), order.ids, strict=True) if piece in chosen
    )
    assert sorted(first_pieces(order, 1000).tolist()) == list(range(100))


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_classes_one_after_another_are_noticed_and_mixed_ones_are_not(classes: int) -> None:
    held, labels = Blocks(np.arange(1000), np.array([0, 1000])), np.arange(1000, dtype=np.int32) * classes // 1000
    assert is_sorted_by_class(held, labels.astype(np.int32))
    assert not is_sorted_by_class(held, np.random.default_rng(1).permutation(labels).astype(np.int32))

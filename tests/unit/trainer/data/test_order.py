import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.order import PADDING, Layout, Schedule, batch_ids, epoch_order

seeds = st.integers(0, 2**31 - 1)
epochs = st.integers(0, 10_000)
counts = st.integers(1, 500)
batches = st.integers(1, 130)


@given(seeds, epochs, counts)
def test_an_order_is_a_permutation(seed: int, epoch: int, examples: int) -> None:
    order = epoch_order(seed, epoch, examples)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(examples))


@given(seeds, epochs, counts)
def test_an_order_is_a_function_of_seed_and_epoch_alone(seed: int, epoch: int, examples: int) -> None:
    first = epoch_order(seed, epoch, examples)
    np.random.seed(epoch)  # the global generator must not matter
    assert np.array_equal(first, epoch_order(seed, epoch, examples))


@given(seeds, st.lists(epochs, min_size=2, max_size=5, unique=True))
def test_epochs_and_seeds_differ(seed: int, chosen: list[int]) -> None:
    orders = {epoch_order(seed, epoch, 50).tobytes() for epoch in chosen}
    assert len(orders) == len(chosen)
    assert epoch_order(seed + 1, chosen[0], 50).tobytes() not in orders


def test_seed_and_epoch_are_not_interchangeable() -> None:
    assert epoch_order(1, 2, 50).tolist() != epoch_order(2, 1, 50).tolist()


# These values are part of what a run is: a run that is resumed with another catdog must see the same order.
GOLDEN = {
    (0, 0): [0, 2, 11, 9, 1, 8, 5, 4, 3, 10, 6, 7],
    (0, 1): [5, 3, 7, 8, 11, 2, 4, 1, 10, 0, 6, 9],
    (7, 3): [2, 5, 9, 7, 3, 0, 6, 8, 4, 1, 11, 10],
    (2**31 - 1, 999): [11, 0, 3, 5, 8, 9, 1, 7, 2, 10, 6, 4],
}


@pytest.mark.parametrize(("seed", "epoch"), GOLDEN)
def test_orders_never_change_silently(seed: int, epoch: int) -> None:
    assert epoch_order(seed, epoch, 12).tolist() == GOLDEN[seed, epoch]


def test_every_place_is_taken_by_every_example_about_equally_often() -> None:
    first = np.array([epoch_order(5, epoch, 10)[0] for epoch in range(5000)])
    assert np.bincount(first, minlength=10).min() > 400  # 500 expected, 21 the standard deviation


@given(counts, batches, seeds)
def test_batches_hold_every_example_once_and_padding_at_the_very_end(examples: int, size: int, seed: int) -> None:
    order = epoch_order(seed, 0, examples)
    steps = Schedule(examples, size).steps_per_epoch
    ids = np.concatenate([batch_ids(order, batch, size) for batch in range(steps)])
    assert ids.shape == (steps * size,)
    assert np.array_equal(ids[:examples], order)
    assert (ids[examples:] == PADDING).all()
    assert len(ids) - examples < size


def test_past_the_end_a_batch_is_all_padding() -> None:
    assert batch_ids(epoch_order(0, 0, 5), 3, 4).tolist() == [PADDING] * 4


@given(counts, batches, st.integers(0, 5000))
def test_a_step_belongs_to_one_epoch(examples: int, size: int, step: int) -> None:
    schedule = Schedule(examples, size)
    epoch = schedule.epoch_of(step)
    assert epoch * schedule.steps_per_epoch <= step < (epoch + 1) * schedule.steps_per_epoch
    assert schedule.steps_per_epoch * size >= examples > (schedule.steps_per_epoch - 1) * size


def test_the_articles_epoch_has_63_steps() -> None:
    schedule = Schedule(2000, 32)
    assert schedule.steps_per_epoch == 63
    assert [schedule.epoch_of(step) for step in (0, 62, 63, 125, 126)] == [0, 0, 1, 1, 2]


@settings(max_examples=300)
@given(batches, st.integers(1, 9), st.integers(1, 6))
def test_replicas_and_parts_share_a_batch_completely_and_without_overlap(
    size: int, replicas: int, per_replica: int
) -> None:
    layout = Layout(size, replicas * per_replica, replicas)
    padded = layout.pad(np.arange(size, dtype=np.int64))
    shares = [padded[layout.rows_of(replica)] for replica in range(replicas)]
    assert {len(share) for share in shares} == {layout.rows_per_replica}
    assert np.array_equal(np.concatenate(shares), padded)
    assert padded[padded != PADDING].tolist() == list(range(size))
    assert (padded[size:] == PADDING).all()
    assert layout.rows_per_part * layout.parts_per_replica == layout.rows_per_replica
    assert layout.rows_per_part == -(-size // layout.parts)


@given(batches, st.sampled_from([1, 2, 4, 8]))
def test_parts_do_not_depend_on_how_many_replicas_share_them(size: int, replicas: int) -> None:
    def parts(count: int) -> list[list[int]]:
        layout = Layout(size, 8, count)
        rows = [layout.pad(np.arange(size, dtype=np.int64))[layout.rows_of(r)] for r in range(count)]
        return [part.tolist() for row in rows for part in row.reshape(layout.parts_per_replica, -1)]

    assert parts(replicas) == parts(1)


def test_32_pictures_over_3_replicas() -> None:
    layout = Layout(32, 3, 3)
    assert (layout.rows_per_part, layout.rows_per_replica) == (11, 11)
    padded = layout.pad(np.arange(32, dtype=np.int64))
    assert padded[layout.rows_of(0)].tolist() == list(range(11))
    assert padded[layout.rows_of(2)].tolist() == [*range(22, 32), PADDING]


@given(batches, st.integers(1, 2000), st.integers(1, 8))
def test_a_batch_larger_than_what_there_is_is_not_padded_to_its_size(size: int, rows: int, replicas: int) -> None:
    asked = Layout(size, 2 * replicas, replicas)
    layout = asked.at_most(rows)
    assert (layout.parts, layout.replicas) == (asked.parts, asked.replicas)
    assert layout.rows_per_replica * replicas < min(size, rows) + layout.parts
    assert Schedule(rows, layout.batch_size).steps_per_epoch == Schedule(rows, size).steps_per_epoch
    if size <= rows:
        assert layout == asked


def test_a_replica_may_be_all_padding() -> None:
    layout = Layout(4, 3, 3)
    assert layout.pad(np.arange(4, dtype=np.int64))[layout.rows_of(2)].tolist() == [PADDING, PADDING]


def test_parts_that_cannot_be_shared_equally_are_refused() -> None:
    with pytest.raises(ValueError, match="4 parts cannot be shared equally by 3 replicas"):
        Layout(32, 4, 3)

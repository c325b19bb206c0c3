import threading
import time
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.augment import Augmentation, transforms
from trainer.data.cache import PixelCache
from trainer.data.order import PADDING, Layout, Schedule, batch_ids, epoch_order, global_order
from trainer.data.pipeline import Feed, evaluation_feeds, in_order, prefetched, training_feeds

SIZE = 4
NONE = Augmentation(False, 0.0, 0.0)
ALL = Augmentation(True, 0.1, 0.2)
LIMIT = 20.0


def cache(examples: int) -> PixelCache:
    """Example i's pixels are all i + 1, so that no one looks like padding; every seventh is rejected."""
    pixels = np.broadcast_to(np.arange(1, examples + 1, dtype=np.uint8)[:, None, None, None], (examples, SIZE, SIZE, 3))
    numbers = np.arange(examples)
    return PixelCache(pixels.copy(), (numbers % 3).astype(np.int32), numbers % 7 != 6, (), False)


def feeds(
    examples: int,
    batch: int,
    replicas: int,
    first: int,
    last: int,
    parts: int | None = None,
    local: range | None = None,
    augmentation: Augmentation = ALL,
) -> list[tuple[Feed, ...]]:
    layout = Layout(batch, parts or replicas, replicas)
    schedule = Schedule(examples, batch)
    mine = range(replicas) if local is None else local
    order_of = partial(global_order, 5, examples)
    return list(training_feeds(cache(examples), schedule, layout, mine, augmentation, 5, first, last, order_of))


def joined(step: tuple[Feed, ...], batch: int) -> list[bytes]:
    """What the replicas get of a step, put together, without the padding that their layout adds at the end."""
    columns = [
        np.concatenate([np.asarray(getattr(feed, name)) for feed in step])
        for name in ("inputs", "transforms", "labels", "weights", "ids")
    ]
    assert all((column[batch:] == 0).all() for column in (columns[0], columns[3]))
    assert (columns[4][batch:] == PADDING).all()
    return [column[:batch].tobytes() for column in columns]


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 40), st.integers(1, 7), st.integers(1, 3))
def test_feeds_of_any_number_of_replicas_together_are_the_feeds_of_one(
    examples: int, batch: int, replicas: int, per_replica: int
) -> None:
    steps = 2 * Schedule(examples, batch).steps_per_epoch + 1
    one = feeds(examples, batch, 1, 0, steps)
    several = feeds(examples, batch, replicas, 0, steps, parts=replicas * per_replica)
    assert [joined(step, batch) for step in several] == [joined(step, batch) for step in one]


@settings(max_examples=25)
@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_feeds_from_a_step_on_are_the_tail_of_all_feeds(examples: int, batch: int, data: st.DataObject) -> None:
    last = 3 * Schedule(examples, batch).steps_per_epoch
    first = data.draw(st.integers(0, last))
    whole = [joined(step, batch) for step in feeds(examples, batch, 1, 0, last)]
    assert [joined(step, batch) for step in feeds(examples, batch, 2, first, last)] == whole[first:]


def test_a_worker_gets_only_its_own_replicas() -> None:
    everybody = feeds(50, 32, 4, 0, 3)
    second = feeds(50, 32, 4, 0, 3, local=range(2, 4))
    assert [len(step) for step in second] == [2, 2, 2]
    for ours, theirs in zip(second, everybody, strict=True):
        assert [one.ids.tolist() for one in ours] == [one.ids.tolist() for one in theirs[2:]]
        assert [one.first_row for one in ours] == [16, 24]


def test_a_feed_is_what_order_cache_and_augmentation_say() -> None:
    step, examples, batch = 4, 50, 16  # the first step of the second epoch
    (feed,) = feeds(examples, batch, 1, step, step + 1)[0]
    ids = batch_ids(epoch_order(5, 1, examples), 0, batch)
    assert np.array_equal(feed.ids, ids)
    rows, labels, weights = cache(examples).rows(ids)
    assert np.array_equal(feed.inputs, rows)
    assert np.array_equal(feed.labels, labels)
    assert np.array_equal(feed.weights, weights)
    assert feed.transforms is not None
    assert np.array_equal(feed.transforms, transforms(ALL, 5, 1, ids, SIZE))
    assert feed.first_row == 0


def test_augmentation_differs_between_epochs() -> None:
    by_id = []
    for first in (0, 1):
        (feed,) = feeds(8, 8, 1, first, first + 1)[0]
        assert feed.transforms is not None
        by_id.append(feed.transforms[np.argsort(feed.ids)])
    assert not np.array_equal(*by_id)


def test_without_augmentation_there_are_no_transforms() -> None:
    assert all(feed.transforms is None for step in feeds(20, 8, 2, 0, 6, augmentation=NONE) for feed in step)


def test_a_row_has_the_weight_of_its_class_beside_whether_it_counts() -> None:
    weights = (0.5, 1.0, 4.0)
    schedule, layout = Schedule(50, 16), Layout(16, 3, 3)
    order_of, last = partial(global_order, 5, 50), schedule.steps_per_epoch
    steps = training_feeds(cache(50), schedule, layout, range(3), NONE, 5, 0, last, order_of, weights)
    for feed in (feed for step in steps for feed in step):
        assert feed.loss_weights is not None
        assert feed.loss_weights.dtype == np.float32
        assert feed.loss_weights.tolist() == [weights[label] for label in feed.labels]
        assert set(feed.weights.tolist()) <= {0.0, 1.0}


def test_without_class_weights_and_in_evaluation_there_is_no_second_number() -> None:
    evaluated = evaluation_feeds(cache(20), Layout(8, 2, 2), range(2))
    assert all(feed.loss_weights is None for step in [*feeds(20, 8, 2, 0, 3), *evaluated] for feed in step)


def test_an_epoch_shows_every_usable_example_once() -> None:
    counted = [int(one) for step in feeds(50, 16, 3, 0, 4) for feed in step for one in feed.ids[feed.weights > 0]]
    assert sorted(counted) == [i for i in range(50) if i % 7 != 6]


@pytest.mark.parametrize("replicas", [1, 3])
def test_evaluation_goes_through_the_split_in_order_once(replicas: int) -> None:
    layout = Layout(16, replicas, replicas)
    steps = list(evaluation_feeds(cache(50), layout, range(replicas)))
    assert len(steps) == 4
    seen = np.concatenate([feed.ids for step in steps for feed in step])
    assert seen[seen != PADDING].tolist() == list(range(50))
    assert sum(float(feed.weights.sum()) for step in steps for feed in step) == 43
    assert all(feed.transforms is None for step in steps for feed in step)
    assert {feed.inputs.shape for step in steps for feed in step} == {(layout.rows_per_replica, SIZE, SIZE, 3)}


def prefetchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_prefetched_items_keep_their_order_and_the_thread_ends() -> None:
    assert list(prefetched((number for number in range(200)), ahead=3)) == list(range(200))
    assert prefetchers() == []


def test_none_is_an_item_like_any_other() -> None:
    assert list(prefetched(item for item in [None, None])) == [None, None]


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("broken")

    stream = prefetched(items())
    assert next(stream) == 1
    with pytest.raises(KeyError, match="broken"):
        next(stream)
    assert prefetchers() == []


def test_only_so_many_items_are_made_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    stream = prefetched(items(), ahead=2)
    next(stream)
    time.sleep(0.4)
    assert len(made) == 4  # one taken, two ready, one in hand
    stream.close()
    assert prefetchers() == []
    assert len(made) <= 5


def test_items_are_made_while_the_consumer_works() -> None:
    made = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        made.set()
        yield 1

    stream = prefetched(items())
    next(stream)
    assert made.wait(LIMIT)
    stream.close()


@pytest.mark.parametrize("ahead", [1, 2, 7, 100])
def test_what_is_made_at_once_comes_in_order(ahead: int) -> None:
    def slow(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * 2

    assert list(in_order(slow, range(30), ahead)) == [number * 2 for number in range(30)]


def test_as_many_as_are_wanted_are_made_at_once_and_no_more() -> None:
    running, most, guard = set(), 0, threading.Lock()

    def make(number: int) -> int:
        nonlocal most
        with guard:
            running.add(number)
            most = max(most, len(running))
        time.sleep(0.02)
        with guard:
            running.discard(number)
        return number

    assert list(in_order(make, range(12), 3)) == list(range(12))
    assert most == 3


def test_an_error_comes_in_its_place_and_nothing_is_made_after_it() -> None:
    made = []

    def make(number: int) -> int:
        made.append(number)
        if number == 4:
            raise ValueError("four")
        return number

    stream, got = in_order(make, range(1000), 2), list[int]()
    with pytest.raises(ValueError, match="four"):
        got.extend(stream)
    assert got == [0, 1, 2, 3]
    assert len(made) < 10

"""Turns a split's pixels, or their features, into the feeds of each step, ahead of time on a separate thread.

Batches are gathered with numpy rather than tf.data: the cache is one array, a batch is one indexed copy (3 MB at the
article's size), and its position is the step number, which a DistributedIterator could not save (tensorflow#56372).
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from trainer.data.augment import Augmentation, transforms
from trainer.data.examples import Rejected
from trainer.data.order import PADDING, EpochOrder, Ids, Layout, Schedule, batch_ids

Item = TypeVar("Item")
T = TypeVar("T")


GetRows = Callable[[Ids], tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[np.float32]]]
"""Inputs, labels int32 [n] and weights float32 [n] for ids; those that do not count are zeros."""


class Rows(Protocol):
    """What is trained or evaluated on: a PixelCache, a PictureStream or a FeatureCache."""

    def __len__(self) -> int: ...

    @property
    def rejected(self) -> Sequence[Rejected]:
        """Pictures that cannot be used, as far as they are known, in order of id."""

    @property
    def ahead(self) -> int:
        """Batches worth making at once: several where each waits for storage."""

    def rows(self, ids: Ids) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """See `GetRows`."""
        ...

    def expecting(self, ids: Ids, pieces: Ids | None) -> AbstractContextManager[GetRows]:
        """The rows of this worker's part of an epoch: `ids` is the order in which they will be asked for, `pieces` what
        of them lies together in storage, as in `trainer.data.order.EpochOrder`."""
        ...


@dataclass(frozen=True)
class Feed:
    """What one replica gets of one global batch, padded to a fixed number of rows n.

    inputs: pixels, uint8 [n, size, size, 3], or features, float32 [n, width]; transforms float32 [n, 8] or None; labels
    int32 [n]; weights float32 [n], 0 for rows that do not count; ids int64 [n]; first_row: the position of row 0 in the
    global batch; loss_weights float32 [n], of each row's class in the loss, or None.
    """

    inputs: npt.NDArray[Any]
    transforms: npt.NDArray[np.float32] | None
    labels: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    ids: Ids
    first_row: int
    loss_weights: npt.NDArray[np.float32] | None = None


def training_feeds(
    cache: Rows,
    schedule: Schedule,
    layout: Layout,
    replicas: range,
    augmentation: Augmentation,
    seed: int,
    first_step: int,
    last_step: int,
    order_of: Callable[[int], EpochOrder],
    class_weights: Sequence[float] | None = None,
    first_epoch: int = 0,
) -> Generator[tuple[Feed, ...], None, None]:
    """Feeds of the local replicas for steps first_step … last_step-1; `class_weights`, by label, are of the loss.

    Steps count from the phase's first, which begins with epoch `first_epoch` of the run; `order_of` is by epoch of the
    run.
    """
    by_label = None if class_weights is None else np.array(class_weights, np.float32)

    def feeds(epoch: int, get: GetRows, ids: Ids) -> tuple[Feed, ...]:
        def drawn(part: Ids, size: int) -> npt.NDArray[np.float32] | None:
            return transforms(augmentation, seed, epoch, part, size) if augmentation.any else None

        return tuple(_feed(get, layout, replica, ids, drawn, by_label) for replica in replicas)

    step = first_step
    while step < last_step:
        epoch, first = first_epoch + schedule.epoch_of(step), step % schedule.steps_per_epoch
        last = min(schedule.steps_per_epoch, first + last_step - step)
        order = order_of(epoch)
        batches = (layout.pad(batch_ids(order.ids, batch, schedule.batch_size)) for batch in range(first, last))
        with cache.expecting(*_own(order, first, last, schedule.batch_size, layout, replicas)) as get:
            yield from in_order(partial(feeds, epoch, get), batches, cache.ahead)
        step += last - first


def _own(
    order: EpochOrder, first: int, last: int, batch_size: int, layout: Layout, replicas: range
) -> tuple[Ids, Ids | None]:
    """What the replicas take of the batches first … last-1 of an epoch, and in which pieces it is."""
    start, end = layout.rows_of(replicas.start).start, layout.rows_of(replicas.stop - 1).stop
    places = np.full((last - first) * batch_size, PADDING, np.int64)
    here = np.arange(first * batch_size, min(last * batch_size, len(order.ids)))
    places[: len(here)] = here
    own = places.reshape(-1, batch_size)[:, start:end].reshape(-1)
    own = own[own != PADDING]
    return order.ids[own], None if order.pieces is None else order.pieces[own]


def evaluation_feeds(cache: Rows, layout: Layout, replicas: range) -> Generator[tuple[Feed, ...], None, None]:
    """Feeds of the local replicas over the whole split, in order of id."""
    every = np.arange(len(cache), dtype=np.int64)

    def feeds(batch: int) -> tuple[Feed, ...]:
        ids = layout.pad(batch_ids(every, batch, layout.batch_size))
        return tuple(_feed(cache.rows, layout, replica, ids, lambda _ids, _size: None) for replica in replicas)

    return in_order(feeds, range(-(-len(cache) // layout.batch_size)), cache.ahead)


def _feed(
    get: GetRows,
    layout: Layout,
    replica: int,
    ids: Ids,
    drawn: Callable[[Ids, int], npt.NDArray[np.float32] | None],
    by_label: npt.NDArray[np.float32] | None = None,
) -> Feed:
    rows = layout.rows_of(replica)
    part = ids[rows]
    inputs, labels, weights = get(part)
    loss_weights = None if by_label is None else by_label[labels]
    return Feed(inputs, drawn(part, inputs.shape[1]), labels, weights, part, rows.start, loss_weights)


def in_order(make: Callable[[Item], T], items: Iterable[Item], ahead: int) -> Generator[T, None, None]:
    """What `make` makes of each item, in their order, up to `ahead` of them at a time."""
    if ahead == 1:
        yield from map(make, items)
        return
    with ThreadPoolExecutor(ahead, thread_name_prefix="feeds") as pool:  # leaving it waits for running calls
        waiting: deque[Future[T]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) == ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def prefetched(items: Generator[T, None, None], ahead: int = 2) -> Generator[T, None, None]:
    """Make up to `ahead` items in advance, on a thread that exits with this generator."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=ahead)
    closed = threading.Event()

    def put(kind: str, value: Any) -> None:
        while not closed.is_set():
            try:
                return ready.put((kind, value), timeout=0.1)
            except queue.Full:
                continue

    def produce() -> None:
        try:
            with closing(items):
                for item in items:
                    put("item", item)
                    if closed.is_set():
                        return
            put("end", None)
        except BaseException as error:  # noqa: BLE001 - passed to the consumer, whatever it is
            put("error", error)

    thread = threading.Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        closed.set()
        thread.join()

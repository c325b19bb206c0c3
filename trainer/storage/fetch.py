"""Many objects at once: a limited number of concurrent calls, memory bounded by that number, in no fixed order."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from trainer.storage.base import Stat, Storage

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_many(storage: Storage, names: Iterable[str], concurrency: int = 64) -> Iterator[tuple[str, bytes]]:
    """Yields (name, content) as reads finish; at most `concurrency` contents are in memory, plus the yielded one.

    The first failed read is raised and no further one is started; closing the iterator stops it the same way. Both wait
    for running calls, so no thread is left behind. Open the storage with the same `concurrency`.
    """
    return in_parallel(lambda name: (name, storage.read(name)), names, concurrency)


def write_many(storage: Storage, items: Iterable[tuple[str, bytes | Path]], concurrency: int = 64) -> Iterator[Stat]:
    """Writes each (name, content or local file) and yields its Stat when it is stored; nothing happens unless consumed.

    `items` is consumed only as writes finish. Errors and early closing as in `read_many`; what was yielded is stored.
    """
    return in_parallel(lambda item: storage.write(item[0], item[1]), items, concurrency)


def in_parallel(
    call: Callable[[Item], Result],
    items: Iterable[Item],
    concurrency: int,
    size_of: Callable[[Item], int] = lambda _: 0,
    most_bytes: int = 0,
) -> Generator[Result, None, None]:
    """Calls `call` on each item, at most `concurrency` at a time, and yields the results as they come.

    Of items whose `size_of` together is more than `most_bytes`, only one is on its way, or waits to be taken.
    `items` is consumed only as results are taken. Errors and early closing as in `read_many`.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency is {concurrency}; it must be at least 1")
    return _results(call, iter(items), concurrency, size_of, most_bytes)


def _results(
    call: Callable[[Item], Result],
    items: Iterator[Item],
    concurrency: int,
    size_of: Callable[[Item], int],
    most_bytes: int,
) -> Generator[Result, None, None]:
    finished: SimpleQueue[Future[Result]] = SimpleQueue()
    sizes: dict[Future[Result], int] = {}
    following: list[Item] = []  # the one that has no room yet
    with ThreadPoolExecutor(concurrency, thread_name_prefix="storage") as pool:  # leaving it waits for running calls
        while True:
            while len(sizes) < concurrency and (following := following or list(islice(items, 1))):
                size = size_of(following[0])
                if sizes and sum(sizes.values()) + size > most_bytes > 0:
                    break
                future = pool.submit(call, following.pop())
                sizes[future] = size
                future.add_done_callback(finished.put)
            if not sizes:
                return
            done = finished.get()
            yield done.result()
            del sizes[done]

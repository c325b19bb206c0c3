"""Many objects at once: a limited number of concurrent calls, memory bounded by that number, in no fixed order."""

import mmap
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import google_crc32c

from trainer.storage.base import Stat, Storage
from trainer.storage.errors import StorageFailed, StorageMissing
from trainer.storage.local_errors import explained
from trainer.storage.retry import MIB

PART = 16 << 20
PARTS_AT_ONCE = 8
"""How a large object is read: bytes of a request, and requests at a time."""

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


def read_large(storage: Storage, stat: Stat) -> memoryview:
    """The bytes of an object that was listed like this, read-only and held once.

    A local file is mapped: its pages are shared by all processes that read it, and memory that runs short takes them
    back. It must not be cut while it is in use; nothing here does that. From a bucket the object is read in parts,
    several at a time. These have no checksum of their own, so if all of it has another one than it was listed with, it
    is read once more as a whole, which storage verifies.

    Raises:
        StorageMissing: there is no such object.
        StorageFailed: it is shorter.
    """
    name, size = stat.name, stat.size
    if not size:
        return memoryview(b"")
    if "://" not in storage.uri:
        return _mapped(Path(storage.uri, name), size)
    if size <= PART:
        return _whole(storage, stat)
    found = memoryview(bytearray(size))

    def part(at: int) -> None:
        length = min(PART, size - at)
        found[at : at + length] = storage.read_range(name, at, length)

    for _ in in_parallel(part, range(0, size, PART), PARTS_AT_ONCE):
        pass
    if stat.crc32c not in (None, _checksum(found)):
        return _whole(storage, stat)
    return found.toreadonly()


def _whole(storage: Storage, stat: Stat) -> memoryview:
    found = storage.read(stat.name)
    if len(found) != stat.size:
        raise StorageFailed(f"{storage.uri}/{stat.name}: {len(found):,} bytes, and not {stat.size:,} as it was listed")
    return memoryview(found)


def _checksum(data: memoryview) -> int:
    checksum = 0
    for at in range(0, len(data), MIB):
        checksum = google_crc32c.extend(checksum, bytes(data[at : at + MIB]))
    return checksum


def _mapped(path: Path, size: int) -> memoryview:
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise StorageMissing(f"{path}: no such file") from None
    except OSError as error:
        raise explained(error, "read", path) from error
    except ValueError as error:
        raise StorageFailed(f"{path}: shorter than {size:,} bytes") from error

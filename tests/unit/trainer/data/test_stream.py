"""A stream gives the same rows as pictures decoded together, and reads only what is asked for."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runs import drawn
from trainer.data import cache
from trainer.data import stream as stream_module
from trainer.data.augment import Augmentation
from trainer.data.blocks import Blocks, block_order, blocks_of
from trainer.data.cache import PixelCache
from trainer.data.decode import PixelPath
from trainer.data.examples import Example
from trainer.data.order import PADDING, Layout, Schedule, global_order
from trainer.data.pipeline import training_feeds
from trainer.data.reading import Contents
from trainer.data.shards import pack
from trainer.data.source import Source, open_source
from trainer.data.stream import WAITING, Limits, PictureStream
from trainer.process.container import resident_memory
from trainer.storage.errors import StorageMissing
from trainer.storage.measured import Call
from trainer.storage.opening import Listener, open_storage

PATH = PixelPath(2, 32)
TWO = Limits(threads=2, ahead=2)
NONE = Augmentation(False, 0.0, 0.0)
BROKEN = 3


class Reads:
    """Counts how often each picture is read; the one with the number BROKEN comes cut."""

    def __init__(self, source: Source) -> None:
        self._source, self._broken = source, source.data.splits["train"][BROKEN].name
        self.counted: Counter[str] = Counter()
        self._guard = threading.Lock()

    def __call__(self, examples: Sequence[Example]) -> Contents:
        for place, data in self._source.read(examples):
            with self._guard:
                self.counted[examples[place].name] += 1
            yield place, data[:40] if examples[place].name == self._broken else data


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return open_source(str(drawn(tmp_path_factory.mktemp("data") / "data", 12, 4, 4)))


@pytest.fixture(scope="module")
def decoded(source: Source) -> PixelCache:
    return cache.fill(source.data.splits["train"], Reads(source), PATH, 1 << 30, None, 2)


def stream(source: Source, room: int = 0, keeps_pixels: bool = False) -> tuple[PictureStream, Reads]:
    reads, examples = Reads(source), source.data.splits["train"]
    store = np.zeros((len(examples), PATH.size, PATH.size, 3), np.uint8) if keeps_pixels else None
    return PictureStream(examples, reads, PATH, Limits(2, 2, room), store), reads


KEEPS = st.sampled_from([(0, False), (1 << 30, False), (0, True)])
"""Nothing, files, pixels."""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(PADDING, 23), unique=True, max_size=8), max_size=3), KEEPS)
def test_rows_are_those_of_decoded_pictures(
    source: Source, decoded: PixelCache, batches: list[list[int]], keeps: tuple[int, bool]
) -> None:
    held, _ = stream(source, *keeps)
    for batch in batches:
        ids = np.array(batch, np.int64)
        for ours, theirs in zip(held.rows(ids), decoded.rows(ids), strict=True):
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype
    seen = {i for batch in batches for i in batch}
    assert [one.path for one in held.rejected] == ([decoded.rejected[0].path] if BROKEN in seen else [])


def test_only_what_is_asked_for_is_read_and_again_each_time(source: Source) -> None:
    held, reads = stream(source)
    ids = np.array([5, PADDING, 7], np.int64)
    for _ in range(2):
        held.rows(ids)
    names = [source.data.splits["train"][i].name for i in (5, 7)]
    assert reads.counted == dict.fromkeys(names, 2)


def test_encoded_pictures_are_read_once_as_far_as_there_is_room(source: Source) -> None:
    examples = source.data.splits["train"]
    room = examples[5].size + examples[7].size // 2
    held, reads = stream(source, room)
    for i in (5, 7, 5, 7, 5, 7):
        held.rows(np.array([i], np.int64))
    assert reads.counted == {examples[5].name: 1, examples[7].name: 3}


def test_where_pixels_are_kept_a_picture_is_read_and_decoded_once(
    source: Source, decoded: PixelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, reads = stream(source, keeps_pixels=True)
    held.rows(np.arange(3, 12, dtype=np.int64))
    assert held.memory == 8 * 32 * 32 * 3  # of nine, one is broken
    monkeypatch.setattr(stream_module, "pixels", lambda *given: pytest.fail("decoded again"))
    for ours, theirs in zip(held.rows(np.arange(2, 12)[1:]), decoded.rows(np.arange(3, 12)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert set(reads.counted.values()) == {1}


def test_batches_are_made_ahead_until_all_pixels_are_there(source: Source) -> None:
    held, _ = stream(source, keeps_pixels=True)
    held.rows(np.arange(23, dtype=np.int64))
    assert held.ahead == 2
    held.rows(np.array([23], np.int64))
    assert held.ahead == 1  # though one cannot be used


def test_rows_that_are_given_out_are_a_copy(source: Source, decoded: PixelCache) -> None:
    held, _ = stream(source, keeps_pixels=True)
    ids = np.array([0, 1], np.int64)
    for _ in range(2):
        given = held.rows(ids)[0]
        np.testing.assert_array_equal(given, decoded.rows(ids)[0])
        given[:] = 0


def test_released_pixels_leave_memory_and_are_decoded_again_if_they_are_wanted(
    source: Source, decoded: PixelCache
) -> None:
    examples, size = source.data.splits["train"], 1500
    store = np.ones((len(examples), size, size, 3), np.uint8)
    held = PictureStream(examples, source.read, PixelPath(2, size), TWO, store)
    del store
    first = held.rows(np.array([1], np.int64))[0]
    before = resident_memory()
    held.release()
    assert resident_memory() < before - 20 * size * size * 3
    assert held.memory == 0
    np.testing.assert_array_equal(held.rows(np.array([1], np.int64))[0], first)


def test_a_part_has_the_rows_and_the_rejected_pictures_of_its_own(source: Source, decoded: PixelCache) -> None:
    held, _ = stream(source)
    held.rows(np.arange(24, dtype=np.int64))
    for first, last, rejected in ((0, 12, decoded.rejected), (12, 24, ())):
        part = held.part(first, last)
        np.testing.assert_array_equal(part.pixels, decoded.rows(np.arange(first, last))[0])
        np.testing.assert_array_equal(part.usable, decoded.usable[first:last])
        assert part.rejected == rejected


def test_a_picture_that_was_found_to_be_broken_is_not_read_again(source: Source) -> None:
    held, reads = stream(source)
    for _ in range(3):
        _, _, weights = held.rows(np.array([BROKEN, 0], np.int64))
        assert list(weights) == [0.0, 1.0]
    assert reads.counted[source.data.splits["train"][BROKEN].name] == 1
    assert len(held.rejected) == 1


def test_it_may_be_asked_from_many_threads(source: Source, decoded: PixelCache) -> None:
    held, _ = stream(source, 1 << 30)
    wrong: list[int] = []

    def ask(seed: int) -> None:
        for _ in range(5):
            ids = np.random.default_rng(seed).permutation(24)[:8].astype(np.int64)
            if not all(np.array_equal(a, b) for a, b in zip(held.rows(ids), decoded.rows(ids), strict=True)):
                wrong.append(seed)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_pictures_are_fetched_no_faster_than_they_are_decoded(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """While none is decoded, only those that wait for it are in memory; then all come."""
    examples, fetched, held_up = source.data.splits["train"], [0], threading.Event()

    def read(wanted: Sequence[Example]) -> Contents:
        for one in source.read(wanted):
            fetched[0] += 1
            yield one

    decode = stream_module.pixels
    monkeypatch.setattr(stream_module, "pixels", lambda *given: held_up.wait(10) and decode(*given))
    held = PictureStream(examples, read, PATH, TWO)
    asking = threading.Thread(target=held.rows, args=(np.arange(24, dtype=np.int64),))
    asking.start()
    deadline = time.monotonic() + 10
    while fetched[0] <= 2 * WAITING and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    before = fetched[0]
    held_up.set()
    asking.join(10)
    assert before == 2 * WAITING + 1
    assert fetched[0] == 24


def test_a_folder_that_is_gone_is_an_error_of_storage(source: Source, tmp_path: Path) -> None:
    gone = open_source(str(drawn(tmp_path / "data", 4, 2, 0)))
    held = PictureStream(gone.data.splits["train"], gone.read, PATH, TWO)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(StorageMissing):
        held.rows(np.array([0], np.int64))


@pytest.mark.parametrize("keeps", [(0, False), (1 << 30, False), (0, True)], ids=["stream", "encoded", "decoded"])
@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_a_worker_reads_its_own_rows_of_an_epoch_and_no_others(
    source: Source, workers: int, keeps: tuple[int, bool]
) -> None:
    """24 pictures in batches of 8 over 8 replicas: each picture is read by one worker, once."""
    layout, schedule, counted = Layout(8, 8, 8), Schedule(24, 8), Counter[str]()
    for rank in range(workers):
        held, reads = stream(source, *keeps)
        own = range(rank * 8 // workers, (rank + 1) * 8 // workers)
        feeds = list(training_feeds(held, schedule, layout, own, NONE, 5, 0, 3, partial(global_order, 5, 24)))
        assert len(feeds) == 3
        assert reads.counted.total() == 24 // workers
        counted += reads.counted
    assert set(counted.values()) == {1}
    assert len(counted) == 24


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """256 pictures of train in two classes, packed into shards of about 16."""
    folder = tmp_path_factory.mktemp("packed")
    loose = open_source(str(drawn(folder / "loose", 128, 2, 2)))
    size = loose.data.splits["train"][0].size
    pack(loose.data, loose.read, open_storage(str(folder / "packed")), 16 * size, lambda: None)
    return folder / "packed"


def blocks_in(source: Source) -> Blocks:
    examples = source.data.splits["train"]
    blocks = blocks_of(examples, 4 * examples[0].size)
    assert blocks is not None
    return blocks


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_in_blocks_a_worker_reads_its_part_of_an_epoch_in_large_pieces(packed: Path, workers: int) -> None:
    """256 pictures in batches of 8: bytes and pictures of a worker are its part of the whole, whatever the number."""
    layout, schedule, seen = Layout(8, 8, 8), Schedule(256, 8), Counter[int]()
    for rank in range(workers):
        calls = list[Call]()
        source = open_source(str(packed), listener=Listener(on_call=calls.append))
        examples, order_of = source.data.splits["train"], partial(block_order, 5, blocks_in(source), 8)
        opened = len(calls)
        held = PictureStream(examples, source.read, PATH, Limits(2, 2, pieces=1 << 20))
        own = range(rank * 8 // workers, (rank + 1) * 8 // workers)
        feeds = training_feeds(held, schedule, layout, own, NONE, 5, 0, 32, order_of)
        ids = [int(i) for step in feeds for feed in step for i in feed.ids]
        assert len(ids) == 256 / workers
        reads = calls[opened:]
        assert sum(call.size for call in reads) <= 1.05 * sum(examples[i].size for i in ids)
        assert len(reads) <= len(ids) / 2  # neighbours come together
        seen.update(ids)
    assert set(seen.values()) == {1}
    assert len(seen) == 256


@pytest.mark.parametrize("keeps", [(0, False), (1 << 30, False), (0, True)], ids=["stream", "encoded", "decoded"])
@pytest.mark.parametrize("workers", [2, 4, 8])
def test_in_the_global_order_a_worker_reads_its_part_of_packed_bytes(
    packed: Path, workers: int, keeps: tuple[int, bool]
) -> None:
    """Batches of 64 of 256 pictures in 16 shards: what a worker wants of one lies a few pictures apart."""
    layout, schedule = Layout(64, 8, 8), Schedule(256, 64)
    for rank in range(workers):
        calls = list[Call]()
        source = open_source(str(packed), listener=Listener(on_call=calls.append))
        examples, opened = source.data.splits["train"], len(calls)
        room, keeps_pixels = keeps
        store = np.zeros((256, PATH.size, PATH.size, 3), np.uint8) if keeps_pixels else None
        held = PictureStream(examples, source.read, PATH, Limits(2, 2, room), store)
        own = range(rank * 8 // workers, (rank + 1) * 8 // workers)
        feeds = training_feeds(held, schedule, layout, own, NONE, 5, 0, 4, partial(global_order, 5, 256))
        ids = [int(i) for step in feeds for feed in step for i in feed.ids]
        assert len(ids) == 256 / workers
        assert sum(call.size for call in calls[opened:]) <= 1.25 * sum(examples[i].size for i in ids)


@pytest.mark.parametrize(("room", "one_by_one"), [(1 << 30, False), (0, True)])
def test_a_worker_that_takes_all_reads_shards_in_large_pieces_if_there_is_room_for_them(
    packed: Path, room: int, one_by_one: bool
) -> None:
    calls = list[Call]()
    source = open_source(str(packed), listener=Listener(on_call=calls.append))
    examples, opened = source.data.splits["train"], len(calls)
    store = np.zeros((256, PATH.size, PATH.size, 3), np.uint8)
    held = PictureStream(examples, source.read, PATH, Limits(2, 2, all_at_once=room), store)
    order_of = partial(global_order, 5, 256)
    for epoch in range(2):
        feeds = training_feeds(
            held, Schedule(256, 8), Layout(8, 1, 1), range(1), NONE, 5, 32 * epoch, 32 * (epoch + 1), order_of
        )
        assert sum(len(feed.ids) for step in feeds for feed in step) == 256
    reads = calls[opened:]
    assert held.usable.all()
    if one_by_one:
        assert len(reads) > 256 / 2
        return
    wanted = sum(example.size for example in examples)
    assert wanted <= sum(call.size for call in reads) <= 1.05 * wanted
    assert len(reads) <= 256 / 8


@pytest.mark.parametrize("room", [0, 1 << 30])
@pytest.mark.parametrize("first", [0, 21])
def test_in_blocks_rows_are_those_of_decoded_pictures_from_any_step_over_epochs(
    packed: Path, room: int, first: int
) -> None:
    source = open_source(str(packed))
    examples, layout, schedule = source.data.splits["train"], Layout(24, 2, 2), Schedule(256, 24)
    order_of = partial(block_order, 5, blocks_in(source), 24)
    held = PictureStream(examples, source.read, PATH, Limits(2, 2, room, 1 << 16))
    decoded = cache.fill(examples, source.read, PATH, 1 << 30, None, 2)
    ours, theirs = (
        list(training_feeds(rows, schedule, layout, range(2), NONE, 5, first, 25, order_of)) for rows in (held, decoded)
    )
    assert len(ours) == len(theirs) == 25 - first
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(mine, other, strict=True):
            for name in ("inputs", "labels", "weights", "ids"):
                np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_feeds_that_are_closed_early_leave_no_thread(packed: Path) -> None:
    source = open_source(str(packed))
    held = PictureStream(source.data.splits["train"], source.read, PATH, Limits(2, 2, pieces=1 << 20))
    order_of = partial(block_order, 5, blocks_in(source), 8)
    feeds = training_feeds(held, Schedule(256, 8), Layout(8, 1, 1), range(1), NONE, 5, 0, 64, order_of)
    next(feeds)
    feeds.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("readahead")]

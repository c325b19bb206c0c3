"""A stream gives the same rows as decoded pictures, and reads only what is asked for."""

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runs import drawn
from trainer.data import cache
from trainer.data.augment import Augmentation
from trainer.data.cache import PixelCache
from trainer.data.decode import PixelPath
from trainer.data.order import PADDING, Layout, Schedule
from trainer.data.pipeline import training_feeds
from trainer.data.reading import Contents
from trainer.data.source import Source, open_source
from trainer.data.split import Example
from trainer.data.stream import PictureStream
from trainer.storage.errors import StorageMissing

PATH = PixelPath(2, 32)
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


def stream(source: Source, room: int = 0) -> tuple[PictureStream, Reads]:
    reads = Reads(source)
    return PictureStream(source.data.splits["train"], reads, PATH, 2, room, 2), reads


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(PADDING, 23), unique=True, max_size=8), max_size=3), st.sampled_from([0, 1 << 30]))
def test_rows_are_those_of_decoded_pictures(
    source: Source, decoded: PixelCache, batches: list[list[int]], room: int
) -> None:
    held, _ = stream(source, room)
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


def test_a_folder_that_is_gone_is_an_error_of_storage(source: Source, tmp_path: Path) -> None:
    gone = open_source(str(drawn(tmp_path / "data", 4, 2, 0)))
    held = PictureStream(gone.data.splits["train"], gone.read, PATH, 2, 0, 2)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(StorageMissing):
        held.rows(np.array([0], np.int64))


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_a_worker_reads_its_own_rows_of_an_epoch_and_no_others(source: Source, workers: int) -> None:
    """24 pictures in batches of 8 over 8 replicas: each picture is read by one worker, once."""
    layout, schedule, counted = Layout(8, 8, 8), Schedule(24, 8), Counter[str]()
    for rank in range(workers):
        held, reads = stream(source)
        own = range(rank * 8 // workers, (rank + 1) * 8 // workers)
        feeds = list(training_feeds(held, schedule, layout, own, Augmentation(False, 0.0, 0.0), 5, 0, 3))
        assert len(feeds) == 3
        assert reads.counted.total() == 24 // workers
        counted += reads.counted
    assert set(counted.values()) == {1}
    assert len(counted) == 24

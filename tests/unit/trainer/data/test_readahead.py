"""What is read ahead is read once, in pieces, within its room, and in the order in which it will be asked for."""

import threading
from collections.abc import Sequence
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.examples import Example
from trainer.data.order import Ids
from trainer.data.readahead import Readahead
from trainer.data.reading import Contents
from trainer.storage.errors import StorageMissing

SIZE = 10
EXAMPLES = [Example(f"train/a/{i}.jpg", 0, SIZE, 0) for i in range(60)]


class Reads:
    """Serves the number of each picture; remembers what was read together, and can be held up."""

    def __init__(self) -> None:
        self.pieces: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()
        self._guard = threading.Lock()

    def __call__(self, examples: Sequence[Example]) -> Contents:
        self.open.wait(10)
        ids = [int(one.name.removeprefix("train/a/").removesuffix(".jpg")) for one in examples]
        with self._guard:
            self.pieces.append(ids)
        for place, i in reversed(list(enumerate(ids))):
            yield place, f"{i:0{SIZE}d}".encode()


def ahead(reads: Reads, ids: Ids, pieces: Ids, room: int = 1000, at_once: int = 2) -> Readahead:
    return Readahead(EXAMPLES, reads, ids, pieces, room, at_once)


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(60)), st.integers(1, 12), st.integers(1, 9), st.integers(0, 300), st.integers(1, 7))
def test_every_picture_is_served_and_read_once_with_its_piece(
    order: list[int], number: int, batch: int, room: int, at_once: int
) -> None:
    ids = np.array(order[:50], np.int64)
    pieces = ids % number
    reads = Reads()
    with closing(ahead(reads, ids, pieces, room, at_once)) as held:
        for start in range(0, 50, batch):
            wanted = [int(i) for i in ids[start : start + batch]]
            assert {i: int(content) for i, content in held.take(wanted)} == {i: i for i in wanted}
    assert sorted(i for piece in reads.pieces for i in piece) == sorted(ids.tolist())
    assert all(len({i % number for i in piece}) == 1 for piece in reads.pieces)
    assert len(reads.pieces) == len(set(pieces.tolist()))


def test_pieces_come_in_order_of_first_use_and_no_more_of_them_than_there_is_room_for() -> None:
    ids, pieces = np.arange(40), np.repeat([3, 0, 2, 1], 10)
    reads = Reads()
    with closing(ahead(reads, ids, pieces, room=250, at_once=1)) as held:
        assert [i for i, _ in held.take([0])] == [0]
        for i in range(1, 4):
            list(held.take([i]))
        assert [piece[0] for piece in reads.pieces] in ([0], [0, 10])  # 200 bytes of 250; the third has no room yet
        list(held.take(range(4, 10)))
        list(held.take([20]))
        assert [piece[0] for piece in reads.pieces][:3] == [0, 10, 20]


def test_a_piece_for_which_there_is_no_room_is_read_when_it_is_asked_for() -> None:
    reads = Reads()
    with closing(ahead(reads, np.arange(20), np.arange(20) // 10, room=0)) as held:
        assert not reads.pieces
        assert sorted(i for i, _ in held.take([0, 10])) == [0, 10]


def test_what_it_expects_is_told() -> None:
    with closing(ahead(Reads(), np.array([5, 3]), np.array([0, 0]))) as held:
        assert [i for i in range(60) if held.expects(i)] == [3, 5]


def test_nothing_is_begun_after_it_is_closed() -> None:
    reads = Reads()
    reads.open.clear()
    held = ahead(reads, np.arange(40), np.arange(40), at_once=2)
    threading.Timer(0.2, reads.open.set).start()
    held.close()
    assert len(reads.pieces) <= 2


def test_an_error_of_storage_reaches_who_asks() -> None:
    def gone(examples: Sequence[Example]) -> Contents:
        raise StorageMissing(f"{examples[0].name}: not there")
        yield

    held = Readahead(EXAMPLES, gone, np.arange(4), np.zeros(4, np.int64), 1000, 2)
    with closing(held), pytest.raises(StorageMissing):
        list(held.take([1]))


def test_many_threads_may_ask_at_once() -> None:
    reads, wrong = Reads(), list[int]()
    ids = np.random.default_rng(0).permutation(60).astype(np.int64)
    with closing(ahead(reads, ids, ids // 7, room=150)) as held:

        def ask(first: int) -> None:
            for start in range(first, 60, 20):
                wanted = [int(i) for i in ids[start : start + 5]]
                if {i: int(content) for i, content in held.take(wanted)} != {i: i for i in wanted}:
                    wrong.append(first)

        threads = [threading.Thread(target=ask, args=(first,)) for first in (0, 5, 10, 15)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert sorted(i for piece in reads.pieces for i in piece) == list(range(60))

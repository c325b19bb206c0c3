import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.storage.errors import StorageMissing
from trainer.storage.fetch import in_parallel, read_many, write_many
from trainer.storage.local import LocalStorage


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    for number in range(40):
        (tmp_path / str(number)).write_bytes(b"%d" % number)
    return LocalStorage(tmp_path)


def test_no_more_than_the_given_number_is_fetched_ahead(storage: LocalStorage) -> None:
    drawn: list[str] = []

    def names() -> Iterator[str]:
        for number in range(40):
            drawn.append(str(number))
            yield str(number)

    results = read_many(storage, names(), concurrency=4)
    assert drawn == []
    for taken in range(1, 37):
        next(results)
        assert len(drawn) == 3 + taken
    assert len(list(results)) == 4


def test_closing_early_leaves_no_thread(storage: LocalStorage) -> None:
    before = threading.active_count()
    results = read_many(storage, map(str, range(40)), concurrency=8)
    assert next(results)[1]
    assert threading.active_count() > before
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_an_error_stops_drawing(storage: LocalStorage) -> None:
    names = iter(["absent", *map(str, range(40))])
    with pytest.raises(StorageMissing, match="absent"):
        list(read_many(storage, names, concurrency=2))
    assert len(list(names)) > 30


def test_an_error_of_the_source_is_raised(storage: LocalStorage) -> None:
    def items() -> Iterator[tuple[str, bytes]]:
        yield "new", b"x"
        raise OSError("the archive ends")

    before = threading.active_count()
    with pytest.raises(OSError, match="the archive ends"):
        list(write_many(storage, items(), concurrency=4))
    assert threading.active_count() == before


def test_nothing_in_nothing_out(storage: LocalStorage) -> None:
    assert list(read_many(storage, [])) == []


def test_no_concurrency_is_a_bug(storage: LocalStorage) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        read_many(storage, [], concurrency=0)


@pytest.mark.parametrize("sizes", [[3] * 12, [1, 1, 1, 9, 30, 2, 2, 2, 9, 1], [50, 50, 50]])
def test_no_more_bytes_than_allowed_are_on_their_way_unless_one_alone_is_more(sizes: list[int]) -> None:
    """Counted from the start of a call until its result is taken."""
    guard, held, most = threading.Lock(), [], 0

    def call(i: int) -> int:
        nonlocal most
        with guard:
            held.append(sizes[i])
            most = max(most, sum(held) if len(held) > 1 else 0)
        return i

    taken = []
    for i in in_parallel(call, range(len(sizes)), 4, lambda i: sizes[i], 10):
        taken.append(i)
        with guard:
            held.remove(sizes[i])
    assert sorted(taken) == list(range(len(sizes)))
    assert most <= 10

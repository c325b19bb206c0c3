import threading
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pictures import write_split
from trainer.data import cache
from trainer.data.data_set import DataSet
from trainer.data.decode import PixelPath
from trainer.data.examples import Example, Place
from trainer.data.reading import HEADERS, MOST_UNWANTED, RANGE_BYTES, Damaged, ranges, reader
from trainer.data.shards import pack
from trainer.data.split import list_data_set
from trainer.exits import Exit
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage
from trainer.storage.retry import RetryEvent, RetryPolicy

PATH = PixelPath(2, 16)


@pytest.fixture(autouse=True)
def _soon_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.data.reading.DAMAGED", RetryPolicy(total=0.3, first_wait=0.01, longest_wait=0.05))


@pytest.fixture
def loose(tmp_path: Path) -> Path:
    return write_split(tmp_path / "loose", 6)


@pytest.fixture
def shards(tmp_path: Path, loose: Path) -> Path:
    storage = open_storage(str(loose))
    pack(list_data_set(storage), reader(storage), open_storage(str(tmp_path / "packed")), 1 << 20, lambda: None)
    return tmp_path / "packed"


def listed(folder: Path) -> tuple[Storage, DataSet]:
    storage = open_storage(str(folder))
    return storage, list_data_set(storage)


# --- ranges ----------------------------------------------------------------------------------------------------------

sizes = st.integers(0, RANGE_BYTES + RANGE_BYTES // 4) | st.integers(0, 50_000)


@given(st.lists(st.tuples(st.sampled_from("ab"), sizes, st.integers(0, 700_000)), max_size=40), st.randoms())
def test_ranges_hold_every_wanted_picture_once_and_stay_within_the_limit(
    facts: list[tuple[str, int, int]], chance: "object"
) -> None:
    at = {"a": 0, "b": 0}
    examples = []
    for shard, size, gap in facts:
        examples.append(Example(f"{len(examples)}", 0, size, 0, Place(shard, at[shard] + gap)))
        at[shard] += gap + size
    wanted = [i for i in range(len(examples)) if chance.random() < 0.8]  # type: ignore[attr-defined]
    chance.shuffle(wanted)  # type: ignore[attr-defined]
    made = list(ranges(examples, wanted))
    assert sorted(i for one in made for i in one.members) == sorted(wanted)
    for one in made:
        assert len(one.members) == 1 or one.end - one.start <= RANGE_BYTES
        for i in one.members:
            place = examples[i].place
            assert place is not None
            assert place.shard == one.shard
            assert one.start <= place.offset <= place.offset + examples[i].size <= one.end
        needed = sum(examples[i].size for i in one.members)
        assert one.end - one.start <= (1 + MOST_UNWANTED) * needed + HEADERS * (len(one.members) - 1)


def test_neighbours_share_a_request_and_far_ones_do_not() -> None:
    near = [Example(str(i), 0, 20_000, 0, Place("a", i * 20_200)) for i in range(400)]
    assert len(list(ranges(near, range(400)))) == -(-400 * 20_200 // RANGE_BYTES)
    far = [Example(str(i), 0, 20_000, 0, Place("a", i << 20)) for i in range(10)]
    assert len(list(ranges(far, range(10)))) == 10


@pytest.mark.parametrize("size", [2_000, 6_000, 20_000])
def test_neighbours_in_a_tar_share_a_request_whatever_their_size(size: int) -> None:
    """Between them lie a header, zeros up to a block, and another file with its own, such as the label."""
    near = [Example(str(i), 0, size, 0, Place("a", i * (size + 2_559))) for i in range(400)]
    assert len(list(ranges(near, range(400)))) == -(-400 * (size + 2_559) // RANGE_BYTES)


@pytest.mark.parametrize("every", [2, 4, 8])
def test_one_picture_in_a_few_does_not_bring_the_others_with_it(every: int) -> None:
    laid = [Example(str(i), 0, 20_000, 0, Place("a", i * 20_000)) for i in range(400)]
    made = list(ranges(laid, range(0, 400, every)))
    assert sum(one.end - one.start for one in made) == 400 * 20_000 // every


# --- reading ---------------------------------------------------------------------------------------------------------


def test_loose_and_packed_give_the_same_bytes_by_place(loose: Path, shards: Path) -> None:
    storage, data = listed(loose)
    packed_storage, packed = listed(shards)
    first = dict(reader(storage)(data.splits["train"]))
    assert dict(reader(packed_storage)(packed.splits["train"])) == first
    assert sorted(first) == list(range(12))
    assert first[3] == (loose / data.splits["train"][3].name).read_bytes()


def test_a_changed_file_is_a_storage_failure_not_a_rejected_picture(loose: Path) -> None:
    storage, data = listed(loose)
    (loose / "train/dogs/3.jpg").write_bytes(b"x")
    events: list[RetryEvent] = []
    with pytest.raises(Damaged, match=r"train/dogs/3\.jpg: damaged, or changed.*1 bytes with crc32c") as raised:
        cache.fill(data.splits["train"], reader(storage, on_retry=events.append), PATH, 1 << 30, None, 2)
    assert raised.value.code == Exit.STORAGE_FAILED
    assert {(event.reason, event.name) for event in events} == {("checksum", "train/dogs/3.jpg")}


def test_a_damaged_record_is_noticed_and_the_others_are_read(loose: Path, shards: Path) -> None:
    storage, data = listed(shards)
    victim = data.splits["train"][5]
    assert victim.place is not None
    path = shards / victim.place.shard
    content = bytearray(path.read_bytes())
    content[victim.place.offset + victim.size // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(Damaged, match=victim.name):
        list(reader(storage)(data.splits["train"]))
    told: list[tuple[int, str]] = []
    read = dict(reader(storage, on_damaged=lambda i, error: told.append((i, error.message)))(data.splits["train"]))
    assert sorted(read) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert [i for i, _ in told] == [5]


@pytest.mark.parametrize("kind", ["loose", "packed"])
def test_a_picture_that_comes_damaged_once_is_asked_for_again(
    loose: Path, shards: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, data = listed(loose if kind == "loose" else shards)
    method = "read" if kind == "loose" else "read_range"
    original = getattr(storage, method)
    calls: list[tuple[object, ...]] = []

    def spoiled(*arguments: object) -> bytes:
        content: bytes = original(*arguments)
        calls.append(arguments)
        return content if len(calls) > 1 else content[:-100] + bytes(100)

    monkeypatch.setattr(storage, method, spoiled)
    events: list[RetryEvent] = []
    read = dict(reader(storage, on_retry=events.append)(data.splits["train"]))
    for i, example in enumerate(data.splits["train"]):
        assert read[i] == (loose / example.name).read_bytes()
    assert [event.reason for event in events] == ["checksum"]
    assert len(calls) == (13 if kind == "loose" else 2)


def test_many_loose_pictures_are_under_way_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, data = listed(write_split(tmp_path / "many", 40))
    together = threading.Barrier(64, timeout=20)
    original = storage.read

    def slow(name: str) -> bytes:
        if name in first:
            together.wait()  # passes only when 64 reads have begun
        return original(name)

    first = {example.name for example in data.splits["train"][:64]}
    monkeypatch.setattr(storage, "read", slow)
    assert len(dict(reader(storage)(data.splits["train"]))) == 80


def test_leaving_early_stops_reading(loose: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, data = listed(loose)
    names: list[str] = []
    original = storage.read
    monkeypatch.setattr("trainer.data.reading.CONCURRENCY", 2)
    monkeypatch.setattr(storage, "read", lambda name: names.append(name) or original(name))
    contents = reader(storage)(data.splits["train"])
    next(contents)
    contents.close()
    assert len(names) <= 3


# --- filling the cache -----------------------------------------------------------------------------------------------


def test_the_cache_is_the_same_whatever_the_order_of_arrival(loose: Path) -> None:
    (loose / "train/cats/2.jpg").write_bytes(b"no picture")
    (loose / "train/dogs/4.jpg").write_bytes(b"\xff\xd8\xff\x00 no picture")
    storage, data = listed(loose)
    examples = data.splits["train"]
    forward = cache.fill(
        examples, lambda e: ((i, storage.read(one.name)) for i, one in enumerate(e)), PATH, 1 << 30, None, 2
    )
    backward = cache.fill(
        examples, lambda e: ((i, storage.read(e[i].name)) for i in reversed(range(len(e)))), PATH, 1 << 30, None, 3
    )
    assert (forward.pixels == backward.pixels).all()
    assert forward.pixels.any(axis=(1, 2, 3)).tolist() == forward.usable.tolist()
    assert forward.rejected == backward.rejected
    assert [one.path for one in forward.rejected] == ["train/cats/2.jpg", "train/dogs/4.jpg"]
    assert forward.usable.tolist() == [i not in (2, 10) for i in range(12)]


def test_a_reader_that_loses_or_repeats_a_picture_is_a_bug_not_a_black_picture(loose: Path) -> None:
    storage, data = listed(loose)
    examples = data.splits["train"]
    with pytest.raises(RuntimeError, match="not each arrived exactly once"):
        cache.fill(
            examples, lambda e: ((i, storage.read(e[i].name)) for i in range(len(e) - 1)), PATH, 1 << 30, None, 2
        )


def test_few_pictures_wait_to_be_decoded(loose: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, data = listed(loose)
    examples = list(data.splits["train"]) * 5
    waiting: list[int] = []
    decoded: list[int] = []
    original = cache.pixels

    def read(asked: Sequence[Example]) -> Generator[tuple[int, bytes], None, None]:
        for i, one in enumerate(asked):
            yield i, storage.read(one.name)
            waiting.append(i + 1 - len(decoded))

    def counted(encoded: bytes, size: int) -> object:
        result = original(encoded, size)
        decoded.append(1)
        return result

    monkeypatch.setattr(cache, "pixels", counted)
    cache.fill(examples, read, PATH, 1 << 30, None, 1)
    assert len(decoded) == len(waiting) == 60
    assert max(waiting) <= 4


def test_an_example_of_size_zero_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    empty = Example("a", 0, 0, google_crc32c.value(b""))
    assert dict(reader(open_storage(str(tmp_path)))([empty, replace(empty, place=Place("a", 0))])) == {0: b"", 1: b""}

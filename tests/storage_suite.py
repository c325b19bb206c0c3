"""What every storage must do: one suite, run for each by a subclass that provides a `storage` fixture."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.exits import Exit
from trainer.storage import large
from trainer.storage.base import Stat, Storage
from trainer.storage.errors import BadName, PreconditionFailed, StorageFailed, StorageMissing
from trainer.storage.fetch import read_many, write_many
from trainer.storage.large import read_large
from trainer.storage.opening import open_storage

GOOD_NAMES = [
    "a b/c d.jpg",
    "kätzchen/🐈.jpg",
    "a%2Fb",
    "x?y=1&z#f",
    "a+b",
    "...",
    "..a/b..",
    "-",
    "*[]",
    "a\\b",
    "~",
    "'\"",
]
BAD_NAMES = ["", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", "./a", "a/./b", "a//b", "a/", "a\0b", "a\nb"]
BAD_NAMES += ["\ud800", "é" * 513, "x/" * 512 + "yy", ".catdog-tmp-1", "a/.catdog-lock"]


class StorageSuite:
    def test_what_is_written_is_read_back(self, storage: Storage) -> None:
        for data in (b"", b"x", os.urandom(100_000)):
            stat = storage.write("a/b", data)
            assert (stat.name, stat.size) == ("a/b", len(data))
            assert storage.read("a/b") == data
            assert storage.stat("a/b") == stat

    def test_a_local_file_is_written_without_a_name_of_its_own(self, storage: Storage, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"content")
        storage.write("a/b", source)
        assert storage.read("a/b") == b"content"
        with pytest.raises(StorageMissing, match="no such file to store"):
            storage.write("a/b", tmp_path / "absent")

    def test_a_large_object_is_read_whole_and_only_whole(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(large, "PART", 1000)
        data = os.urandom(100_001)
        stat = storage.write("large", data)
        found = read_large(storage, stat)
        assert found.tobytes() == data
        assert found.readonly
        assert len(read_large(storage, storage.write("empty", b""))) == 0
        with pytest.raises(StorageFailed):
            read_large(storage, replace(stat, size=len(data) + 1))
        with pytest.raises(StorageMissing):
            read_large(storage, replace(stat, name="absent"))

    def test_data_above_8_mib_goes_in_and_comes_out(self, storage: Storage, tmp_path: Path) -> None:
        data = os.urandom(9 << 20)
        (tmp_path / "source").write_bytes(data)
        stat = storage.write("large", tmp_path / "source", if_generation="")
        assert stat.size == len(data)
        assert storage.read("large") == data
        assert storage.read_range("large", 9_000_000, 1000) == data[9_000_000:9_001_000]
        with pytest.raises(PreconditionFailed):
            storage.write("large", data[1:], if_generation="")
        assert storage.stat("large") == stat

    @pytest.mark.parametrize("sizes", [[], [0], [3, 0, 1], [5000, 1, 4096, 0, 70_000], [3 << 20, 6 << 20, 1234]])
    def test_pieces_are_stored_as_if_joined(self, storage: Storage, sizes: list[int]) -> None:
        pieces = [np.frombuffer(os.urandom(size), np.uint8) for size in sizes]
        data = b"".join(piece.tobytes() for piece in pieces)
        stat = storage.write("a/b", pieces)
        assert stat.size == len(data)
        assert storage.read("a/b") == data
        assert storage.stat("a/b") == stat

    def test_an_absent_object_is_missing(self, storage: Storage) -> None:
        assert storage.stat("a/b") is None
        with pytest.raises(StorageMissing, match="a/b") as caught:
            storage.read("a/b")
        assert caught.value.code == Exit.INPUT_MISSING
        with pytest.raises(StorageMissing, match="a/b"):
            storage.read_range("a/b", 0, 1)
        storage.delete("a/b")

    def test_a_folder_of_objects_is_not_an_object(self, storage: Storage) -> None:
        storage.write("a/b", b"x")
        assert storage.stat("a") is None
        with pytest.raises(StorageMissing):
            storage.read("a")
        storage.delete("a")
        assert storage.read("a/b") == b"x"

    def test_a_range_is_exact_or_refused(self, storage: Storage) -> None:
        storage.write("a", bytes(range(100)))
        assert storage.read_range("a", 10, 20) == bytes(range(10, 30))
        assert storage.read_range("a", 99, 1) == bytes([99])
        assert storage.read_range("a", 5, 0) == b""
        for start, length in ((90, 11), (100, 1), (500, 5)):
            with pytest.raises(StorageFailed, match=f"bytes {start}-{start + length - 1} requested"):
                storage.read_range("a", start, length)
        with pytest.raises(ValueError, match="negative"):
            storage.read_range("a", -1, 1)

    def test_a_listing_is_recursive_and_sorted_by_bytes(self, storage: Storage) -> None:
        names = ["a.txt", "a/b", "a/b.c/d", "a/b/c"[:3] + "x", "a0", "Z", "é", "z", "😀", "\uffee", "a-b/c"]
        for name in names:
            storage.write(name, name.encode())
        found = list(storage.list())
        assert [stat.name for stat in found] == sorted(names, key=str.encode)
        assert all(stat == storage.stat(stat.name) for stat in found)

    def test_folders_are_the_first_parts_of_longer_names(self, storage: Storage) -> None:
        assert list(storage.folders()) == []
        for name in ("a.txt", "b/x", "b/c/d", "b-/x", "é/x", "a/b/c"):
            storage.write(name, b"")
        assert list(storage.folders()) == ["a", "b-", "b", "é"]
        assert list(storage.child("b").folders()) == ["c"]
        assert list(storage.child("a.txt/none").folders()) == []

    def test_a_prefix_is_any_beginning_of_the_name(self, storage: Storage) -> None:
        for name in ("train/cats/1", "train/cats/2", "train/dogs/1", "trainer", "valid/cats/1"):
            storage.write(name, b"")
        assert _names(storage, "train") == ["train/cats/1", "train/cats/2", "train/dogs/1", "trainer"]
        assert _names(storage, "train/") == ["train/cats/1", "train/cats/2", "train/dogs/1"]
        assert _names(storage, "train/c") == ["train/cats/1", "train/cats/2"]
        assert _names(storage, "train/cats/1") == ["train/cats/1"]
        assert _names(storage, "nothing/") == []

    def test_a_child_is_the_same_storage_deeper(self, storage: Storage) -> None:
        child = storage.child("runs/one")
        assert child.uri == f"{storage.uri}/runs/one"
        assert list(child.list()) == []
        child.write("a", b"x")
        assert _names(storage) == ["runs/one/a"]
        assert _names(storage.child("runs").child("one")) == ["a"]
        with pytest.raises(BadName):
            child.read("../two/a")

    def test_its_uri_opens_it_again(self, storage: Storage) -> None:
        storage.write("a", b"x")
        assert not storage.uri.endswith("/")
        for uri in (storage.uri, f"{storage.uri}/"):
            again = open_storage(uri)
            assert again.uri == storage.uri
            assert again.read("a") == b"x"

    def test_delete_removes_one_object(self, storage: Storage) -> None:
        storage.write("a/b", b"x")
        storage.write("a/c", b"y")
        storage.delete("a/b")
        assert _names(storage) == ["a/c"]

    def test_must_not_exist(self, storage: Storage) -> None:
        storage.write("a", b"1", if_generation="")
        with pytest.raises(PreconditionFailed, match="another writer was first") as caught:
            storage.write("a", b"2", if_generation="")
        assert caught.value.code == Exit.STORAGE_FAILED
        assert storage.read("a") == b"1"

    def test_the_same_content_again_is_still_refused_on_the_first_try(self, storage: Storage) -> None:
        storage.write("a", b"1", if_generation="")
        with pytest.raises(PreconditionFailed):
            storage.write("a", b"1", if_generation="")

    def test_a_stale_generation_loses(self, storage: Storage) -> None:
        first = storage.write("a", b"1")
        second = storage.write("a", b"2", if_generation=first.generation)
        for stale in (first.generation, "nonsense", ""):
            with pytest.raises(PreconditionFailed):
                storage.write("a", b"3", if_generation=stale)
            with pytest.raises(PreconditionFailed):
                storage.delete("a", if_generation=stale)
        assert storage.stat("a") == second
        storage.delete("a", if_generation=second.generation)
        assert storage.stat("a") is None
        with pytest.raises(PreconditionFailed):
            storage.delete("a", if_generation=second.generation)
        with pytest.raises(PreconditionFailed):
            storage.write("a", b"3", if_generation=second.generation)

    def test_every_write_has_its_own_generation(self, storage: Storage) -> None:
        assert len({storage.write("a", b"same").generation for _ in range(30)}) == 30

    def test_no_update_is_lost_between_threads(self, storage: Storage) -> None:
        count(storage, "counter", times=0)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: count(storage, "counter", times=5), range(4)))
        assert storage.read("counter") == b"20"

    def test_readers_see_the_old_or_the_new_content_never_a_part(self, storage: Storage) -> None:
        old, new = b"o" * 300_000, b"n" * 400_000
        storage.write("a", old)
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:

            def flicker() -> None:
                while not stop.is_set():
                    storage.write("a", new)
                    storage.write("a", old)

            writing = pool.submit(flicker)
            try:
                assert all(storage.read("a") in (old, new) for _ in range(30))
                assert all(_names(storage) == ["a"] for _ in range(10))
            finally:
                stop.set()
            writing.result()

    @pytest.mark.parametrize("name", GOOD_NAMES)
    def test_an_odd_name_is_stored_and_read_back(self, storage: Storage, name: str) -> None:
        storage.write(name, b"x")
        assert storage.read(name) == b"x"
        assert _names(storage) == [name]
        storage.delete(name)
        assert _names(storage) == []

    @pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
    def test_a_bad_name_is_refused_by_every_method(self, storage: Storage, name: str) -> None:
        calls: list[Callable[[str], Any]] = [
            storage.stat,
            storage.read,
            storage.delete,
            storage.child,
            lambda name: storage.read_range(name, 0, 1),
            lambda name: storage.write(name, b"x"),
        ]
        for call in calls:
            with pytest.raises(BadName, match="cannot hold an object named"):
                call(name)
        assert list(storage.list()) == []

    def test_many_are_written_and_read(self, storage: Storage) -> None:
        contents = {f"{number % 7}/{number}": str(number).encode() * number for number in range(200)}
        written: dict[str, Stat] = {stat.name: stat for stat in write_many(storage, contents.items(), concurrency=16)}
        assert written == {stat.name: stat for stat in storage.list()}
        assert dict(read_many(storage, contents, concurrency=16)) == contents

    def test_a_failed_read_among_many_is_raised(self, storage: Storage) -> None:
        storage.write("a", b"x")
        before = threading.active_count()
        with pytest.raises(StorageMissing, match="absent"):
            list(read_many(storage, ["a"] * 20 + ["absent"] + ["a"] * 20, concurrency=4))
        assert threading.active_count() == before


def count(storage: Storage, name: str, times: int) -> None:
    """Adds `times` to the number in an object, one by one, by compare and swap."""
    for _ in range(times):
        while True:
            stat = storage.stat(name)
            value = int(storage.read(name)) if stat else 0
            try:
                storage.write(name, str(value + 1).encode(), if_generation=stat.generation if stat else "")
                break
            except PreconditionFailed:
                continue


def _names(storage: Storage, prefix: str = "") -> list[str]:
    return [stat.name for stat in storage.list(prefix)]

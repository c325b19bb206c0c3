"""Each call to a storage is told, with what it moved, also if it fails."""

from pathlib import Path

import pytest

from trainer.storage.errors import StorageMissing
from trainer.storage.measured import Call
from trainer.storage.opening import Listener, open_storage


def test_each_call_is_told_with_its_bytes(tmp_path: Path) -> None:
    calls: list[Call] = []
    storage = open_storage(str(tmp_path), listener=Listener(on_call=calls.append))
    assert storage.uri == open_storage(str(tmp_path)).uri
    below = storage.child("a")
    below.write("b", b"12345")
    assert below.read("b") == b"12345"
    assert below.read_range("b", 1, 3) == b"234"
    assert [stat.name for stat in storage.list()] == ["a/b"]
    assert list(storage.folders()) == ["a"]
    stat = below.stat("b")
    assert stat is not None
    below.write("b", b"1", if_generation=stat.generation)
    below.delete("b")
    told = [(call.operation, call.size) for call in calls]
    assert told == [
        ("write", 5), ("read", 5), ("read", 3), ("list", 0), ("list", 0), ("stat", 0), ("write", 1), ("delete", 0),
    ]  # fmt: skip
    assert all(0 <= call.seconds < 10 for call in calls)


def test_a_call_that_fails_is_told_too(tmp_path: Path) -> None:
    calls: list[Call] = []
    storage = open_storage(str(tmp_path), listener=Listener(on_call=calls.append))
    with pytest.raises(StorageMissing):
        storage.read("nothing")
    assert [(call.operation, call.size) for call in calls] == [("read", 0)]


def test_nobody_who_does_not_listen_pays(tmp_path: Path) -> None:
    assert type(open_storage(str(tmp_path))).__name__ == "LocalStorage"

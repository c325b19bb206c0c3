"""How pictures are held follows from what they take and what room there is."""

from pathlib import Path

import pytest

from tests import runs
from trainer.data.load import BYTES_AHEAD, Room, batches_ahead, chosen, room_of


@pytest.mark.parametrize(
    ("decoded", "encoded", "memory", "disk", "mode"),
    [
        (100, 10, 100, 0, "decoded"),
        (100, 10, 50, 100, "decoded"),
        (100, 10, 50, 50, "encoded"),
        (100, 10, 9, 99, "stream"),
    ],
)
def test_auto_takes_what_needs_the_least_work_and_has_room(
    decoded: int, encoded: int, memory: int, disk: int, mode: str
) -> None:
    assert chosen("auto", decoded, encoded, Room(memory, disk)) == mode


@pytest.mark.parametrize("asked", ["decoded", "encoded", "stream"])
def test_what_is_asked_for_is_taken_whatever_room_there_is(asked: str) -> None:
    assert chosen(asked, 100, 10, Room(0, 0)) == asked


@pytest.mark.parametrize(
    ("rows", "picture", "batches"),
    [
        (16, 22_000, 8),
        (64, 22_000, 4),
        (512, 22_000, 2),
        (64, 600_000, 3),
        (16, 4_000_000, 2),
        (64, 4_000_000, 1),
        (64, 0, 4),
    ],
)
def test_fewer_batches_of_larger_pictures_are_read_ahead(rows: int, picture: int, batches: int) -> None:
    assert batches_ahead(rows, picture) == batches
    assert batches == 1 or rows * picture * batches <= BYTES_AHEAD


def test_decoded_pictures_and_downloads_leave_some_of_a_pods_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 64 << 20
    monkeypatch.setenv("CATDOG_DISK_LIMIT", str(limit))
    room = room_of(runs.config("augmented", tmp_path, tmp_path, cache_memory=10))
    assert room.memory == 10 << 20
    assert 0 < room.disk + limit // 4 <= 0.9 * limit

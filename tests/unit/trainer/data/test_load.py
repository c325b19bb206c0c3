"""How pictures are held follows from what they take and what room there is."""

import pytest

from trainer.data.load import Room, chosen


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

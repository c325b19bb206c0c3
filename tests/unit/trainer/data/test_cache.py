import errno
import io
import os
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from PIL import Image

from trainer.data import cache
from trainer.data.cache import PixelCache, fill
from trainer.data.decode import PixelPath, Pixels, pixels
from trainer.data.examples import Example
from trainer.data.order import PADDING
from trainer.data.reading import Read
from trainer.exits import Exit, ExitError
from trainer.storage.errors import StorageFailed

SIZE = 16
PATH = PixelPath(2, SIZE)
ROW = SIZE * SIZE * 3
PLENTY = 1 << 30


def picture(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


CONTENT = {f"train/{'cat' if i % 2 else 'dog'}/{i}.png": picture(i) for i in range(10)}


def examples(content: Mapping[str, bytes]) -> list[Example]:
    return [
        Example(name, i % 2, len(data), google_crc32c.value(data)) for i, (name, data) in enumerate(content.items())
    ]


def reading(content: Mapping[str, bytes]) -> Read:
    """Gives contents in another order than they are asked for."""

    def read(wanted: Sequence[Example]) -> Generator[tuple[int, bytes], None, None]:
        for i in reversed(range(len(wanted))):
            yield i, content[wanted[i].name]

    return read


def filled(content: Mapping[str, bytes] = CONTENT, budget: int = PLENTY, folder: Path | None = None) -> PixelCache:
    return fill(examples(content), reading(content), PATH, budget, folder, threads=3)


def ids(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def with_bad(**bad: bytes) -> dict[str, bytes]:
    names = list(CONTENT)
    return {**CONTENT, **{names[int(place[1:])]: data for place, data in bad.items()}}


def test_pixels_are_those_of_decode_in_order_of_id() -> None:
    made = filled()
    assert len(made) == 10
    assert made.pixels.shape == (10, SIZE, SIZE, 3)
    for i, data in enumerate(CONTENT.values()):
        assert np.array_equal(made.pixels[i], pixels(data, PATH))
    assert made.labels.tolist() == [0, 1] * 5
    assert made.labels.dtype == np.int32
    assert made.usable.all()
    assert made.rejected == ()


def test_rows_come_in_the_order_asked_for_and_padding_is_zero() -> None:
    made = filled()
    rows, labels, weights = made.rows(ids(7, 2, PADDING, 2, PADDING))
    assert np.array_equal(rows[:2], made.pixels[[7, 2]])
    assert np.array_equal(rows[3], made.pixels[2])
    assert not rows[[2, 4]].any()
    assert labels.tolist() == [1, 0, 0, 0, 0]
    assert weights.tolist() == [1, 1, 0, 1, 0]
    assert (rows.dtype, labels.dtype, weights.dtype) == (np.uint8, np.int32, np.float32)


def test_a_batch_may_be_all_padding() -> None:
    rows, labels, weights = filled().rows(ids(PADDING, PADDING))
    assert not rows.any()
    assert not labels.any()
    assert not weights.any()


def test_rows_are_a_copy() -> None:
    made = filled()
    before = made.pixels.copy()
    rows, _, _ = made.rows(ids(0, 1))
    rows[:] = 0
    assert np.array_equal(made.pixels, before)


def test_rejected_pictures_keep_their_id_with_weight_and_pixels_zero() -> None:
    made = filled(with_bad(_3=b"text", _8=picture(8)[:60]))
    assert [(one.path, one.reason.split(":")[0]) for one in made.rejected] == [
        ("train/cat/3.png", "neither a JPEG nor a PNG"),
        ("train/dog/8.png", "damaged"),
    ]
    assert made.usable.tolist() == [True] * 3 + [False] + [True] * 4 + [False, True]
    rows, _, weights = made.rows(ids(2, 3, 8, 9))
    assert weights.tolist() == [1, 0, 0, 1]
    assert not rows[1:3].any()
    assert np.array_equal(rows[3], pixels(CONTENT["train/cat/9.png"], PATH))


def test_files_that_are_too_large_are_rejected_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    large = sorted(len(data) for data in CONTENT.values())[-3]
    monkeypatch.setattr("trainer.data.decode.LARGEST_PICTURE", large)
    asked: list[str] = []

    def read(wanted: Sequence[Example]) -> Generator[tuple[int, bytes], None, None]:
        asked.extend(one.name for one in wanted)
        yield from reading(CONTENT)(wanted)

    made = fill(examples(CONTENT), read, PATH, PLENTY, None, threads=2)
    assert asked == [name for name, data in CONTENT.items() if len(data) <= large]
    assert [one.path for one in made.rejected] == [name for name in CONTENT if name not in asked]
    for i, (name, data) in enumerate(CONTENT.items()):
        assert made.usable[i] == (name in asked)
        assert not made.usable[i] or np.array_equal(made.pixels[i], pixels(data, PATH))


def test_memory_and_disk_give_the_same_rows(tmp_path: Path) -> None:
    content = with_bad(_3=b"text")
    in_memory, on_disk = filled(content), filled(content, budget=10 * ROW - 1, folder=tmp_path)
    assert (in_memory.on_disk, on_disk.on_disk) == (False, True)
    assert isinstance(on_disk.pixels, np.memmap)
    every = ids(*range(10), PADDING)
    for ours, theirs in zip(in_memory.rows(every), on_disk.rows(every), strict=True):
        assert np.array_equal(ours, theirs)
        assert not isinstance(theirs, np.memmap)
    assert in_memory.rejected == on_disk.rejected


def test_what_fits_exactly_stays_in_memory() -> None:
    assert not filled(budget=10 * ROW).on_disk


def test_the_file_on_disk_has_no_name_but_its_size_is_reserved(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "anew"
    made = filled(budget=0, folder=folder)
    assert os.listdir(folder) == []
    opened = [os.readlink(f"/proc/self/map_files/{name}") for name in os.listdir("/proc/self/map_files")]
    assert [one for one in opened if one.startswith(f"{folder}/catdog-pixels-") and one.endswith(" (deleted)")]
    assert made.pixels.nbytes == 10 * ROW


def test_a_full_disk_is_74_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, offset: int, length: int) -> None:
        assert length == 10 * ROW
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ExitError, match=r"no room for 0 MiB .*No space left on device.*--cache-dir") as caught:
        filled(budget=0, folder=tmp_path)
    assert caught.value.code == Exit.STORAGE_FAILED
    assert caught.value.message.startswith(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_74(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ExitError, match="Not a directory") as caught:
        filled(budget=0, folder=tmp_path / "file" / "below")
    assert caught.value.code == Exit.STORAGE_FAILED


def test_a_storage_failure_ends_it_and_closes_the_reading() -> None:
    closed = []

    def read(wanted: Sequence[Example]) -> Generator[tuple[int, bytes], None, None]:
        try:
            yield 0, CONTENT[wanted[0].name]
            raise StorageFailed("gs://bucket/pets: away")
        finally:
            closed.append(True)

    with pytest.raises(ExitError, match="away"):
        fill(examples(CONTENT), read, PATH, PLENTY, None, threads=2)
    assert closed == [True]


def test_only_so_many_pictures_wait_to_be_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    given, decoded, largest = 0, 0, 0
    guard = threading.Lock()

    def slowly(encoded: bytes, path: PixelPath) -> Pixels:
        nonlocal decoded
        time.sleep(0.002)
        with guard:
            decoded += 1
        return np.zeros((SIZE, SIZE, 3), np.uint8)

    def read(wanted: Sequence[Example]) -> Generator[tuple[int, bytes], None, None]:
        nonlocal given, largest
        for i in range(len(wanted)):
            given += 1
            with guard:
                largest = max(largest, given - decoded)
            yield i, b""

    monkeypatch.setattr(cache, "pixels", slowly)
    many = [Example(f"train/cat/{i}.png", 0, 0, 0) for i in range(100)]
    fill(many, read, PATH, PLENTY, None, threads=2)
    assert decoded == 100
    assert largest <= 4 * 2 + 1


def test_a_reading_that_leaves_one_out_is_a_bug() -> None:
    def read(wanted: Sequence[Example]) -> Generator[tuple[int, bytes], None, None]:
        yield 0, CONTENT[wanted[0].name]

    with pytest.raises(RuntimeError, match="not each arrived exactly once"):
        fill(examples(CONTENT), read, PATH, PLENTY, None, threads=2)


def test_an_error_while_decoding_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(encoded: bytes, path: PixelPath) -> Pixels:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(cache, "pixels", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        filled()

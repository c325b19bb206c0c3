import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from tests.pieces import pieces_of, sizes
from trainer.storage import direct


def written(path: Path, pieces: list[np.ndarray]) -> bytes:
    with path.open("wb") as file:
        direct.write(file.fileno(), pieces, direct.new_buffer())
    return path.read_bytes()


@settings(max_examples=50)
@given(sizes)
def test_a_file_holds_the_pieces_joined(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    pieces = pieces_of(sizes)
    path = tmp_path_factory.mktemp("direct") / "file"
    assert written(path, pieces) == b"".join(piece.tobytes() for piece in pieces)


def refuse_direct_flag(real: Callable[..., int]) -> Callable[..., int]:
    def fcntl_(descriptor: int, command: int, value: int = 0) -> int:
        if command == fcntl.F_SETFL and value & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no O_DIRECT here")
        return real(descriptor, command, value)

    return fcntl_


def refuse_direct_write(real: Callable[..., int]) -> Callable[..., int]:
    def write(descriptor: int, data: memoryview) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "not aligned enough")
        return real(descriptor, data)

    return write


def cut_short(real: Callable[..., int]) -> Callable[..., int]:
    def write(descriptor: int, data: memoryview) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            return real(descriptor, data[: direct.BLOCK])
        return real(descriptor, data[:1000])

    return write


# What file systems without O_DIRECT do cannot be had on every machine: some refuse the flag, some the write.
@pytest.mark.parametrize(
    ("module", "name", "instead"),
    [(fcntl, "fcntl", refuse_direct_flag), (os, "write", refuse_direct_write), (os, "write", cut_short)],
)
def test_where_the_file_system_cannot_it_is_an_ordinary_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str, instead: Callable[..., object]
) -> None:
    pieces = pieces_of([direct.BUFFER + 5, 3, direct.BLOCK])
    monkeypatch.setattr(module, name, instead(getattr(module, name)))
    assert written(tmp_path / "file", pieces) == b"".join(piece.tobytes() for piece in pieces)


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as file, pytest.raises(OSError, match="No space left"):
        direct.write(file.fileno(), pieces_of([10_000]), direct.new_buffer())

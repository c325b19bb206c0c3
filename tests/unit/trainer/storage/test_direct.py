import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.storage import direct
from trainer.storage.base import open_source


def pieces_of(sizes: list[int]) -> list[np.ndarray]:
    return [np.frombuffer(os.urandom(size), np.uint8) for size in sizes]


def written(path: Path, pieces: list[np.ndarray]) -> bytes:
    with path.open("wb") as file:
        direct.write(file.fileno(), pieces, direct.new_buffer())
    return path.read_bytes()


sizes = st.lists(
    st.one_of(
        st.integers(0, 9000),
        st.sampled_from([direct.BUFFER + more for more in (-direct.BLOCK, -1, 0, 1, direct.BLOCK, direct.BUFFER)]),
    ),
    max_size=6,
)


@settings(max_examples=50)
@given(sizes)
def test_a_file_holds_the_pieces_joined(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    pieces = pieces_of(sizes)
    path = tmp_path_factory.mktemp("direct") / "file"
    assert written(path, pieces) == b"".join(piece.tobytes() for piece in pieces)


@given(sizes, st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 9000)), max_size=8))
def test_as_a_source_they_read_like_a_file(sizes: list[int], reads: list[tuple[int, int]]) -> None:
    pieces = pieces_of(sizes)
    data = b"".join(piece.tobytes() for piece in pieces)
    with open_source(pieces) as source:
        for at, count in reads:
            assert source.seek(at) == at
            assert source.read(count) == data[at : at + count]
        assert source.seek(0, os.SEEK_END) == len(data)
        source.seek(0)
        assert source.read() == data


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

import os

from hypothesis import given
from hypothesis import strategies as st

from tests.pieces import pieces_of, sizes
from trainer.storage.content import open_content


@given(sizes, st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 9000)), max_size=8))
def test_as_a_source_they_read_like_a_file(sizes: list[int], reads: list[tuple[int, int]]) -> None:
    pieces = pieces_of(sizes)
    data = b"".join(piece.tobytes() for piece in pieces)
    with open_content(pieces) as source:
        for at, count in reads:
            assert source.seek(at) == at
            assert source.read(count) == data[at : at + count]
        assert source.seek(0, os.SEEK_END) == len(data)
        source.seek(0)
        assert source.read() == data

"""Byte buffers in separate places of memory, with sizes around those that storage handles specially."""

import os

import numpy as np
from hypothesis import strategies as st

from trainer.storage import direct


def pieces_of(sizes: list[int]) -> list[np.ndarray]:
    return [np.frombuffer(os.urandom(size), np.uint8) for size in sizes]


sizes = st.lists(
    st.one_of(
        st.integers(0, 9000),
        st.sampled_from([direct.BUFFER + more for more in (-direct.BLOCK, -1, 0, 1, direct.BLOCK, direct.BUFFER)]),
    ),
    max_size=6,
)

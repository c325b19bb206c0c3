"""Documents that nobody should write, for readers that must answer each in one line: hypothesis strategies."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import strategies as st

E = TypeVar("E", bound=Exception)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", "/", "..", "step-000000001", "2026-99-99", "1e999", "\u202e", "\x00", "gs://", "a" * 5000]),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
)
"""Whatever JSON can say."""

NESTED = (b"[" * 200_000, b'{"a":' * 200_000, b'{"config": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@st.composite
def changed(draw: st.DrawFn, valid: Any) -> Any:
    """A valid document with one to three of its parts replaced or removed."""
    made = json.loads(json.dumps(valid))
    for _ in range(draw(st.integers(1, 3))):
        part: Any = made
        while True:
            if not isinstance(part, dict | list) or not part:
                break
            key = draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
            if isinstance(part[key], dict | list) and part[key] and draw(st.booleans()):
                part = part[key]
                continue
            if draw(st.booleans()):
                part[key] = draw(values)
            else:
                del part[key]
            break
    return made


@st.composite
def damaged(draw: st.DrawFn, valid: bytes) -> bytes:
    """Bytes of a valid document, cut short, or with some replaced."""
    made = bytearray(valid)
    for _ in range(draw(st.integers(0, 3))):
        made[draw(st.integers(0, len(made) - 1))] = draw(st.integers(0, 255))
    return bytes(made[: draw(st.integers(0, len(made)))])


def files(valid: Any) -> st.SearchStrategy[bytes]:
    """Contents of a file that should be the JSON of `valid`."""
    text = json.dumps(valid, indent=1).encode()
    return st.one_of(
        st.binary(max_size=200),
        values.map(lambda value: json.dumps(value).encode()),
        changed(valid).map(lambda value: json.dumps(value).encode()),
        damaged(text),
        st.sampled_from(NESTED),
    )


def refusal(read: Callable[[], Any], kind: type[E]) -> E | None:
    """How a reader refused something; None if it did not. Any other exception is a fault of the reader."""
    try:
        read()
    except kind as error:
        return error
    return None

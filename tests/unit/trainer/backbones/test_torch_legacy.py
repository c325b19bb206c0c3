import contextlib
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.trainer.backbones.legacy_files import Named, contiguous, file_of, storage, tensor, weights_file
from trainer.backbones.torch_legacy import NotWeights, read

SIX = np.arange(6, dtype="<f4")
TENSORS = {"a.weight": SIX.reshape(2, 3), "b": np.array(7, "<i8"), "c.bias": np.array([1.5, -2], "<f4")}
SOUND = weights_file(TENSORS)


def test_tensors_are_read_as_they_were_stored() -> None:
    found = read(SOUND)
    assert list(found) == list(TENSORS)
    for name, array in TENSORS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_views_of_one_storage_keep_their_offset_and_strides() -> None:
    named = OrderedDict(turned=tensor("k", SIX, (3, 2), (1, 3)), last=tensor("k", SIX, (2,), (1,), at=4))
    found = read(file_of(named, {"k": SIX}))
    np.testing.assert_array_equal(found["turned"], SIX.reshape(2, 3).T)
    np.testing.assert_array_equal(found["last"], [4, 5])


def one(value: Any) -> bytes:
    return file_of(OrderedDict(a=value), {"k": SIX})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "damaged"),
        (b"PK\x03\x04 a zip, as PyTorch writes today", "damaged"),
        (SOUND[:-1], "it is cut"),
        (SOUND[:60], "damaged"),
        (SOUND + b"x", "bytes are left over"),
        (file_of(OrderedDict(), {}, magic=1), "not a file of PyTorch weights"),
        (file_of(OrderedDict(), {}, protocol=1002), "not a file of PyTorch weights"),
        (file_of(OrderedDict(), {}, facts={"little_endian": False}), "not little-endian"),
        (file_of([1], {}), "not a dictionary"),
        (file_of({"a": 3}, {}), "'a' is not a tensor"),
        (file_of({1: contiguous("k", SIX)}, {"k": SIX}), "not a dictionary"),
        (one(tensor("k", SIX, (7,), (1,))), "reaches beyond its storage"),
        (one(tensor("k", SIX, (3, 3), (2, 1))), "reaches beyond its storage"),
        (one(tensor("k", SIX, (2,), (-1,))), "reaches beyond its storage"),
        (one(tensor("k", SIX, (2,), (1,), at=-1)), "reaches beyond its storage"),
        (one(tensor("k", SIX, (2, 2), (1,))), "described in another way"),
        (one(Named("torch._utils", "_rebuild_tensor_v2", (1, 0, (1,), (1,)))), "described in another way"),
        (file_of(OrderedDict(a=contiguous("k", SIX)), {"k": SIX[:5]}), "5 elements and not 6"),
        (file_of(OrderedDict(a=contiguous("k", SIX)), {"k": SIX, "l": SIX}), "storages are not those"),
        (one(storage("k", SIX)), "'a' is not a tensor"),
    ],
)
def test_what_is_no_such_file_is_refused_with_why(data: bytes, words: str) -> None:
    with pytest.raises(NotWeights, match=words):
        read(data)


@pytest.mark.parametrize("module", ["os", "builtins", "torch", "collections", "subprocess", "trainer.storage.opening"])
@pytest.mark.parametrize("where", ["magic", "facts", "named"])
def test_a_pickle_that_asks_for_anything_else_runs_nothing(module: str, where: str, tmp_path: Path) -> None:
    name = {"os": "system", "builtins": "eval", "torch": "load", "collections": "Counter", "subprocess": "run"}.get(
        module, "open_storage"
    )
    mark = tmp_path / "ran"
    call = Named(module, name, (f"touch {mark}",))
    data = file_of(OrderedDict(a=call), {}) if where == "named" else file_of(OrderedDict(), {}, **{where: call})
    with pytest.raises(NotWeights, match=rf"it asks for .*{name}, which no weights need; it was not run"):
        read(data)
    assert not mark.exists()
    assert os.listdir(tmp_path) == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_spoiled_file_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SOUND)
    for at, byte in changes:
        data[at] = byte
    with contextlib.suppress(NotWeights):
        assert all(isinstance(array, np.ndarray) for array in read(bytes(data)).values())

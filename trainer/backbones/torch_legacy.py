"""Reads PyTorch's old file format without PyTorch, and without running what a pickle may hold.

The format (torch/serialization.py, `_legacy_save`): five pickles, which are a magic number, a protocol version, facts
about the machine, the state dictionary, and the keys of its storages; then each storage in the order of the keys, a
little-endian count of elements in 8 bytes and the elements. A pickle can call anything it names. Here it can name four
things, none of which does more than describe a tensor; anything else refuses the file.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from trainer.tensors import Array

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
MOST_ELEMENTS = 1 << 28
"""Of one storage: 1 GiB of floats. No backbone comes near it; a count that is altered would."""


class NotWeights(Exception):
    """A file cannot be read as weights; the message says why in a few words."""


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(data: bytes) -> Mapping[str, Array]:
    """The tensors of a state dictionary by name: float32 or int64 as they are stored, copied out of the file.

    Raises:
        NotWeights: it is not such a file, it is cut, it holds something else than tensors, or bytes are left over.
    """
    file = io.BytesIO(data)
    if _load(file) != MAGIC or _load(file) != PROTOCOL:
        raise NotWeights("not a file of PyTorch weights in its old format")
    facts = _load(file)
    if not (isinstance(facts, dict) and facts.get("little_endian") is True):
        raise NotWeights("its numbers are not little-endian")
    named, keys = _load(file), _load(file)
    if not (isinstance(named, dict) and all(isinstance(name, str) for name in named)):
        raise NotWeights("not a dictionary of tensors by name")
    if not all(isinstance(one, _Tensor) for one in named.values()):
        name = next(name for name, one in named.items() if not isinstance(one, _Tensor))
        raise NotWeights(f"{name!r} is not a tensor")
    storages = {one.storage.key: one.storage for one in named.values()}
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise NotWeights("the storages are not those of the tensors")
    stored = {key: _elements(file, storages[key]) for key in keys}
    if file.read(1):
        raise NotWeights("bytes are left over at its end")
    return {name: _tensor(name, one, stored[one.storage.key]) for name, one in named.items()}


def _elements(file: io.BytesIO, storage: _Storage) -> Array:
    count = int.from_bytes(file.read(8), "little")
    if count != storage.count:
        raise NotWeights(f"a storage has {count:,} elements and not {storage.count:,}")
    found = file.read(count * storage.dtype.itemsize)
    if len(found) < count * storage.dtype.itemsize:
        raise NotWeights("it is cut")
    return np.frombuffer(found, storage.dtype)


def _tensor(name: str, one: _Tensor, elements: Array) -> Array:
    last = one.offset + sum((length - 1) * stride for length, stride in zip(one.shape, one.strides, strict=True))
    if min((one.offset, *one.strides)) < 0 or min(one.shape, default=1) < 1 or last >= len(elements):
        raise NotWeights(f"{name!r} reaches beyond its storage")
    strides = tuple(stride * elements.itemsize for stride in one.strides)
    return as_strided(elements[one.offset :], one.shape, strides, writeable=False).copy()


def _load(file: io.BytesIO) -> Any:
    try:
        return _Unpickler(file).load()
    except NotWeights:
        raise
    except Exception as error:
        raise NotWeights(f"damaged: {type(error).__name__}: {error}") from error


def _rebuilt(storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> _Tensor:
    """Stands for torch._utils._rebuild_tensor_v2; whether gradients are wanted, and hooks, are of no interest."""
    whole = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides)
    if not (isinstance(storage, _Storage) and whole and all(type(n) is int for n in (offset, *shape, *strides))):
        raise NotWeights("a tensor is described in another way")
    return _Tensor(storage, offset, shape, strides)


_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise NotWeights(f"it asks for {module}.{name}, which no weights need; it was not run")

    def persistent_load(self, pid: Any) -> _Storage:
        if not (isinstance(pid, tuple) and len(pid) == 6 and pid[0] == "storage" and pid[5] is None):
            raise NotWeights("a storage is described in another way")
        _, dtype, key, _, count, _ = pid
        if not (
            isinstance(dtype, np.dtype) and isinstance(key, str) and type(count) is int and 0 <= count <= MOST_ELEMENTS
        ):
            raise NotWeights("a storage is described in another way")
        return _Storage(key, dtype, count)

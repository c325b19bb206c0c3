"""Writes files in PyTorch's old format, sound ones and others, without PyTorch."""

import io
import pickle
import struct
import sys
import types
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
FACTS = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
_KINDS = {"<f4": "FloatStorage", "<i8": "LongStorage"}


class Named:
    """Pickled as a call of, or a reference to, what need not be there."""

    def __init__(self, module: str, name: str, arguments: tuple[Any, ...] | None = None) -> None:
        self.module, self.name, self.arguments = module, name, arguments


class Kept(tuple[Any, ...]):
    """Pickled as a persistent id."""


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return tuple(value) if isinstance(value, Kept) else None

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Named):
            return NotImplemented
        reference = _reference(value.module, value.name)
        return reference if value.arguments is None else (reference, value.arguments)


def _reference(module: str, name: str) -> Any:
    """A class of that name, which pickle finds while it writes."""
    if module in sys.modules and hasattr(sys.modules[module], name):
        return getattr(sys.modules[module], name)
    made = sys.modules.setdefault(module, types.ModuleType(module))
    setattr(made, name, type(name, (), {"__module__": module}))
    return getattr(made, name)


def pickled(value: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file, 2).dump(value)
    return file.getvalue()


def storage(key: str, array: npt.NDArray[Any]) -> Kept:
    kind = _reference("torch", _KINDS[array.dtype.str])
    return Kept(("storage", kind, key, "cpu", array.size, None))


def tensor(key: str, array: npt.NDArray[Any], shape: tuple[int, ...], strides: tuple[int, ...], at: int = 0) -> Named:
    kept = storage(key, array)
    return Named("torch._utils", "_rebuild_tensor_v2", (kept, at, shape, strides, False, OrderedDict()))


def contiguous(key: str, array: npt.NDArray[Any]) -> Named:
    strides = tuple(stride // array.itemsize for stride in array.strides)
    return tensor(key, array, array.shape, strides)


def file_of(named: Any, stored: Mapping[str, npt.NDArray[Any]], **other: Any) -> bytes:
    """A whole file; `other` replaces its magic, protocol, facts or keys."""
    keys = other.get("keys", sorted(stored))
    heads = [other.get("magic", MAGIC), other.get("protocol", PROTOCOL), other.get("facts", FACTS), named, keys]
    bodies = [struct.pack("<q", stored[key].size) + stored[key].tobytes() for key in sorted(stored)]
    return b"".join([*map(pickled, heads), *bodies])


def weights_file(tensors: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """A sound file of these tensors, a storage each."""
    stored = {f"{number:03}": array for number, array in enumerate(tensors.values())}
    named = OrderedDict((n, contiguous(k, a)) for (n, a), k in zip(tensors.items(), stored, strict=True))
    return file_of(named, stored)

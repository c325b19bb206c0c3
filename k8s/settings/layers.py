"""One rule for settings from several places: later ones win, mappings are merged by key."""

from collections.abc import Iterable, Mapping
from typing import Any

Yaml = Mapping[str, Any]


def merge(layers: Iterable[Yaml]) -> Yaml:
    """Merge mappings, later ones over earlier ones; nested mappings are merged, everything else is replaced."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            before = merged.get(name)
            if isinstance(before, Mapping) and isinstance(value, Mapping):
                merged[name] = merge((before, value))
            else:
                merged[name] = value
    return merged

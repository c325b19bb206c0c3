"""The configuration of a run as lines of a table. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.words import plain

_NOT_OPTIONS = ("versions", "command")


@dataclass(frozen=True)
class OptionRow:
    """One line of the configuration table; `default` is the recipe's value where the run differs from it, else None."""

    name: str
    value: str
    default: str | None


def options(config: Mapping[str, Any], defaults: Mapping[str, Any] | None) -> tuple[OptionRow, ...]:
    """Return every field of the configuration, nested ones with dotted names; flag what differs from the recipe."""
    flat = dict(flattened({key: value for key, value in config.items() if key not in _NOT_OPTIONS}))
    known = dict(flattened(defaults or {}))
    return tuple(
        OptionRow(name, plain(value), plain(known[name]) if name in known and known[name] != value else None)
        for name, value in flat.items()
    )


def flattened(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return names and values, those of nested objects with dotted names."""
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat += flattened(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value))
    return flat

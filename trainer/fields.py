"""Declared fields: a dataclass whose fields declare everything about them in one place. Standard library only.

Flags, help, parsing, checks and the reference pages are generated from these declarations:
`trainer.config.RunConfig` and `k8s.settings.platform.Platform` both consist of them.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

T = TypeVar("T")

AUTO = "auto"
"""The value of a field that leaves the choice to the program."""


@dataclass(frozen=True)
class Option:
    """Everything about one field except its type and default.

    Attributes:
        help: one sentence for users.
        identity: a different value is a different training: these fields make up the fingerprint, and a run folder
            refuses a command in which one differs.
        unit: of a number, such as "seconds" or "pixels".
        low, high, above, below: bounds of a number, the last two exclusive.
        choices: all values that a text field accepts.
        group: heading under which help shows the flag.
        flag: commands have a flag for it.
        default_shown: help shows the default, since nothing else can change it.
        fault: for text of a certain form: returns what it must be, or empty if it is valid; a number is read as text.
    """

    help: str
    identity: bool = False
    unit: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    group: str = "Training"
    flag: bool = True
    default_shown: bool = True
    fault: Callable[[str], str] | None = None


class Refused(ValueError):
    """A value that a field rejects; the message is one line that names the field, the value and what it must be."""


@dataclass(frozen=True)
class Naming:
    """How one kind of document names fields: `key` gives a field's key, `shown` and `unknown` print a path of keys."""

    key: Callable[[str], str] = str
    shown: Callable[[str], str] = str
    unknown: Callable[[str, list[str]], str] = lambda path, known: f"unknown {path}; known are {', '.join(known)}"


def declare(default: Any, help: str, **facts: Any) -> Any:
    """A dataclass field with an Option; a mutable default is copied for each instance."""
    metadata = {"option": Option(help, **facts)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def options(kind: type[Any]) -> dict[str, Option]:
    """Every field of a declared dataclass with its Option, in order of declaration."""
    return {one.name: one.metadata["option"] for one in dataclasses.fields(kind) if "option" in one.metadata}


def flag(name: str) -> str:
    """The command-line flag of a field: image_size → --image-size."""
    return "--" + name.replace("_", "-")


def bounds(option: Option) -> str:
    """The bounds in words, empty when there are none."""
    words = (
        ("at least", option.low),
        ("above", option.above),
        ("at most", option.high),
        ("below", option.below),
    )
    shown = [
        (word, f"{limit:,}" if isinstance(limit, int) else f"{limit:g}") for word, limit in words if limit is not None
    ]
    return " and ".join(f"{word} {limit}" for word, limit in shown)


def check(option: Option, value: Any, shown: str) -> None:
    """Raise Refused when a value of the right type is not one of the choices, or out of bounds."""
    if option.choices and value not in option.choices:
        raise Refused(f"{shown} is {value!r}; it must be one of {', '.join(filter(None, option.choices))}")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not _within(value, option):
        raise Refused(f"{shown} is {value}; it must be {bounds(option)}")


def _within(value: float, option: Option) -> bool:
    return (
        (isinstance(value, int) or math.isfinite(value))
        and (option.low is None or value >= option.low)
        and (option.high is None or value <= option.high)
        and (option.above is None or value > option.above)
        and (option.below is None or value < option.below)
    )


def build(kind: type[T], values: Mapping[str, Any], naming: Naming, prefix: str = "") -> T:
    """Build a `kind` from plain values, as read from JSON or YAML; missing fields take their defaults.

    A field that is itself a dataclass takes a mapping, which is merged over its default in `kind`.

    Raises:
        Refused: an unknown key, or a value of the wrong type, not among the choices, or out of bounds.
        TypeError: a field without a default is missing.
    """
    fields = {naming.key(one.name): one for one in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in sorted(set(values) - set(fields), key=str):  # keys of YAML may be numbers
        raise Refused(naming.unknown(f"{prefix}{name}", sorted(fields)))
    made = {}
    for name, value in values.items():
        path, one = prefix + name, fields[name]
        if isinstance(one.type, type) and dataclasses.is_dataclass(one.type):
            inner = {**_by_key(_default(one), naming), **mapping(value, naming.shown(path))}
            made[one.name] = build(one.type, inner, naming, f"{path}.")
        else:
            made[one.name] = _value(one, value, naming.shown(path))
    return kind(**made)


def known(kind: type[Any], values: Any) -> dict[str, Any]:
    """What a stored document has for the fields of a dataclass; keys that a later version added are left out.

    Raises:
        TypeError: it is not a mapping.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{kind.__name__} must be a mapping, not {type(values).__name__}")
    return {one.name: values[one.name] for one in dataclasses.fields(kind) if one.name in values}


def stored(kind: type[Any], values: Any) -> dict[str, Any]:
    """As `known`, of a document whose values are of the fields' types, since it was made from them.

    Raises:
        TypeError: it is not a mapping, or a value is of another type.
    """
    found = known(kind, values)
    for one in dataclasses.fields(kind):
        if one.name in found and not _fits(one.type, found[one.name]):
            raise TypeError(f"{one.name} is {str(found[one.name])[:40]!r}")
    return found


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value is of a field's type, as far as JSON tells types apart."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin is UnionType:
        return any(_fits(one, value) for one in inner)
    if kind is Any:
        return True
    if kind in _KINDS:
        return type(value) is kind or (kind is float and type(value) is int)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(inner[0], one) for one in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(inner[1], one) for one in value.values())
    return isinstance(value, NoneType if kind is None else origin)


def mapping(value: Any, shown: str) -> Mapping[str, Any]:
    """The value itself if it is a mapping, empty for None; raises Refused otherwise."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Refused(f"{shown} must be a mapping (key: value)")
    return value


def _default(part: "dataclasses.Field[Any]") -> Any:
    return part.default_factory() if part.default_factory is not dataclasses.MISSING else part.default


def _by_key(part: Any, naming: Naming) -> dict[str, Any]:
    """A dataclass as the mapping that `build` reads."""
    pairs = ((naming.key(one.name), getattr(part, one.name)) for one in dataclasses.fields(part))
    return {key: _by_key(value, naming) if dataclasses.is_dataclass(value) else value for key, value in pairs}


def _value(one: "dataclasses.Field[Any]", value: Any, shown: str) -> Any:
    option: Option = one.metadata.get("option", Option(""))
    if option.fault is not None:
        text = str(value) if type(value) in (int, float) else value
        if words := option.fault(text) if isinstance(text, str) else option.fault("") or "text":
            raise Refused(f"{shown} is {value!r}; it must be {words}")
        return text
    made = _typed(one.type, value, shown)
    check(option, made, shown)
    return made


_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _typed(kind: Any, value: Any, shown: str) -> Any:
    """The value converted to the field's type: a whole number may stand for a float, a list for a tuple."""
    if kind in _KINDS:
        if kind is float and type(value) is int:
            try:
                return float(value)
            except OverflowError:
                return math.inf  # which is out of any bounds
        if type(value) is not kind:
            raise Refused(f"{shown} is {value!r}; it must be {_KINDS[kind]}")
        return value
    if kind == Mapping[str, str]:
        for name, text in mapping(value, shown).items():
            if not isinstance(text, str):
                raise Refused(f"{shown}.{name} is {text!r}; it must be text: quote it in YAML")
        return dict(mapping(value, shown))
    if kind == Mapping[str, Any]:
        return dict(_plain(mapping(value, shown), shown))
    inner = str if kind == tuple[str, ...] else Mapping
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, inner) for item in value):
        raise Refused(f"{shown} must be a list of {'strings' if inner is str else 'mappings'}")
    return tuple(_plain(item, f"{shown}[{number}]") for number, item in enumerate(value))


def _plain(value: Any, shown: str) -> Any:
    """The value itself if JSON can say it: YAML also has dates, sets, keys that are no text, and .nan."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise Refused(f"{shown} has the key {name!r}; it must be text: quote it in YAML")
            _plain(inner, f"{shown}.{name}")
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            _plain(inner, f"{shown}[{number}]")
    elif value is not None and (type(value) not in _KINDS or value in (math.inf, -math.inf) or value != value):
        raise Refused(f"{shown} is {value!r}; it must be text or a number: quote it in YAML")
    return value


def seconds_or_auto(text: str) -> str:
    """What a field that takes seconds or `auto` must be, empty if this text is valid."""
    try:
        valid = text == AUTO or 0 <= float(text) < math.inf
    except ValueError:
        valid = False
    return "" if valid else f"{AUTO}, or 0 seconds (never) or more"

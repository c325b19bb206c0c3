"""Plans `catdog data import`: recognises pictures and their classes by name, and splits them. Reads no file."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise

import google_crc32c

from trainer.data import labels, layout
from trainer.data.data_set import SPLITS
from trainer.data.formats import CONVERTED_SUFFIXES
from trainer.data.index import is_index
from trainer.data.kinds import PICTURE, kind_of
from trainer.data.labels import Table
from trainer.data.readings import split_word
from trainer.data.series import in_series
from trainer.exits import Exit, ExitError
from trainer.fields import flag
from trainer.requests import MAX_REJECTED
from trainer.storage.base import Stat, Storage

CONCURRENCY = 64
MOST_UNREADABLE = MAX_REJECTED
"""Share of unusable pictures above which a check, and by default an import, fails."""

ARTICLE = {"train": "1000", "valid": "500", "test": "500"}
"""Pictures per class of the reference workload, 2,000 pictures of Dogs vs. Cats: --split article."""

DEFAULT = {"train": "0.8", "valid": "0.1", "test": "0.1"}
"""Shares of each class, used by default."""

Dimensions = tuple[int, int]
Check = Callable[[bytes], Dimensions]
"""Returns width and height in pixels of an encoded picture; ValueError says briefly why it cannot be used."""


@dataclass(frozen=True)
class Found:
    """A picture of the source: its name there, its class, its name within the class, its split ("": none yet)."""

    name: str
    label: str
    rest: str
    split: str = ""


@dataclass(frozen=True)
class Planned:
    """A picture to store: its name in the source and its path, SPLIT/CLASS/NAME, in the target."""

    name: str
    path: str

    @property
    def split(self) -> str:
        """The first part of the path."""
        return self.path.partition("/")[0]


@dataclass(frozen=True)
class ImportPlan:
    """Pictures ordered by split, then path; `left_over` pictures of the source are not used."""

    pictures: tuple[Planned, ...]
    left_over: int


def recognise(uri: str, names: Iterable[str], asked: str = "auto", table: Table | None = None) -> tuple[Found, ...]:
    """Pictures with their classes, by the layout of their names or by a table; files that import converts are included.

    Raises:
        ExitError: 66 when there is none, 65 for fewer than two classes, an ambiguous layout, or a table that does not
            fit.
    """
    every = [name for name in names if not is_index(name)]
    if table is None:
        recognised = layout.recognise(uri, every, layout=asked, accepts=CONVERTED_SUFFIXES)
    else:
        recognised = labels.place(uri, table.where, table.rows, set(every) - {table.name}, CONVERTED_SUFFIXES)
    placed = {one.name: one for one in recognised.placed}
    found = (placed[name] for name in every if name in placed)
    return tuple(Found(one.name, one.label, one.rest, one.split) for one in found)


def plan_import(
    uri: str, found: Sequence[Found], asked: Mapping[str, str], order: str, seed: int, split: str = ""
) -> ImportPlan:
    """Which picture goes where; disjoint by name, and the same for the same arguments on any machine.

    Args:
        uri: of the source, for messages.
        found: pictures with their classes; those of an existing split stay where they are.
        asked: per split, pictures per class ("1000"), a share of the class ("0.8"), or "" for what `split` says.
        order: "name" takes each class in natural order (cat.9 before cat.10), "random" in an order drawn by `seed`,
            in which the order of any two pictures does not depend on the others.
        seed: of the random order.
        split: "article", or three sizes as of `asked` with slashes between, or "" for `DEFAULT`.

    Raises:
        ExitError: 64 for invalid numbers, or for numbers given with an existing split; 65 for a class with too few
            pictures, or for two pictures that would get the same path.
    """
    if found and found[0].split:
        if split or any(asked.values()):
            raise ExitError(
                Exit.BAD_OPTION, f"{uri} is split already; --split, --train, --valid and --test do not apply"
            )
        chosen = [(one.split, one) for one in found]
    else:
        sizes = sizes_of(asked, split)
        by_class: dict[str, list[Found]] = {}
        for one in found:
            by_class.setdefault(one.label, []).append(one)
        chosen = [
            (part, one)
            for label, members in sorted(by_class.items())
            for part, one in _cut(uri, label, _ordered(members, order, seed), sizes)
        ]
    pictures = sorted(
        (Planned(one.name, f"{part}/{one.label}/{one.rest}") for part, one in chosen),
        key=lambda picture: (SPLITS.index(picture.split), picture.path.encode()),
    )
    for first, second in pairwise(pictures):
        if first.path == second.path:
            raise ExitError(
                Exit.BAD_DATA, f"{uri}: {first.name!r} and {second.name!r} would both be stored as {first.path!r}"
            )
    return ImportPlan(tuple(pictures), len(found) - len(pictures))


@dataclass(frozen=True)
class Sizes:
    """Of each split per class: a number of pictures, or a share of them. `each`: no split is left without a picture
    of a class that has enough."""

    parts: Mapping[str, Fraction | int]
    each: bool


def sizes_of(asked: Mapping[str, str], split: str) -> Sizes:
    """The sizes that --split asks for; --train, --valid and --test override it.

    Raises:
        ExitError: 64 naming the flag.
    """
    named = {"": DEFAULT, "article": ARTICLE}
    base = named[split] if split in named else parse_split(split)
    parts = {name: share(name, asked[name]) if asked.get(name) else _size(base[name]) for name in SPLITS}
    return Sizes(parts, not any(asked.values()))


def _size(text: str) -> Fraction | int:
    return Fraction(text) if "." in text else int(text)


def parse_split(text: str) -> dict[str, str]:
    """ "0.8/0.1/0.1" or "1000/500/500" as sizes of train, valid and test; test may be 0.

    Raises:
        ExitError: 64.
    """
    parts = dict(zip(SPLITS, text.split("/"), strict=False))
    fits = text.count("/") == 2 and all(re.fullmatch(r"\d{1,9}|\d?\.\d{1,9}", part) for part in parts.values())
    sizes = [_size(part) for part in parts.values()] if fits else []
    test_only = {"test": "0"} if fits and not sizes[2] else {}
    shares = [size for size in sizes if isinstance(size, Fraction)]
    if not fits or not all(sizes[:2]) or sum(shares) > 1:
        raise ExitError(
            Exit.BAD_OPTION,
            f"{flag('split')} is {text!r}; it must be article, or train, valid and test with slashes between: shares "
            "of each class that add up to at most 1 (0.8/0.1/0.1), or pictures per class (1000/500/500)",
        )
    if not shares and sum(sizes) == 100:
        as_shares = "/".join(f"{int(size) / 100:g}" for size in sizes)
        raise ExitError(
            Exit.BAD_OPTION,
            f"{flag('split')} is {text!r}, which would mean pictures per class; for shares use {as_shares}, or for "
            f"pictures {' '.join(f'{flag(name)} {part}' for name, part in parts.items() if part != '0')}",
        )
    return parts | test_only


def warnings_of(found: Sequence[Found], order: str) -> list[str]:
    """Warnings about this order, one line each."""
    if order != "name" or any(one.split for one in found):
        return []
    by_class: dict[str, list[str]] = {}
    for one in found:
        by_class.setdefault(one.label, []).append(one.rest)
    example = next(filter(None, (in_series(names) for _, names in sorted(by_class.items()))), "")
    if not example:
        return []
    return [
        f"{example} looks like part of a camera or time series, in which consecutive pictures are alike; --order name "
        "puts the first into train and the last into test, --order random mixes them"
    ]


def share(split: str, text: str) -> Fraction | int:
    """A number of pictures, or, with a decimal point in the text, a fraction of them.

    Raises:
        ExitError: 64 naming the flag.
    """
    try:
        value = Fraction(text) if "." in text else int(text)
    except ValueError:
        value = -1
    if value <= 0 or (isinstance(value, Fraction) and value > 1):
        raise ExitError(
            Exit.BAD_OPTION, f"{flag(split)} is {text!r}; it must be pictures per class (1000) or a share of them (0.8)"
        )
    return value


def _ordered(found: Sequence[Found], order: str, seed: int) -> list[Found]:
    if order == "name":
        return sorted(found, key=lambda one: _natural(one.rest))
    return sorted(found, key=lambda one: hashlib.sha256(f"{seed}/{one.label}/{one.rest}".encode()).digest())


def _natural(name: str) -> tuple[list[str | int], str]:
    """Digits compare as numbers; text and numbers alternate, so that only like parts are compared."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _cut(uri: str, label: str, found: Sequence[Found], sizes: Sizes) -> Iterable[tuple[str, Found]]:
    """The first pictures to train, the next to valid, the next to test; shares are rounded at the boundaries."""
    wanted = {split: size for split, size in sizes.parts.items() if size}
    total, start = len(found), 0
    ends = _ends(total, tuple(wanted.values()))
    if sizes.each and total >= len(wanted) and all(isinstance(size, Fraction) for size in wanted.values()):
        ends = _with_each(ends)
    for split, end in zip(wanted, ends, strict=True):
        if end > total:
            asked = ", ".join(f"{flag(name)} {_shown(size)}" for name, size in wanted.items())
            raise ExitError(
                Exit.BAD_DATA,
                f"{uri}: class {label!r} has {total:,} pictures, but {asked} need more; ask for fewer, "
                "or for shares such as --train 0.5 --valid 0.25 --test 0.25",
            )
        if end == start:
            raise ExitError(Exit.BAD_DATA, f"{uri}: class {label!r} has {total:,} pictures: none is left for {split}")
        yield from ((split, one) for one in found[start:end])
        start = end


def _ends(total: int, sizes: Sequence[Fraction | int]) -> list[int]:
    exact = accumulate(size * total if isinstance(size, Fraction) else Fraction(size) for size in sizes)
    return [int(end + Fraction(1, 2)) for end in exact]


def _with_each(ends: Sequence[int]) -> list[int]:
    """The nearest ends that leave no part empty; there are pictures enough."""
    moved = list(ends)
    for i in reversed(range(len(moved) - 1)):
        moved[i] = min(moved[i], moved[i + 1] - 1)
    for i in range(len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + 1 if i else 1)
    return moved


def _shown(size: Fraction | int) -> str:
    return str(size) if isinstance(size, int) else f"{float(size):g}"


def is_stored(target: Storage, stat: Stat | None, size: int, checksum: int) -> bool:
    """Whether the object listed as `stat` (None: there is none) has this content."""
    if stat is None or stat.size != size:
        return False
    known = stat.crc32c if stat.crc32c is not None else google_crc32c.value(target.read(stat.name))
    return known == checksum


def is_in_a_split(name: str) -> bool:
    """Whether a data set would treat the object of this name as a picture."""
    parts = name.split("/")
    return len(parts) >= 3 and bool(split_word(parts[0])) and is_named_as_picture(name)


def is_named_as_picture(name: str) -> bool:
    """Whether training would treat the file of this name as a picture."""
    return kind_of(name) == PICTURE

"""`catdog data import`: recognises pictures and their classes, splits them, checks and stores each, indexes them.

Imports neither TensorFlow nor an imaging library: the caller passes the function that checks a picture.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import google_crc32c

from trainer.data import layout
from trainer.data.contents import Contents
from trainer.data.index import INDEX, SHARDS, Index, Picture, encode
from trainer.data.kinds import CONVERTIBLE, PICTURE, kind_of
from trainer.data.readings import split_word
from trainer.data.split import SPLITS, DataSet, data_set_of
from trainer.data.unfinished import Unfinished
from trainer.exits import Exit, ExitError
from trainer.fields import flag
from trainer.storage.base import Stat, Storage
from trainer.storage.fetch import in_parallel
from trainer.storage.retry import MIB
from trainer.words import mebibytes

CONCURRENCY = 64
LARGEST_PICTURE = 32 * MIB
MOST_UNREADABLE = 0.01
"""Share of unusable pictures above which an import or a check fails."""

ARTICLE = {"train": "1000", "valid": "500", "test": "500"}
"""Pictures per class of the reference workload, 2,000 pictures of Dogs vs. Cats; used by default."""

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


@dataclass(frozen=True)
class Imported:
    """The result. `dropped`: (path, path of the same picture in an earlier split); `rejected`: (path, reason)."""

    data: DataSet
    stored: int
    already_there: int
    dropped: tuple[tuple[str, str], ...]
    rejected: tuple[tuple[str, str], ...]


def recognise(uri: str, names: Iterable[str], asked: str = "auto") -> tuple[Found, ...]:
    """Pictures with their classes, by the layout of their names; those that import converts are taken too.

    Raises:
        ExitError: 66 when there is none, 65 for fewer than two classes or an ambiguous layout.
    """
    every = [name for name in names if name != INDEX]
    placed = {one.name: one for one in layout.recognise(uri, every, layout=asked, accepts=CONVERTIBLE).placed}
    found = (placed[name] for name in every if name in placed)
    return tuple(Found(one.name, one.label, one.rest, one.split) for one in found)


def plan_import(uri: str, found: Sequence[Found], asked: Mapping[str, str], order: str, seed: int) -> ImportPlan:
    """Which picture goes where; disjoint by name, and the same for the same arguments on any machine.

    Args:
        uri: of the source, for messages.
        found: pictures with their classes; those of an existing split stay where they are.
        asked: per split, pictures per class ("1000"), a share of the class ("0.8"), or "" for the article's number.
        order: "name" takes each class in natural order (cat.9 before cat.10), "random" in an order drawn by `seed`,
            in which the order of any two pictures does not depend on the others.
        seed: of the random order.

    Raises:
        ExitError: 64 for invalid numbers, or for numbers given with an existing split; 65 for a class with too few
            pictures, or for two pictures that would get the same path.
    """
    if found and found[0].split:
        if any(asked.values()):
            raise ExitError(Exit.BAD_OPTION, f"{uri} is split already; --train, --valid and --test do not apply")
        chosen = [(one.split, one) for one in found]
    else:
        shares = {split: share(split, asked.get(split) or ARTICLE[split]) for split in SPLITS}
        chosen = [
            (split, one)
            for label in sorted({one.label for one in found})
            for split, one in _cut(uri, label, _ordered([o for o in found if o.label == label], order, seed), shares)
        ]
    pictures = sorted(
        (Planned(one.name, f"{split}/{one.label}/{one.rest}") for split, one in chosen),
        key=lambda picture: (SPLITS.index(picture.split), picture.path.encode()),
    )
    for first, second in pairwise(pictures):
        if first.path == second.path:
            raise ExitError(
                Exit.BAD_DATA, f"{uri}: {first.name!r} and {second.name!r} would both be stored as {first.path!r}"
            )
    return ImportPlan(tuple(pictures), len(found) - len(pictures))


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


def _cut(
    uri: str, label: str, found: Sequence[Found], shares: Mapping[str, Fraction | int]
) -> Iterable[tuple[str, Found]]:
    """The first pictures to train, the next to valid, the next to test; shares are rounded at the boundaries."""
    total, end, exact = len(found), 0, Fraction(0)
    for split in SPLITS:
        size = shares[split]
        exact += size * total if isinstance(size, Fraction) else size
        start, end = end, int(exact + Fraction(1, 2))
        if end > total:
            asked = ", ".join(f"{flag(name)} {_shown(shares[name])}" for name in SPLITS)
            raise ExitError(
                Exit.BAD_DATA,
                f"{uri}: class {label!r} has {total:,} pictures, but {asked} need more; ask for fewer, "
                "or for shares such as --train 0.5 --valid 0.25 --test 0.25",
            )
        if end == start:
            raise ExitError(Exit.BAD_DATA, f"{uri}: class {label!r} has {total:,} pictures: none is left for {split}")
        yield from ((split, one) for one in found[start:end])


def _shown(size: Fraction | int) -> str:
    return str(size) if isinstance(size, int) else f"{float(size):g}"


def import_pictures(
    contents: Contents, wanted: ImportPlan, target: Storage, check: Check, on_done: Callable[[], None]
) -> Imported:
    """Checks and stores the planned pictures, many at a time, and the index last; what is already there stays.

    A picture with the same content as one in an earlier split is dropped, and one that cannot be used is left out; both
    are reported, and neither is replaced. Safe to interrupt at any point and repeat. `on_done` is called after each
    picture.

    Raises:
        ExitError: 64 when the target holds other pictures; 65 when a name cannot be stored there, more than 1 % of the
            pictures cannot be used, or a class is left without any; 74 and 77 from storage.
    """
    for picture in wanted.pictures:
        target.child(picture.path)  # refuses a name that the target cannot hold, before anything is stored
    there = {stat.name: stat for stat in target.list()}
    _require_own(target, there, wanted)
    earlier: dict[bytes, str] = {}
    unfinished = Unfinished(target, there)
    worker = _Import(contents, target, there, check, earlier, unfinished)
    stored: list[_Stored] = []
    dropped: list[tuple[str, str]] = []
    rejected: list[tuple[str, str]] = []
    for split in SPLITS:  # one after the other, so that the later split loses a duplicate
        own: dict[bytes, str] = {}
        planned = [picture for picture in wanted.pictures if picture.split == split]
        for picture, outcome in in_parallel(worker.one, planned, CONCURRENCY):
            if isinstance(outcome, _Stored):
                stored.append(outcome)
                own[outcome.digest] = min(picture.path, own.get(outcome.digest, picture.path))
            elif isinstance(outcome, _Duplicate):
                dropped.append((picture.path, outcome.of))
            else:
                rejected.append((picture.path, outcome))
            on_done()
        earlier |= own
    _require_sound(contents.uri, target, there, wanted, sorted(dropped), sorted(rejected))
    pictures = tuple(one.picture for one in stored)
    _require_classes(contents.uri, wanted, pictures, dropped)
    data = data_set_of(target.uri, (Stat(one.path, one.size, one.crc32c, "") for one in pictures))
    document = encode(Index(data.fingerprint, pictures))
    if INDEX not in there or target.read(INDEX) != document:
        target.write(INDEX, document)
    unfinished.end()
    new = sum(one.new for one in stored)
    return Imported(data, new, len(stored) - new, tuple(sorted(dropped)), tuple(sorted(rejected)))


@dataclass(frozen=True)
class _Stored:
    picture: Picture
    digest: bytes
    new: bool


@dataclass(frozen=True)
class _Duplicate:
    of: str


@dataclass(frozen=True)
class _Import:
    """`earlier`: path by SHA-256 of the pictures of earlier splits; not changed while a split is being imported."""

    contents: Contents
    target: Storage
    there: Mapping[str, Stat]
    check: Check
    earlier: Mapping[bytes, str]
    unfinished: Unfinished

    def one(self, picture: Planned) -> "tuple[Planned, _Stored | _Duplicate | str]":
        """Stores one picture, unless it cannot be used (then returns why) or an earlier split has it."""
        if self.contents.sizes[picture.name] > LARGEST_PICTURE:
            return picture, f"larger than {mebibytes(LARGEST_PICTURE)}"
        data = self.contents.read(picture.name)
        try:
            width, height = self.check(data)
        except ValueError as error:
            return picture, str(error)
        digest = hashlib.sha256(data).digest()
        if digest in self.earlier:
            return picture, _Duplicate(self.earlier[digest])
        checksum = google_crc32c.value(data)
        new = not is_stored(self.target, self.there.get(picture.path), len(data), checksum)
        if new:
            self.unfinished.begin()
            self.target.write(picture.path, data)
        return picture, _Stored(Picture(picture.path, len(data), checksum, width, height), digest, new)


def is_stored(target: Storage, stat: Stat | None, size: int, checksum: int) -> bool:
    """Whether the object listed as `stat` (None: there is none) has this content."""
    if stat is None or stat.size != size:
        return False
    known = stat.crc32c if stat.crc32c is not None else google_crc32c.value(target.read(stat.name))
    return known == checksum


def _require_own(target: Storage, there: Iterable[str], wanted: ImportPlan) -> None:
    """The target may hold what this import stores, and files that are not pictures of a split."""
    own = {picture.path for picture in wanted.pictures}
    other = sorted(name for name in there if name not in own and (name.startswith(SHARDS) or is_in_a_split(name)))
    if other:
        raise ExitError(
            Exit.BAD_OPTION,
            f"{target.uri}: contains pictures that are not part of this import, such as {other[0]!r} "
            f"({len(other):,} in all); choose an empty location, or remove them",
        )


def is_in_a_split(name: str) -> bool:
    """Whether a data set would treat the object of this name as a picture."""
    parts = name.split("/")
    return len(parts) >= 3 and bool(split_word(parts[0])) and kind_of(name) == PICTURE


def _require_classes(
    uri: str, wanted: ImportPlan, stored: Iterable[Picture], dropped: Sequence[tuple[str, str]]
) -> None:
    left = {tuple(one.path.split("/", 2)[:2]) for one in stored}
    for planned in wanted.pictures:
        split, label, _ = planned.path.split("/", 2)
        lost = [pair for pair in dropped if pair[0].startswith(f"{split}/{label}/")]
        if (split, label) not in left and lost:
            raise ExitError(
                Exit.BAD_DATA,
                f"{uri}: class {label!r} is empty in {split} once pictures that an earlier split has are left out "
                f"({len(lost):,} of them, such as {lost[0][0]} = {lost[0][1]}); give it other pictures",
            )


def _require_sound(
    uri: str,
    target: Storage,
    there: Mapping[str, Stat],
    wanted: ImportPlan,
    dropped: Sequence[tuple[str, str]],
    rejected: Sequence[tuple[str, str]],
) -> None:
    if len(rejected) > MOST_UNREADABLE * len(wanted.pictures):
        path, why = rejected[0]
        raise ExitError(
            Exit.BAD_DATA,
            f"{uri}: {len(rejected):,} of {len(wanted.pictures):,} pictures cannot be used, more than "
            f"{MOST_UNREADABLE:.0%}; the first is {path}: {why}",
        )
    for path, why in (*dropped, *rejected):
        if path in there:
            raise ExitError(
                Exit.BAD_DATA, f"{target.uri}/{path}: must not stay in the data set ({why}); remove it and repeat"
            )

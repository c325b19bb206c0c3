"""The second half of `catdog data import`: reads, converts where needed, checks and stores each planned picture.

Imports neither TensorFlow nor an imaging library: the caller passes the functions that check and convert a picture.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from fractions import Fraction

import google_crc32c
import numpy as np

from trainer.data.contents.base import Contents
from trainer.data.data_set import SPLITS, DataSet
from trainer.data.formats import CONVERTED, Names, counted, kind_of, names, other_kind
from trainer.data.index import SHARDS, Index, Part
from trainer.data.index_writing import write_index
from trainer.data.limits import LARGEST_PICTURE, TOO_LARGE
from trainer.data.prepare import (
    CONCURRENCY,
    MOST_UNREADABLE,
    Check,
    ImportPlan,
    Planned,
    is_in_a_split,
    is_named_as_picture,
    is_stored,
)
from trainer.data.split import data_set_of
from trainer.data.unfinished import Unfinished
from trainer.exits import Exit, ExitError
from trainer.storage.base import Stat, Storage
from trainer.storage.fetch import in_parallel
from trainer.storage.retry import MIB
from trainer.words import mebibytes

Convert = Callable[[bytes, str], bytes]
"""A picture of a kind of `formats.CONVERTED` as PNG; ValueError says in a few words why it cannot be."""

LARGE = 16 * MIB
"""Files above this are imported one at a time: 64 of the largest would not fit into memory."""


@dataclass(frozen=True)
class Rejected:
    """A picture that cannot be used: its name in the source, the path that it would have had, and why."""

    name: str
    path: str
    reason: str


@dataclass(frozen=True)
class Picture:
    """A stored picture: `path` is SPLIT/CLASS/NAME, `size` in bytes, `width` and `height` in pixels."""

    path: str
    size: int
    crc32c: int
    width: int
    height: int


@dataclass(frozen=True)
class LeftOut:
    """`dropped`: (path, path of the same picture in an earlier split). Both in order of path."""

    dropped: tuple[tuple[str, str], ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True)
class Imported:
    """The result. `converted` counts converted pictures by their original format."""

    data: DataSet
    stored: int
    already_there: int
    left_out: LeftOut
    converted: Mapping[str, int]


class NotImported(ExitError):
    """All pictures were checked, but there is no data set; `left_out` is complete.

    `rejected_share`: share of unusable pictures where that is the reason, else 0.
    """

    def __init__(self, code: int, message: str, left_out: LeftOut, rejected_share: Fraction = Fraction(0)) -> None:
        super().__init__(code, message)
        self.left_out = left_out
        self.rejected_share = rejected_share


def require_apart(contents: Contents, target: Storage, wanted: ImportPlan) -> bool:
    """Refuses a target inside its source or around it: a second import would read what the first one stored.

    Returns True for a split data set that is imported in place, which only adds its index.

    Raises:
        ExitError: 64.
    """
    if contents.packed:
        return False
    source, place = _located(contents.uri), _located(target.uri)
    if source == place and all(picture.path == picture.name for picture in wanted.pictures):
        return True
    if (source + "/").startswith(place + "/") or (place + "/").startswith(source + "/"):
        how = "is the source itself" if source == place else "is inside" if len(place) > len(source) else "contains"
        where = "" if source == place else f" the source, {contents.uri}"
        raise ExitError(
            Exit.BAD_OPTION,
            f"{target.uri}: the target {how}{where}; pictures stored there would become part of the source; "
            f"choose another location, such as {contents.uri}-split",
        )
    return False


def _located(uri: str) -> str:
    return (uri if "://" in uri else os.path.realpath(uri)).rstrip("/")


def import_pictures(
    contents: Contents,
    wanted: ImportPlan,
    target: Storage,
    check: Check,
    on_done: Callable[[], None],
    *,
    convert: Convert,
    max_rejected: float = MOST_UNREADABLE,
) -> Imported:
    """Checks and stores the planned pictures, many at a time, and the index last; what is already there stays.

    JPEG and PNG are stored byte for byte, other formats as the PNG that `convert` makes. A picture with the
    same content as one in an earlier split is dropped, and one that cannot be used is left out; both are reported, and
    neither is replaced. Safe to interrupt at any point and repeat. `on_done` is called after each picture.

    Raises:
        ExitError: 64 when the target is inside the source or around it, or contains other pictures; 65 when a name
            cannot be stored there; 74 and 77 from storage.
        NotImported: 65 when more than `max_rejected` of the pictures cannot be used, or a class is left without any.
    """
    in_place = require_apart(contents, target, wanted)
    named = names(picture.path for picture in wanted.pictures)
    for picture in wanted.pictures:
        target.child(picture.path)  # refuses a name that the target cannot hold, before anything is stored
    there = {stat.name: stat for stat in target.list()}
    _require_own(target, there, named)
    earlier: dict[bytes, str] = {}
    unfinished = Unfinished(target, there)
    worker = _Import(contents, target, there, check, None if in_place else convert, named, earlier, unfinished)
    stored: list[_Stored] = []
    dropped: list[tuple[str, str]] = []
    rejected: list[Rejected] = []
    for split in SPLITS:  # one after the other, so that the later split loses a duplicate
        own: dict[bytes, str] = {}
        planned = [picture for picture in wanted.pictures if picture.split == split]
        for outcome in in_parallel(worker.one, planned, CONCURRENCY):
            if isinstance(outcome, _Stored):
                stored.append(outcome)
                path = outcome.picture.path
                own[outcome.digest] = min(path, own.get(outcome.digest, path))
            elif isinstance(outcome, Rejected):
                rejected.append(outcome)
            else:
                dropped.append(outcome)
            on_done()
        earlier |= own
    left_out = LeftOut(tuple(sorted(dropped)), tuple(sorted(rejected, key=lambda one: one.path)))
    _require_sound(contents.uri, len(wanted.pictures), left_out, max_rejected)
    pictures = tuple(one.picture for one in stored)
    _require_none_left(target, there, pictures, left_out)
    data = _data_set(target.uri, pictures, wanted, left_out)
    write_index(target, there, _index(data, pictures))
    unfinished.end()
    new = sum(one.new for one in stored)
    converted = counted([one.kind for one in stored if one.kind in CONVERTED])
    return Imported(data, new, len(stored) - new, left_out, converted)


@dataclass(frozen=True)
class _Stored:
    picture: Picture
    digest: bytes
    kind: str
    new: bool


@dataclass(frozen=True)
class _Made:
    path: str
    data: bytes
    kind: str
    width: int
    height: int


@dataclass(frozen=True)
class _Import:
    """`earlier`: path by SHA-256 of the pictures of earlier splits; not changed while a split is being imported.

    `convert` is None for an import in place, where the original would stay beside its conversion.
    """

    contents: Contents
    target: Storage
    there: Mapping[str, Stat]
    check: Check
    convert: Convert | None
    named: Mapping[str, Names]
    earlier: Mapping[bytes, str]
    unfinished: Unfinished
    large: threading.Lock = field(default_factory=threading.Lock)

    def one(self, picture: Planned) -> _Stored | Rejected | tuple[str, str]:
        """Stores one picture, unless it cannot be used or an earlier split has it: then returns why, or where."""
        size = self.contents.sizes[picture.name]
        if size > LARGEST_PICTURE:
            return Rejected(picture.name, picture.path, f"{TOO_LARGE} {mebibytes(LARGEST_PICTURE)}")
        with self.large if size > LARGE else nullcontext():
            data = self.contents.read(picture.name)
            try:
                made = self._made(picture, data)
            except ValueError as error:
                return Rejected(picture.name, picture.path, str(error))
            return self._store(made)

    def _made(self, picture: Planned, data: bytes) -> _Made:
        kind = kind_of(data)
        path = self.named[picture.path].of(kind, is_named_as_picture(picture.path))
        if self.convert is None and path != picture.path:
            raise ValueError(f"{kind.upper()}, which only an import into another location converts or renames")
        if kind in CONVERTED and self.convert is not None:
            data = self.convert(data, kind)
        return _Made(path, data, kind, *self._measured(data))

    def _store(self, made: _Made) -> _Stored | tuple[str, str]:
        digest = hashlib.sha256(made.data).digest()
        if digest in self.earlier:
            return made.path, self.earlier[digest]
        checksum = google_crc32c.value(made.data)
        new = not is_stored(self.target, self.there.get(made.path), len(made.data), checksum)
        if new:
            self.unfinished.begin()
            self.target.write(made.path, made.data)
        picture = Picture(made.path, len(made.data), checksum, made.width, made.height)
        return _Stored(picture, digest, made.kind, new)

    def _measured(self, data: bytes) -> tuple[int, int]:
        try:
            return self.check(data)
        except ValueError as error:
            known = other_kind(data)
            raise ValueError(f"{error}, but {known}" if known else str(error)) from error


def _require_own(target: Storage, there: Iterable[str], named: Mapping[str, Names]) -> None:
    """The target may hold what this import stores, and files that are not pictures of a split."""
    own = {name for names in named.values() for name in (names.own, names.jpeg, names.png)}
    other = sorted(name for name in there if name not in own and (name.startswith(SHARDS) or is_in_a_split(name)))
    if other:
        raise ExitError(
            Exit.BAD_OPTION,
            f"{target.uri}: contains pictures that are not part of this import, such as {other[0]!r} "
            f"({len(other):,} in all); choose an empty location, or remove them",
        )


def _require_sound(uri: str, planned: int, left_out: LeftOut, max_rejected: float) -> None:
    number = len(left_out.rejected)
    if number > max_rejected * planned:
        first = left_out.rejected[0]
        raise NotImported(
            Exit.BAD_DATA,
            f"{uri}: {number:,} of {planned:,} pictures cannot be used, more than {100 * max_rejected:g} %; "
            f"the first is {first.name}: {first.reason}",
            left_out,
            Fraction(number, planned),
        )


def _require_none_left(target: Storage, there: Iterable[str], pictures: Sequence[Picture], left_out: LeftOut) -> None:
    """An earlier import may have stored what is now left out, or has another name."""
    own = {picture.path for picture in pictures}
    left = sorted(name for name in there if is_in_a_split(name) and name not in own)
    if left:
        why = dict(left_out.dropped) | {one.path: one.reason for one in left_out.rejected}
        reason = why.get(left[0], "it is no longer part of this import")
        raise NotImported(
            Exit.BAD_DATA,
            f"{target.uri}/{left[0]}: must not stay in the data set ({reason}); remove it and repeat",
            left_out,
        )


def _data_set(uri: str, pictures: Sequence[Picture], wanted: ImportPlan, left_out: LeftOut) -> DataSet:
    lost = {_class_of(one.path) for one in wanted.pictures} - {_class_of(one.path) for one in pictures}
    emptied = sorted(lost, key=lambda place: (SPLITS.index(place.partition("/")[0]), place))
    if emptied:
        raise NotImported(Exit.BAD_DATA, f"{uri}: {_emptied(emptied[0], left_out)}", left_out)
    return data_set_of(uri, (Stat(one.path, one.size, one.crc32c, "") for one in pictures))


def _index(data: DataSet, pictures: Iterable[Picture]) -> Index:
    sizes = {one.path: (one.width, one.height) for one in pictures}
    parts = {}
    for split, examples in data.splits.items():
        dimensions = np.array([sizes[name] for name in examples.names], np.uint32).reshape(-1, 2)
        parts[split] = Part(split, examples, dimensions[:, 0], dimensions[:, 1])
    return Index(data.fingerprint, data.classes, parts)


def _emptied(place: str, left_out: LeftOut) -> str:
    """Why a class has no picture in a split."""
    split, label = place.split("/")
    lost = [pair for pair in left_out.dropped if _class_of(pair[0]) == place]
    unusable = sum(_class_of(one.path) == place for one in left_out.rejected)
    such = f", such as {lost[0][0]} = {lost[0][1]}" if lost else ""
    return (
        f"class {label!r} is empty in {split} once pictures that an earlier split has ({len(lost):,}{such}) and those "
        f"that cannot be used ({unusable:,}) are left out; give it other pictures"
    )


def _class_of(path: str) -> str:
    return "/".join(path.split("/", 2)[:2])

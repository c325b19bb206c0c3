"""A data set as a list of examples: its pictures, their names, and a fingerprint of the content."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import google_crc32c

from trainer.data.index import INDEX, SHARDS, BadIndex, Index, Place
from trainer.data.index import decode as decode_index
from trainer.exits import Exit, ExitError
from trainer.storage.base import Stat, Storage
from trainer.storage.errors import StorageMissing

SPLITS = ("train", "valid", "test")
SUFFIXES = (".jpg", ".jpeg", ".png")
_ALIASES = {"validation": "valid"}


@dataclass(frozen=True)
class Example:
    """One picture: its name below the data set's URI, the index of its class, its size in bytes and its CRC-32C.

    `place` says where a packed picture is; a loose one is the object `name`.
    """

    name: str
    label: int
    size: int
    crc32c: int
    place: Place | None = None


@dataclass(frozen=True)
class DataSet:
    """Examples of each split ordered by name; an example's id is its position in that order.

    `ignored` counts files that are not pictures. `stale_index` says in one line why index.json was not used.
    """

    uri: str
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[Example, ...]]
    ignored: int = 0
    stale_index: str = ""

    @property
    def fingerprint(self) -> str:
        """16 hex digits over classes, names and contents; independent of where the bytes are stored."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for split in SPLITS:
            for example in self.splits[split]:
                place = example.name.split("/", 1)[1]
                digest.update(f"\n{split}/{place} {example.label} {example.size} {example.crc32c:08x}".encode())
        return digest.hexdigest()[:16]


def canonical(split: str) -> str:
    """The split that a folder's name stands for; other names unchanged."""
    return _ALIASES.get(split, split)


def list_data_set(storage: Storage) -> DataSet:
    """List `URI/{train,valid,test}/CLASS/*.{jpg,jpeg,png}`; `validation` stands for `valid`; other files are ignored.

    A packed data set is listed from its index.json, with the same names, ids and fingerprint. For loose pictures, an
    index.json that matches the listing saves reading local files for their checksums; one that does not is not used.

    Raises:
        ExitError: 66 when nothing is there or a split is missing; 65 for fewer than two classes, an empty class,
            classes that differ between splits, or shards that do not match the index.
    """
    listing = tuple(storage.list())
    index, fault = _index_of(storage, listing)
    if index is not None and index.shards:
        return packed_data_set(storage.uri, index, listing)
    if index is None and fault and any(stat.name.startswith(SHARDS) for stat in listing):
        raise ExitError(Exit.BAD_DATA, f"{storage.uri}/{INDEX}: {fault}; pack the data set again")
    found, ignored = _by_class(listing)
    classes = _check(storage.uri, found)
    if index is not None:
        fault = _unfit(index, found)
        if not fault:
            found = _with_checksums(index, found)
    return DataSet(
        uri=storage.uri,
        classes=classes,
        splits={split: _examples(storage, classes, found[split]) for split in SPLITS},
        ignored=ignored,
        stale_index=fault and f"{storage.uri}/{INDEX} is not used: {fault}; `catdog data import` writes it again",
    )


Found = dict[str, dict[str, list[Stat]]]


def _by_class(listing: Iterable[Stat]) -> tuple[Found, int]:
    """Pictures by split and class, and how many other files there are."""
    found: Found = {split: {} for split in SPLITS}
    ignored = 0
    for stat in listing:
        parts = stat.name.split("/")
        split = canonical(parts[0])
        if stat.name == INDEX:
            continue
        if len(parts) < 3 or split not in found:
            ignored += 1
        elif parts[-1].lower().endswith(SUFFIXES):
            found[split].setdefault(parts[1], []).append(stat)
        else:
            found[split].setdefault(parts[1], [])
            ignored += 1
    return found, ignored


def _index_of(storage: Storage, listing: Iterable[Stat]) -> tuple[Index | None, str]:
    """The index, if there is a readable one; else why it cannot be read, or nothing."""
    if all(stat.name != INDEX for stat in listing):
        return None, ""
    try:
        return decode_index(storage.read(INDEX)), ""
    except BadIndex as error:
        return None, str(error)
    except StorageMissing:
        return None, "it disappeared"


def _unfit(index: Index, found: Found) -> str:
    """How the index of loose pictures differs from the listing, in a few words; empty when it matches."""
    listed = {stat.name: stat for classes in found.values() for stats in classes.values() for stat in stats}
    for picture in index.pictures:
        stat = listed.pop(picture.path, None)
        if stat is None:
            return f"it names {picture.path!r}, which is not there"
        if stat.size != picture.size:
            return f"{picture.path!r} has {stat.size:,} bytes, not {picture.size:,}"
        if stat.crc32c not in (None, picture.crc32c):
            return f"{picture.path!r} has different content"
    return f"it does not name {next(iter(listed))!r}" if listed else ""


def _with_checksums(index: Index, found: Found) -> Found:
    known = {picture.path: picture.crc32c for picture in index.pictures}
    return {
        split: {name: [replace(stat, crc32c=known[stat.name]) for stat in stats] for name, stats in classes.items()}
        for split, classes in found.items()
    }


def packed_data_set(uri: str, index: Index, listing: Iterable[Stat]) -> DataSet:
    """The data set that the index of shards describes.

    Raises:
        ExitError: 65 when a shard is missing or does not match the index, or the index is inconsistent; else as in
            `list_data_set`.
    """
    there = {stat.name: stat for stat in listing}
    for shard in index.shards:
        stat = there.get(shard.name)
        if stat is None or stat.size != shard.size or stat.crc32c not in (None, shard.crc32c):
            fault = "is missing" if stat is None else f"does not match {INDEX}"
            raise ExitError(Exit.BAD_DATA, f"{uri}/{shard.name}: this shard {fault}; pack the data set again")
    places = {picture.path: picture.place for picture in index.pictures}
    data = data_set_of(uri, (Stat(one.path, one.size, one.crc32c, "") for one in index.pictures))
    if data.fingerprint != index.fingerprint:
        raise ExitError(
            Exit.BAD_DATA, f"{uri}/{INDEX}: damaged: its pictures do not match its fingerprint; pack the data set again"
        )
    placed = {
        split: tuple(replace(example, place=places[example.name]) for example in examples)
        for split, examples in data.splits.items()
    }
    return replace(data, splits=placed, ignored=len(there.keys() - {shard.name for shard in index.shards} - {INDEX}))


def data_set_of(uri: str, pictures: Iterable[Stat]) -> DataSet:
    """The data set of these pictures, whose checksums are known; nothing is read.

    Raises:
        ExitError: as `list_data_set`.
    """
    found, ignored = _by_class(pictures)
    classes = _check(uri, found)
    return DataSet(uri, classes, {split: _sorted(_labelled(classes, found[split])) for split in SPLITS}, ignored)


def list_folder_per_class(storage: Storage, classes: tuple[str, ...]) -> tuple[Example, ...]:
    """Examples of `URI/CLASS/*`, for evaluating on pictures that are not a split data set.

    Raises:
        ExitError: 66 when nothing is there; 65 for a class that the model does not have.
    """
    found: dict[str, list[Stat]] = {}
    for stat in storage.list():
        parts = stat.name.split("/")
        if len(parts) >= 2 and parts[-1].lower().endswith(SUFFIXES):
            found.setdefault(parts[0], []).append(stat)
    if not found:
        raise ExitError(
            Exit.INPUT_MISSING,
            f"{storage.uri}: no CLASS/*.jpg or .png here; give a folder per class, or a split data set",
        )
    unknown = sorted(set(found) - set(classes))
    if unknown:
        raise ExitError(
            Exit.BAD_DATA, f"{storage.uri}: class {unknown[0]!r} is not one of the model's: {', '.join(classes)}"
        )
    return _examples(storage, classes, found)


def _check(uri: str, found: Mapping[str, Mapping[str, list[Stat]]]) -> tuple[str, ...]:
    missing = [split for split in SPLITS if not found[split]]
    if len(missing) == len(SPLITS):
        raise ExitError(
            Exit.INPUT_MISSING, f"{uri}: no pictures here; a data set is {{train,valid,test}}/CLASS/*.jpg below it"
        )
    if missing:
        raise ExitError(
            Exit.INPUT_MISSING, f"{uri}: the {missing[0]} split is missing; expected {missing[0]}/CLASS/*.jpg"
        )
    classes = tuple(sorted(found["train"]))
    if len(classes) < 2:
        raise ExitError(Exit.BAD_DATA, f"{uri}/train: only one class, {classes[0]!r}; at least two are needed")
    for split in SPLITS:
        odd = sorted(set(found[split]) ^ set(classes))
        if odd:
            where = "train" if odd[0] in found[split] else split
            raise ExitError(
                Exit.BAD_DATA, f"{uri}: class {odd[0]!r} is not in {where}; every split must have the same classes"
            )
        empty = [name for name in classes if not found[split][name]]
        if empty:
            raise ExitError(Exit.BAD_DATA, f"{uri}/{split}/{empty[0]}: no .jpg, .jpeg or .png in this class")
    return classes


def _examples(storage: Storage, classes: tuple[str, ...], found: Mapping[str, Iterable[Stat]]) -> tuple[Example, ...]:
    labelled = _labelled(classes, found)
    checksum = _checksum_of(storage)
    with ThreadPoolExecutor(max_workers=16) as pool:
        crcs = list(pool.map(checksum, (stat for stat, _ in labelled)))
    return _sorted((replace(stat, crc32c=crc), label) for (stat, label), crc in zip(labelled, crcs, strict=True))


def _labelled(classes: Sequence[str], found: Mapping[str, Iterable[Stat]]) -> list[tuple[Stat, int]]:
    return [(stat, label) for label, name in enumerate(classes) for stat in found.get(name, ())]


def _sorted(labelled: Iterable[tuple[Stat, int]]) -> tuple[Example, ...]:
    examples = (Example(stat.name, label, stat.size, stat.crc32c or 0) for stat, label in labelled)
    return tuple(sorted(examples, key=lambda example: example.name.encode()))


def _checksum_of(storage: Storage) -> Callable[[Stat], int]:
    def checksum(stat: Stat) -> int:
        return stat.crc32c if stat.crc32c is not None else google_crc32c.value(storage.read(stat.name))

    return checksum


def describe(data: DataSet) -> list[str]:
    """Lines of text, one per split, worded like image_dataset_from_directory."""
    lines = [data.stale_index] if data.stale_index else []
    for split in SPLITS:
        counts = Counter(example.label for example in data.splits[split])
        classes = ", ".join(f"{name} {counts[label]}" for label, name in enumerate(data.classes))
        lines.append(
            f"{split}: Found {len(data.splits[split])} files belonging to {len(data.classes)} classes. ({classes})"
        )
    return lines

"""A data set as a list of examples: what there is, what it is called, and a fingerprint of its content."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import google_crc32c

from trainer.exits import Exit, ExitError
from trainer.storage.base import Stat, Storage

SPLITS = ("train", "valid", "test")
SUFFIXES = (".jpg", ".jpeg", ".png")
_ALIASES = {"validation": "valid"}


@dataclass(frozen=True)
class Example:
    """One picture: its name below the data set's URI, the index of its class, its size in bytes and its CRC-32C."""

    name: str
    label: int
    size: int
    crc32c: int


@dataclass(frozen=True)
class DataSet:
    """Examples of each split in order of name; an example's id is its place in that order."""

    uri: str
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[Example, ...]]
    ignored: int = 0

    @property
    def fingerprint(self) -> str:
        """16 hex digits over classes, names and contents; where the bytes are kept does not count."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for split in SPLITS:
            for example in self.splits[split]:
                place = example.name.split("/", 1)[1]
                digest.update(f"\n{split}/{place} {example.label} {example.size} {example.crc32c:08x}".encode())
        return digest.hexdigest()[:16]


def list_data_set(storage: Storage) -> DataSet:
    """List `URI/{train,valid,test}/CLASS/*.{jpg,jpeg,png}`; `validation` stands for `valid`; other files are ignored.

    Raises:
        ExitError: 66 when nothing is there or a split is missing; 65 for fewer than two classes, an empty class, or
            classes that differ between splits.
    """
    found: dict[str, dict[str, list[Stat]]] = {split: {} for split in SPLITS}
    ignored = 0
    for stat in storage.list():
        parts = stat.name.split("/")
        split = _ALIASES.get(parts[0], parts[0])
        if len(parts) < 3 or split not in found:
            ignored += 1
        elif parts[-1].lower().endswith(SUFFIXES):
            found[split].setdefault(parts[1], []).append(stat)
        else:
            found[split].setdefault(parts[1], [])
            ignored += 1
    classes = _check(storage.uri, found)
    return DataSet(
        uri=storage.uri,
        classes=classes,
        splits={split: _examples(storage, classes, found[split]) for split in SPLITS},
        ignored=ignored,
    )


def list_folder_per_class(storage: Storage, classes: tuple[str, ...]) -> tuple[Example, ...]:
    """Examples of `URI/CLASS/*`, for evaluating on pictures that are not a split data set.

    Raises:
        ExitError: 66 when nothing is there; 65 for a class the model does not know.
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
    stats = [(stat, label) for label, name in enumerate(classes) for stat in found.get(name, ())]
    checksum = _checksum_of(storage)
    with ThreadPoolExecutor(max_workers=16) as pool:
        crcs = list(pool.map(checksum, (stat for stat, _ in stats)))
    examples = (Example(stat.name, label, stat.size, crc) for (stat, label), crc in zip(stats, crcs, strict=True))
    return tuple(sorted(examples, key=lambda example: example.name.encode()))


def _checksum_of(storage: Storage) -> Callable[[Stat], int]:
    def checksum(stat: Stat) -> int:
        return stat.crc32c if stat.crc32c is not None else google_crc32c.value(storage.read(stat.name))

    return checksum


def describe(data: DataSet) -> list[str]:
    """Lines for people, one a split, in the words of image_dataset_from_directory."""
    lines = []
    for split in SPLITS:
        counts = Counter(example.label for example in data.splits[split])
        classes = ", ".join(f"{name} {counts[label]}" for label, name in enumerate(data.classes))
        lines.append(
            f"{split}: Found {len(data.splits[split])} files belonging to {len(data.classes)} classes. ({classes})"
        )
    return lines

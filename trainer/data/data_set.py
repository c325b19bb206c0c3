"""A data set as it was listed: its splits as columns, its fingerprint, and what is said of it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.data.examples import Example, Examples, numbers_of

SPLITS = ("train", "valid", "test")

_ALIASES = {"validation": "valid"}

MOST_LISTED = 20
"""Classes of which each is counted in a line for people."""


@dataclass(frozen=True)
class DataSet:
    """Examples of each split in order of `within`; an example's id is its place in that order. `test` may be empty.

    `fingerprint` is that of `fingerprint_of`. `ignored` counts files that are no pictures. `stale_index` says in one
    line why index.json was not used; `told` what was recognised, left aside and cut off, a line each. `cut`: splits
    that were cut off the pictures of train.
    """

    uri: str
    classes: tuple[str, ...]
    splits: Mapping[str, Examples]
    fingerprint: str
    ignored: int = 0
    stale_index: str = ""
    told: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()

    @classmethod
    def of(cls, uri: str, classes: tuple[str, ...], splits: Mapping[str, Examples], **more: Any) -> "DataSet":
        """The data set, whose fingerprint is computed."""
        return cls(uri, classes, splits, fingerprint_of(classes, splits), **more)


def fingerprint_of(classes: Sequence[str], splits: Mapping[str, Examples]) -> str:
    """16 hex digits over classes, names and contents; independent of where the bytes are stored."""
    digest = hashlib.sha256("\n".join(classes).encode())
    for split in SPLITS:
        found = splits[split]
        columns = (numbers_of(column) for column in (found.labels, found.sizes, found.crc32c))
        for within, label, size, checksum in zip(found.withins, *columns, strict=True):
            digest.update(f"\n{split}/{within} {label} {size} {checksum:08x}".encode())
    return digest.hexdigest()[:16]


def split_of(folder: str) -> str:
    """The split whose pictures lie in a folder of this name, in a data set as `data import` stores it."""
    return _ALIASES.get(folder, folder)


def stored_path(split: str, example: Example) -> str:
    """SPLIT/CLASS/NAME: what a copy of the data set calls the picture."""
    folder = example.name.partition("/")[0]
    return example.name if not example.inner and split_of(folder) == split else f"{split}/{example.within}"


def counts_of(examples: Examples, classes: Sequence[str]) -> list[int]:
    """How many pictures each class has."""
    return [int(count) for count in np.bincount(examples.labels, minlength=len(classes))]


def describe(data: DataSet) -> list[str]:
    """Lines of text, one per split, worded like image_dataset_from_directory."""
    lines = [data.stale_index] if data.stale_index else []
    lines += data.told
    for split in SPLITS:
        if not data.splits[split]:
            lines.append(f"{split}: none")
            continue
        counts = counts_of(data.splits[split], data.classes)
        lines.append(
            f"{split}: Found {len(data.splits[split])} files belonging to {sum(map(bool, counts))} classes. "
            f"({_by_class(data.classes, counts)})"
        )
    return lines


def _by_class(classes: Sequence[str], counts: Sequence[int]) -> str:
    """Every class and its number of pictures, or of many classes those with the fewest and the most."""
    if len(classes) <= MOST_LISTED:
        return ", ".join(f"{name} {count}" for name, count in zip(classes, counts, strict=True))
    fewest, most = (chosen(range(len(classes)), key=lambda label: counts[label]) for chosen in (min, max))
    if counts[fewest] == counts[most]:
        return f"{counts[most]} each"
    return f"{counts[fewest]} of {classes[fewest]} to {counts[most]} of {classes[most]}"

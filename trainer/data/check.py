"""`catdog data check`: what is in a data set, and what is wrong with it."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.data.data_set import SPLITS, DataSet, counts_of
from trainer.data.index import is_index
from trainer.data.prepare import CONCURRENCY, MOST_UNREADABLE, Check
from trainer.data.reading import Damaged, Read
from trainer.storage.fetch import in_parallel

Hear = Callable[[Callable[[], object]], tuple[object, str]]
"""The result of a call, and what was printed meanwhile."""

LOPSIDED = 1.5
"""Ratio of the largest to the smallest class of train from which it is reported."""


@dataclass(frozen=True)
class Checked:
    """The result. `corrupt`: (path, reason) of pictures that training would reject; `damaged`: of pictures whose bytes
    differ from the listing, which stop training. `within` and `across`: paths of identical pictures, in one split and
    in several; `contradicting`: those of them with more than one label. `odd`: paths of what is no picture of the data
    set. `turned`: how many are turned upright. `doubtful`: (path, what the decoder says) of pictures that training uses
    although their data is damaged."""

    data: DataSet
    corrupt: tuple[tuple[str, str], ...]
    damaged: tuple[tuple[str, str], ...]
    within: tuple[tuple[str, ...], ...]
    across: tuple[tuple[str, ...], ...]
    contradicting: tuple[tuple[str, ...], ...]
    odd: tuple[str, ...]
    turned: int = 0
    doubtful: tuple[tuple[str, str], ...] = ()

    @property
    def pictures(self) -> int:
        """The number of pictures in all splits."""
        return sum(len(examples) for examples in self.data.splits.values())

    @property
    def balance(self) -> float:
        """Ratio of the largest to the smallest class of train."""
        counts = [count for count in counts_of(self.data.splits["train"], self.data.classes) if count]
        return max(counts) / min(counts)

    @property
    def emptied(self) -> tuple[str, ...]:
        """Classes all of whose pictures in some split are also in another class or split."""
        elsewhere = {name for group in {*self.across, *self.contradicting} for name in group}
        left = {(split, one.label) for split in SPLITS for one in self.data.splits[split] if one.name not in elsewhere}
        there = {(split, one.label) for split in SPLITS for one in self.data.splits[split]}
        return tuple(sorted({self.data.classes[label] for _, label in there - left}))

    @property
    def problems(self) -> tuple[str, ...]:
        """What makes the data set unusable, one line each; empty when nothing does."""
        found = []
        if len(self.corrupt) > MOST_UNREADABLE * self.pictures:
            found.append(
                f"{len(self.corrupt):,} of {self.pictures:,} pictures cannot be used, more than {MOST_UNREADABLE:.0%}"
            )
        if self.damaged:
            found.append(f"{len(self.damaged):,} pictures differ from the listing or the index")
        if self.across:
            found.append(f"{len(self.across):,} pictures are in more than one split: validation would be misleading")
        if self.contradicting:
            found.append(
                f"{len(self.contradicting):,} pictures have more than one label, such as "
                f"{' = '.join(self.contradicting[0])}"
            )
        emptied = self.emptied
        if emptied:
            found.append(
                f"of class {emptied[0]!r} nothing is left without the pictures that other classes or splits have"
            )
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """The result as JSON."""
        return {
            "uri": self.data.uri,
            "fingerprint": self.data.fingerprint,
            "packed": is_packed(self.data),
            "classes": list(self.data.classes),
            "splits": {split: _counts(self.data, split) for split in SPLITS},
            "balance": self.balance,
            "corrupt": [{"path": path, "reason": why} for path, why in self.corrupt],
            "damaged": [{"path": path, "reason": why} for path, why in self.damaged],
            "doubtful": [{"path": path, "reason": why} for path, why in self.doubtful],
            "duplicates": {"within": [list(one) for one in self.within], "across": [list(one) for one in self.across]},
            "contradicting": [list(one) for one in self.contradicting],
            "ignored": self.data.ignored,
            "cut": list(self.data.cut),
            "odd": list(self.odd),
            "rotated": self.turned,
            "stale_index": self.data.stale_index,
            "problems": list(self.problems),
            "usable": not self.problems,
        }


def is_packed(data: DataSet) -> bool:
    """Whether the pictures are stored in shards."""
    return data.splits["train"].packed


def _counts(data: DataSet, split: str) -> dict[str, int]:
    return dict(zip(data.classes, counts_of(data.splits[split], data.classes), strict=True))


def check_data_set(
    data: DataSet,
    listed: Iterable[str],
    reading: Callable[[Callable[[int, Damaged], None]], Read],
    check: Check,
    is_turned: Callable[[bytes], bool],
    on_done: Callable[[], None],
    hear: Hear,
) -> Checked:
    """Reads and decodes every picture.

    Args:
        data: as listed.
        listed: names of all objects of the data set's storage.
        reading: makes the `Read`, given the callback for damaged pictures.
        check: as for `import_pictures`.
        is_turned: whether training turns a picture, that can be used, by its Exif.
        on_done: called after each picture.
        hear: tells what decoders print while they decode: libjpeg, of damage that it can pass over.
    """
    examples = [example for split in SPLITS for example in data.splits[split]]
    split_of = {example.name: split for split in SPLITS for example in data.splits[split]}
    corrupt: list[tuple[str, str]] = []
    damaged: list[tuple[str, str]] = []
    doubtful: list[tuple[str, str]] = []
    names: dict[bytes, list[str]] = {}

    def told(i: int, error: Damaged) -> None:
        damaged.append((examples[i].name, str(error)))
        on_done()

    turned = 0

    def checked(item: tuple[int, bytes]) -> tuple[int, bytes, str, bool, str]:
        i, encoded = item
        digest = hashlib.sha256(encoded).digest()
        try:
            _, printed = hear(lambda: check(encoded))
        except ValueError as error:
            return i, digest, str(error), False, ""
        return i, digest, "", is_turned(encoded), _damage(printed)

    for i, digest, fault, turns, doubt in in_parallel(checked, reading(told)(examples), CONCURRENCY // 4):
        names.setdefault(digest, []).append(examples[i].name)
        if fault:
            corrupt.append((examples[i].name, fault))
        if doubt:
            doubtful.append((examples[i].name, doubt))
        turned += turns
        on_done()
    within, across = _duplicates(names.values(), split_of)
    own = {*split_of, *(example.place.shard for example in examples if example.place is not None)}
    odd = sorted(name for name in listed if name not in own and not is_index(name))
    label_of = {example.name: example.label for example in examples}
    contradicting = tuple(group for group in sorted(within + across) if len({label_of[name] for name in group}) > 1)
    return Checked(
        data,
        tuple(sorted(corrupt)),
        tuple(sorted(damaged)),
        within,
        across,
        contradicting,
        tuple(odd),
        turned,
        tuple(sorted(doubtful)),
    )


def _damage(printed: str) -> str:
    """What a decoder has printed of damage, on one line; an unknown revision of JFIF is none."""
    told = dict.fromkeys(line.strip() for line in printed.splitlines() if "JFIF revision" not in line)
    return "; ".join(line for line in told if line)


def _duplicates(
    groups: Iterable[Sequence[str]], split_of: Mapping[str, str]
) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    within: list[tuple[str, ...]] = []
    across: list[tuple[str, ...]] = []
    for group in groups:
        if len(group) > 1:
            several = len({split_of[name] for name in group}) > 1
            ordered = tuple(sorted(group, key=lambda name: (SPLITS.index(split_of[name]), name)))
            (across if several else within).append(ordered)
    return tuple(sorted(within)), tuple(sorted(across))


def lines(checked: Checked, shown: int = 10) -> list[str]:
    """The result as lines of text."""
    data, told = checked.data, list(checked.data.told)
    for split in SPLITS:
        if not data.splits[split]:
            told.append(f"{split}: none")
            continue
        counts = ", ".join(f"{name} {count}" for name, count in _counts(data, split).items())
        told.append(f"{split}: {len(data.splits[split])} pictures ({counts})")
    if checked.balance >= LOPSIDED:
        told.append(f"the largest class of train is {checked.balance:.1f} times the smallest")
    if checked.turned:
        told.append(
            f"{checked.turned:,} pictures are rotated or mirrored by their Exif, and are turned upright when read"
        )
    told += _some("cannot be used", [f"{path}: {why}" for path, why in checked.corrupt], shown)
    told += _some("decoded in spite of damage", [f"{path}: {why}" for path, why in checked.doubtful], shown)
    told += _some("damaged", [f"{path}: {why}" for path, why in checked.damaged], shown)
    told += _some("in more than one split", [" = ".join(group) for group in checked.across], shown)
    told += _some("under more than one label", [" = ".join(group) for group in checked.contradicting], shown)
    told += _some("twice in one split", [" = ".join(group) for group in checked.within], shown)
    told += _some("not a picture of the data set", list(checked.odd), shown)
    if data.stale_index:
        told.append(data.stale_index)
    told.append(f"fingerprint {data.fingerprint}")
    return told


def _some(what: str, items: Sequence[str], shown: int) -> list[str]:
    rest = [f"… and {len(items) - shown:,} more, {what}"] if len(items) > shown else []
    return [f"{what}: {item}" for item in items[:shown]] + rest

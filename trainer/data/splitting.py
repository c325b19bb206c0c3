"""Cuts validation and test pictures off those of train, where a data set has none. Pure.

What goes where is a function of the pictures' contents and the seed: the same on every machine, and one more picture
moves at most one other of its class across each border.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

from trainer.exits import Exit, ExitError

Item = TypeVar("Item")
Content = tuple[int, int]
"""Size and CRC-32C of a picture: equal ones stay together."""


@dataclass(frozen=True)
class Shares:
    """Which share of the pictures is for train, valid and test; together 1. A `test` of 0: no test split."""

    train: Fraction
    valid: Fraction
    test: Fraction


def shares_of(text: str) -> Shares:
    """Read "0.8/0.1/0.1", "80/10/10", or "0.9/0.1", which has no test.

    Raises:
        ExitError: 64 naming --split.
    """
    try:
        parts = [Fraction(part.strip()) for part in text.split("/")]
    except (ValueError, ZeroDivisionError):
        parts = []
    parts += [Fraction(0)] * (len(parts) == 2)
    whole = sum(parts)
    if len(parts) != 3 or whole not in (1, 100) or min(parts) < 0 or not parts[0] or not parts[1]:
        raise ExitError(
            Exit.BAD_OPTION,
            f"--split is {text!r}; it must be the shares of train, valid and test, such as 0.8/0.1/0.1 (together 1; "
            "0 for test: none)",
        )
    train, valid, test = (part / whole for part in parts)
    return Shares(train, valid, test)


@dataclass(frozen=True)
class Cut(Generic[Item]):
    """Items by split, in the order they came in. `whole`: classes with too few contents, all in train."""

    splits: Mapping[str, Sequence[Item]]
    whole: tuple[str, ...]


def cut(
    items: Iterable[tuple[Item, str, Content]], shares: Shares, seed: int, missing: Sequence[str] = ("valid", "test")
) -> Cut[Item]:
    """Cut the `missing` splits off these (item, class, content).

    In each class distinct contents are ranked by a hash keyed with the seed. Test takes the first, valid the next, at
    least one each and else their share of all, rounded where parts meet; the rest is train's.
    """
    every = list(items)
    wanted = [(split, share) for split in ("test", "valid") if split in missing and (share := getattr(shares, split))]
    contents: dict[str, set[Content]] = {}
    for _, label, content in every:
        contents.setdefault(label, set()).add(content)
    place: dict[tuple[str, Content], str] = {}
    whole = []
    for label, found in contents.items():
        ranked = sorted(found, key=lambda content: _rank(content, seed))
        if len(ranked) <= len(wanted) and wanted:
            whole.append(label)
            continue
        start = 0
        for (split, _), end in zip(wanted, borders([share for _, share in wanted], len(ranked)), strict=True):
            place |= {(label, content): split for content in ranked[start:end]}
            start = end
    splits: dict[str, list[Item]] = {"train": [], **{split: [] for split, _ in wanted}}
    for item, label, content in every:
        splits[place.get((label, content), "train")].append(item)
    return Cut(splits, tuple(sorted(whole)))


def borders(shares: Sequence[Fraction], count: int) -> list[int]:
    """Where each of these parts ends among `count` things, one at least for each part and for what is left.

    None of them grows by more than one when `count` does: the ends are rounded, not the sizes.
    """
    ends: list[int] = []
    exact = Fraction(0)
    for at, share in enumerate(shares):
        exact += share
        end = max(int(exact * count + Fraction(1, 2)), (ends[-1] if ends else 0) + 1)
        ends.append(min(end, count - len(shares) + at))
    return ends


def _rank(content: Content, seed: int) -> bytes:
    size, checksum = content
    return hashlib.blake2b(f"{size}/{checksum:08x}".encode(), key=str(seed).encode(), digest_size=16).digest()

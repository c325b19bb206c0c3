"""Recognises how the pictures of a data set are laid out: their classes and splits, by name alone. Pure.

One recogniser for every verb. The reading that explains more files is taken; what stays ambiguous is refused, naming
both readings and what to say.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from trainer.config import LAYOUTS
from trainer.data.formats import CONVERTED_SUFFIXES
from trainer.data.kinds import LITTER, PICTURE, kind_of
from trainer.data.readings import (
    Parts,
    Placed,
    Reading,
    read_classes,
    read_classes_splits,
    read_names,
    read_splits,
    split_word,
)
from trainer.exits import Exit, ExitError

UNLABELLED = "unlabelled"
"""Kind of pictures that the reading does not explain."""
UNMATCHED = "unmatched"
"""Kind of rows of a table that are no picture."""

_FORMS = {
    "splits": "SPLIT/CLASS/FILE",
    "classes": "CLASS/FILE",
    "classes-splits": "CLASS/SPLIT/FILE",
    "names": "CLASS.NUMBER.jpg",
    "table": "a table of labels",
}
STRAY = 0.1
"""Share of the pictures that may lie in a folder of another class than their names tell."""

EXPECTED = (
    "CLASS/*.jpg, {train,valid,test}/CLASS/*.jpg, names such as cat.1.jpg and dog.1.jpg, or a table with --labels"
)


@dataclass(frozen=True)
class Aside:
    """Files of one kind that are no pictures of the data set: LITTER, UNLABELLED, or a suffix; one of them."""

    kind: str
    count: int
    example: str


@dataclass(frozen=True)
class Layout:
    """How a data set is laid out. `wrapper`: the folders around all of it, with a slash at the end, or "".

    `empty`: (split, class) of folders in which no file is a picture that is taken.
    """

    kind: str
    wrapper: str
    placed: tuple[Placed, ...]
    aside: tuple[Aside, ...]
    empty: tuple[tuple[str, str], ...] = ()

    @property
    def splits(self) -> set[str]:
        """The splits that there are; none for a data set that is not split."""
        return {one.split for one in self.placed} - {""}

    @property
    def ignored(self) -> int:
        """Files left aside."""
        return sum(one.count for one in self.aside if one.kind != UNMATCHED)

    @property
    def unconverted(self) -> tuple[Aside, ...]:
        """Pictures that only import takes."""
        return tuple(one for one in self.aside if one.kind in CONVERTED_SUFFIXES)


def recognise(
    uri: str,
    names: Iterable[str],
    *,
    layout: str = "auto",
    accepts: Collection[str] = (),
    known: Collection[str] = (),
) -> Layout:
    """How these files make a data set.

    Args:
        uri: where they are, for messages.
        names: of all files.
        layout: one of config.LAYOUTS; other than auto, that reading is taken, and a class may have a split's name.
        accepts: suffixes taken beside those that training decodes (import: CONVERTED_SUFFIXES).
        known: classes of a model that is to be evaluated; then one of them is enough.

    Raises:
        ExitError: 66 when there is no picture, or nothing tells their classes; 65 when there is only one class, or two
            readings are possible.
    """
    every = sorted(names)
    kinds = {name: kind_of(name) for name in every}
    kinds = {name: PICTURE if kind in accepts else kind for name, kind in kinds.items()}
    files = {name: tuple(name.split("/")) for name, kind in kinds.items() if kind == PICTURE}
    if not files:
        raise _no_pictures(uri, kinds)
    wrapper, reading = _read(uri, files, layout, known)
    if reading.splits <= {"", "train"}:
        reading = replace(reading, placed=tuple(replace(one, split="") for one in reading.placed))
    _check_paths(uri, reading.placed)
    taken = reading.labels.keys()
    aside = aside_of(
        {name: UNLABELLED if kind == PICTURE else kind for name, kind in kinds.items() if name not in taken}
    )
    empty = _empty(
        reading, wrapper, {n: tuple(n.split("/")) for n, kind in kinds.items() if kind not in (PICTURE, LITTER)}
    )
    return Layout(reading.kind, wrapper, reading.placed, aside, empty)


def _no_pictures(uri: str, kinds: dict[str, str]) -> ExitError:
    aside = [one for one in aside_of(kinds) if one.kind in CONVERTED_SUFFIXES]
    if aside:
        return unconverted(uri, aside, 0)
    there = f" among {len(kinds):,} files" if kinds else ""
    return ExitError(Exit.INPUT_MISSING, f"{uri}: no pictures here{there}; a data set is {EXPECTED}")


def unconverted(uri: str, aside: Iterable[Aside], taken: int) -> ExitError:
    """65: most pictures are of kinds that training does not decode."""
    found = list(aside)
    count, words = sum(one.count for one in found), ", ".join(one.kind for one in found)
    return ExitError(
        Exit.BAD_DATA,
        f"{uri}: {count:,} of {count + taken:,} pictures are {words}, which training does not read; convert them with "
        f"`catdog data import {uri} TARGET` and train on TARGET",
    )


def aside_of(kinds: dict[str, str]) -> tuple[Aside, ...]:
    """Files counted by kind, the most frequent first."""
    counts = Counter(kinds.values())
    first = {kind: name for name, kind in reversed(kinds.items())}
    return tuple(
        Aside(kind, count, first[kind]) for kind, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    )


def _read(uri: str, files: Mapping[str, Parts], layout: str, known: Collection[str]) -> tuple[str, Reading]:
    """The reading, and the folders that were stepped through to it."""
    inner, wrapper, short = dict(files), "", list[Reading]()
    while inner:
        tops = {parts[0] for parts in inner.values() if len(parts) > 1}
        wrapped = len(tops) == 1 and not split_word(next(iter(tops)))
        found = [reading for reading in _readings(inner, layout, wrapped) if reading.placed]
        enough = [reading for reading in found if _suffices(reading, known)]
        if enough:
            return wrapper, _chosen(uri, enough)
        short += found
        if len(tops) != 1:
            break
        inner = {name: parts[1:] for name, parts in inner.items() if len(parts) > 1}
        wrapper += f"{next(iter(tops))}/"
    if known and short:
        return "", short[0]
    single = next((reading for reading in short if len(reading.classes) == 1), None)
    if single is None:
        example = next(iter(files))
        raise ExitError(
            Exit.INPUT_MISSING,
            f"{uri}: {len(files):,} pictures, such as {example!r}, but nothing tells their classes"
            f"{f' by --layout {layout}' if layout != 'auto' else ''}; give a folder per class: {EXPECTED}",
        )
    where = "/train" if single.kind == "splits" else ""
    raise ExitError(Exit.BAD_DATA, f"{uri}{where}: only one class, {single.classes.pop()!r}; at least two are needed")


def _readings(files: Mapping[str, Parts], layout: str, wrapped: bool) -> list[Reading]:
    """Names are read inside of a folder that holds all, so that its own folders can be those of splits."""
    forced = layout != "auto"
    names = [] if wrapped and all(len(parts) > 1 for parts in files.values()) else [read_names(files, forced)]
    ways: dict[str, Callable[[], list[Reading]]] = {
        "splits": lambda: [read_splits(files, forced)],
        "classes": lambda: [read_classes(files, forced)],
        "names": lambda: names,
    }
    if forced:
        return ways[layout]()
    return [read_splits(files, False), read_classes_splits(files), read_classes(files, False), *names]


def _suffices(reading: Reading, known: Collection[str]) -> bool:
    return bool(reading.classes & set(known)) if known else len(reading.classes | set(reading.also)) >= 2


def _chosen(uri: str, readings: list[Reading]) -> Reading:
    """The reading that explains more files than the others; of equal ones that of the folders, where they agree."""
    folders = [reading for reading in readings if reading.kind != "names"]
    names = next((reading for reading in readings if reading.kind == "names"), None)
    best = max(folders, key=lambda reading: len(reading.placed), default=names)
    assert best is not None
    for other in folders:
        if _each_has_its_own(best, other) and not _beside_a_whole(best, other):
            raise _ambiguous(uri, best, other)
    if names is not None and best is not names and not best.splits - {""}:
        if _each_has_its_own(best, names) or _disagree(best, names):
            raise _ambiguous(uri, best, names)
        best = max(best, names, key=lambda reading: len(reading.placed))
    if best.fault:
        raise ExitError(Exit.BAD_DATA, f"{uri}: {best.fault}")
    return best


def _each_has_its_own(one: Reading, other: Reading) -> bool:
    """Whether each explains files that the other does not."""
    ours, theirs = one.labels.keys(), other.labels.keys()
    return bool(ours - theirs) and bool(theirs - ours)


def _beside_a_whole(one: Reading, other: Reading) -> bool:
    """Whether one is a whole split data set, and the other some folders beside it that have nothing of its classes."""
    pair = {one.kind: one, other.kind: other}
    return (
        pair.keys() == {"splits", "classes"}
        and pair["splits"].splits == {"train", "valid", "test"}
        and not pair["splits"].classes & pair["classes"].classes
    )


def _disagree(folders: Reading, names: Reading) -> bool:
    """Whether the names of the same files tell other classes than their folders: one name in several folders is fine,
    but not several in one, beyond a stray picture, nor the name of another folder."""
    by_name = names.labels
    if by_name.keys() != folders.labels.keys():
        return False
    words: dict[str, Counter[str]] = {}
    for one in folders.placed:
        words.setdefault(one.label, Counter())[by_name[one.name]] += 1
    usual = {label: found.most_common(1)[0] for label, found in words.items()}
    stray = len(folders.placed) - sum(count for _, count in usual.values())
    swapped = any(word != label and word in words for label, (word, _) in usual.items())
    return swapped or stray > STRAY * len(folders.placed)


def _ambiguous(uri: str, best: Reading, other: Reading) -> ExitError:
    said = []
    for reading in (best, other):
        classes = sorted(reading.classes)
        shown = ", ".join(classes[:3]) + (", …" if len(classes) > 3 else "")
        said.append(f"{_FORMS[reading.kind]} (classes {shown}; {len(reading.placed):,} pictures)")
    flags = " or ".join(f"--layout {kind}" for kind in (best.kind, other.kind) if kind in LAYOUTS)
    return ExitError(
        Exit.BAD_DATA, f"{uri}: ambiguous: {said[0]}, or {said[1]}; say {flags}, or move what does not belong away"
    )


def _check_paths(uri: str, placed: Iterable[Placed]) -> None:
    seen: dict[tuple[str, str, str], str] = {}
    for one in placed:
        first = seen.setdefault((one.split, one.label, one.rest), one.name)
        if first != one.name:
            raise ExitError(
                Exit.BAD_DATA, f"{uri}: {first!r} and {one.name!r} would be one picture of {one.label!r}; rename one"
            )


def _empty(reading: Reading, wrapper: str, others: Mapping[str, Parts]) -> tuple[tuple[str, str], ...]:
    """Of SPLIT/CLASS folders, those that hold files but none that is taken."""
    if reading.kind != "splits":
        return ()
    inside = {n: p[wrapper.count("/") :] for n, p in others.items() if n.startswith(wrapper)}
    placed = {(one.split, one.label) for one in reading.placed}
    found = {(one.split, one.label) for one in read_splits(inside, True).placed}
    return tuple(sorted(found - placed))


def _folders(layout: Layout) -> str:
    """Which folders are the splits, where they have other names; "" otherwise."""
    if layout.kind != "splits":
        return ""
    read = {(one.split, one.name.removeprefix(layout.wrapper).partition("/")[0]) for one in layout.placed}
    told = [f"{folder}/ is {split}" for split, folder in sorted(read) if folder != split]
    return f"; {', '.join(told)}" if told else ""


def sentences(layout: Layout) -> list[str]:
    """What was recognised and what was left aside, for people; nothing for SPLIT/CLASS/FILE and no other file."""
    told = []
    as_written = {f"{one.split}/{one.label}/{one.rest}" for one in layout.placed} == {one.name for one in layout.placed}
    if layout.kind != "splits" or not as_written:
        where = f" in {layout.wrapper}" if layout.wrapper else ""
        told.append(f"recognised {_FORMS[layout.kind]}{where}: {len(layout.placed):,} pictures{_folders(layout)}")
    for one in layout.aside:
        if one.kind == UNLABELLED:
            what = f"{one.count:,} pictures whose class nothing tells"
        elif one.kind == UNMATCHED:
            what = f"{one.count:,} row{'s' * (one.count > 1)} of the table without a picture"
        elif one.kind == LITTER:
            what = f"{one.count:,} hidden or system file{'s' * (one.count > 1)}"
        elif one.kind in CONVERTED_SUFFIXES:
            what = f"{one.count:,} {one.kind} files, which `catdog data import` converts"
        else:
            what = f"{one.count:,} {one.kind} file{'s' * (one.count > 1)}"
        told.append(f"left aside: {what}, such as {one.example}")
    return told

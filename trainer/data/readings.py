"""Ways to read the names of pictures as a data set: each explains some of them. Pure.

splits: SPLIT/CLASS/…/FILE. classes: CLASS/…/FILE. classes-splits: CLASS/SPLIT/…/FILE. names: cat.12.jpg, dog.7.jpg.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Parts = tuple[str, ...]

_WORDS = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "validate": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
    "holdout": "test",
    "heldout": "test",
    "eval": "eval",
    "evaluation": "eval",
}
_NO_CLASSES = {"annotations", "masks", "labels", "trimaps"}
_NUMBERED = re.compile(r"[^./]+\.\d+(\.[^./]+)?")


@dataclass(frozen=True)
class Placed:
    """A picture: its name, its class, its split ("": none yet), and its name within split and class."""

    name: str
    label: str
    split: str
    rest: str


@dataclass(frozen=True)
class Reading:
    """What one way to read explains. `fault` says in a line why it cannot be taken as it is; `also` holds folders of a
    split's name that might be classes."""

    kind: str
    placed: tuple[Placed, ...] = ()
    fault: str = ""
    also: tuple[str, ...] = ()

    @property
    def labels(self) -> dict[str, str]:
        """Class by the picture's name."""
        return {one.name: one.label for one in self.placed}

    @property
    def classes(self) -> set[str]:
        """All classes."""
        return {one.label for one in self.placed}

    @property
    def splits(self) -> set[str]:
        """All splits, "" among them where a picture has none."""
        return {one.split for one in self.placed}


def split_word(folder: str) -> str:
    """The split that a folder's name stands for: train, valid, test, or eval, which is one of the last two; else ""."""
    word = re.sub(r"[\W_]+", "", folder.casefold())
    word = re.sub(r"(data)?(set|data|images|pictures|split)?\d*$", "", word) if word not in _WORDS else word
    return _WORDS.get(word, "")


@dataclass(frozen=True)
class _Splits:
    of: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""


def _meanings(folders: Iterable[str]) -> _Splits:
    """The split of each folder; `eval` is valid where there is no other valid, else test."""
    by_word: dict[str, list[str]] = defaultdict(list)
    for folder in sorted(set(folders)):
        by_word[split_word(folder)].append(folder)
    evaluation = by_word.pop("eval", [])
    if evaluation:
        by_word["test" if by_word["valid"] and not by_word["test"] else "valid"] += evaluation
    twice = [(split, found) for split, found in by_word.items() if split and len(found) > 1]
    fault = ""
    if twice:
        split, found = twice[0]
        fault = f"the folders {found[0]!r} and {found[1]!r} both stand for the {split} split; keep or rename one"
    return _Splits({folder: split for split, found in by_word.items() if split for folder in found}, fault)


def read_splits(files: Mapping[str, Parts], any_class: bool) -> Reading:
    """SPLIT/CLASS/…/FILE, also with a folder between the two in which all of the split lies."""
    inside: dict[str, dict[str, Parts]] = defaultdict(dict)
    for name, parts in files.items():
        if len(parts) >= 3 and split_word(parts[0]):
            inside[parts[0]][name] = parts[1:]
    seen = {folder: {parts[0] for parts in found.values()} for folder, found in inside.items()}
    direct = {parts[0] for parts in files.values() if len(parts) == 2}
    labelled: dict[str, dict[str, Parts]] = {}
    for folder, found in inside.items():
        others = set().union(*(classes for other, classes in seen.items() if other != folder and len(classes) > 1))
        labelled[folder] = found if folder in direct or seen[folder] & others else _unwrapped(found)
    unlabelled = _unlabelled_tests(labelled)
    splits = _meanings(folder for folder in labelled if folder not in unlabelled)
    placed = tuple(
        Placed(name, parts[0], splits.of[folder], "/".join(parts[1:]))
        for folder, found in labelled.items()
        if folder not in unlabelled
        for name, parts in found.items()
    )
    return Reading("splits", placed, splits.fault or ("" if any_class else _named_as_split(placed, "splits")))


def _named_as_split(placed: Iterable[Placed], kind: str) -> str:
    bad = min((one.label for one in placed if split_word(one.label)), default="")
    return bad and f"the class {bad!r} has the name of a split; rename it, or say --layout {kind} if it is a class"


def _unwrapped(found: Mapping[str, Parts]) -> dict[str, Parts]:
    """Without a folder that holds the whole split: it repeats the split's name, or is no class since all lie below."""
    inner = dict(found)
    while inner:
        tops = {parts[0] for parts in inner.values()}
        below = {parts[1] for parts in inner.values() if len(parts) >= 3}
        if len(tops) != 1 or any(len(parts) < 3 for parts in inner.values()):
            break
        if len(below) < 2 and not split_word(next(iter(tops))):
            break
        inner = {name: parts[1:] for name, parts in inner.items()}
    return inner


def _unlabelled_tests(labelled: Mapping[str, Mapping[str, Parts]]) -> set[str]:
    """Test folders whose one folder is no class of train: a place to put pictures that have no label."""
    classes = {folder: {parts[0] for parts in found.values()} for folder, found in labelled.items()}
    train = set().union(*(found for folder, found in classes.items() if split_word(folder) == "train"))
    return {
        folder
        for folder, found in classes.items()
        if split_word(folder) == "test" and len(found) == 1 and len(train) > 1 and not found & train
    }


def read_classes(files: Mapping[str, Parts], any_class: bool) -> Reading:
    """CLASS/…/FILE. With `any_class` a folder of a split's name is a class if pictures lie directly in it."""
    inside = {name: parts for name, parts in files.items() if len(parts) >= 2}
    if any_class:
        flat = {parts[0] for parts in inside.values() if len(parts) == 2 or not split_word(parts[0])}
        inside = {name: parts for name, parts in inside.items() if not flat or parts[0] in flat}
        return Reading("classes", tuple(Placed(name, p[0], "", "/".join(p[1:])) for name, p in inside.items()))
    inside = {name: parts for name, parts in inside.items() if parts[0].casefold() not in _NO_CLASSES}
    named = sorted({parts[0] for parts in inside.values() if len(parts) == 2 and split_word(parts[0])})
    own = {name: parts for name, parts in inside.items() if not split_word(parts[0])}
    placed = tuple(Placed(name, parts[0], "", "/".join(parts[1:])) for name, parts in own.items())
    fault = _doubtful(own)
    if named and own and not fault:
        fault = (
            f"the folder {named[0]!r} beside the class {min(parts[0] for parts in own.values())!r} has the name of a "
            "split; move it away or rename it, or say --layout classes if it is a class"
        )
    return Reading("classes", placed, fault, tuple(named) if own else ())


def _doubtful(files: Mapping[str, Parts]) -> str:
    """Why the first folders may be no classes: they hold splits, or several hold the same folders."""
    inner: dict[str, set[str]] = defaultdict(set)
    for parts in files.values():
        inner[parts[0]].add(parts[1] if len(parts) >= 3 else "")
    holding = [(top, sorted(filter(split_word, below))) for top, below in sorted(inner.items())]
    for top, words in holding:
        if words:
            return (
                f"{top!r} may be a class, or hold the split {words[0]!r} of the data set; give that folder itself, or "
                "say --layout classes"
            )
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for top, below in sorted(inner.items()):
        if len(below) > 1 and "" not in below:
            groups[tuple(sorted(below))].append(top)
    for same, tops in groups.items():
        if len(tops) > 1:
            return (
                f"the folders {tops[0]!r} and {tops[1]!r} may be classes, or splits with the classes {same[0]!r} and "
                f"{same[1]!r}; rename them to train, valid and test, or say --layout classes"
            )
    return ""


def read_classes_splits(files: Mapping[str, Parts]) -> Reading:
    """CLASS/SPLIT/…/FILE."""
    inside = {n: p for n, p in files.items() if len(p) >= 3 and split_word(p[1]) and not split_word(p[0])}
    splits = _meanings(parts[1] for parts in inside.values())
    placed = (Placed(name, p[0], splits.of[p[1]], "/".join(p[2:])) for name, p in inside.items())
    return Reading("classes-splits", tuple(placed), splits.fault)


def read_names(files: Mapping[str, Parts], any_class: bool) -> Reading:
    """WORD.NUMBER.SUFFIX, the word being the class, in any folder; a split's folder at the top counts as one."""
    inside = {name: parts for name, parts in files.items() if _NUMBERED.fullmatch(parts[-1])}
    splits = _meanings(parts[0] for parts in inside.values() if len(parts) > 1 and split_word(parts[0]))
    placed = []
    for name, parts in inside.items():
        word = parts[-1].partition(".")[0]
        label = f"{word.lower()}s" if word.lower() in ("cat", "dog") else word
        split = splits.of.get(parts[0], "") if len(parts) > 1 else ""
        rest: Sequence[str] = parts[1:] if split else parts
        while split and len(rest) > 1 and split_word(rest[0]):
            rest = rest[1:]
        placed.append(Placed(name, label, split, "/".join(rest)))
    there = {one.split for one in placed}
    fault = splits.fault or ("" if any_class else _named_as_split(placed, "names"))
    if "" in there and there - {"", "train"} and not fault:
        fault = "some pictures lie in a split's folder and some in none; move the others into train"
    return Reading("names", tuple(placed), fault)

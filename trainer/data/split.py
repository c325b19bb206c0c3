"""A data set as a list of examples: its pictures, their names, and a fingerprint of the content."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import google_crc32c

from trainer.data.examples import Example
from trainer.data.index import INDEX, SHARDS, BadIndex, Index
from trainer.data.index import decode as decode_index
from trainer.data.labels import place, read_table
from trainer.data.layout import EXPECTED, Layout, recognise, sentences, unconverted
from trainer.data.readings import Placed
from trainer.data.rules import AS_IT_IS, Rules
from trainer.data.splitting import Shares, cut, shares_of
from trainer.data.unfinished import require_finished
from trainer.exits import Exit, ExitError
from trainer.storage.base import Stat, Storage
from trainer.storage.errors import StorageMissing

SPLITS = ("train", "valid", "test")

MOST_LISTED = 20
"""Classes of which each is counted in a line for people."""


@dataclass(frozen=True)
class DataSet:
    """Examples of each split in order of `within`; an example's id is its place in that order. `test` may be empty.

    `ignored` counts files that are no pictures. `stale_index` says in one line why index.json was not used; `told` what
    was recognised, left aside and cut off, a line each. `cut`: splits that were cut off the pictures of train.
    """

    uri: str
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[Example, ...]]
    ignored: int = 0
    stale_index: str = ""
    told: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """16 hex digits over classes, names and contents; independent of where the bytes are stored."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for split in SPLITS:
            for example in self.splits[split]:
                digest.update(
                    f"\n{split}/{example.within} {example.label} {example.size} {example.crc32c:08x}".encode()
                )
        return digest.hexdigest()[:16]


def stored_path(split: str, example: Example) -> str:
    """SPLIT/CLASS/NAME: what a copy of the data set calls the picture."""
    folder = example.name.partition("/")[0]
    return example.name if not example.inner and _ALIASES.get(folder, folder) == split else f"{split}/{example.within}"


_ALIASES = {"validation": "valid"}


def list_data_set(storage: Storage, rules: Rules = AS_IT_IS) -> DataSet:
    """List what is at the URI by its layout (`trainer.data.layout`); other files are ignored, and counted.

    Splits that are missing are cut off train (`trainer.data.splitting`). A packed data set is listed by its index.json,
    with the same names within splits, ids and fingerprint. For loose pictures an index.json that fits the listing
    saves reading local files for their checksums; one that does not is not used.

    Raises:
        ExitError: 66 when nothing is there or there is no train split; 65 for a layout that cannot be recognised, fewer
            than two classes, an empty class, classes that differ between splits, pictures that are mostly of kinds not
            decoded, or shards that are not those of the index; 64 for rules that cannot be.
    """
    shares = shares_of(rules.split)
    listing = tuple(storage.list())
    if not listing:
        raise nothing_there(storage.uri)
    require_finished(storage.uri, {stat.name for stat in listing})
    index, fault = index_of(storage, listing)
    if index is not None and index.shards:
        return packed_data_set(storage.uri, index, listing)
    if index is None and fault and any(stat.name.startswith(SHARDS) for stat in listing):
        raise ExitError(Exit.BAD_DATA, f"{storage.uri}/{INDEX}: {fault}; pack the data set again")
    if index is not None and rules.layout == "auto" and not rules.labels:
        rules = replace(rules, layout="splits")  # import writes these, and the index last
    layout = layout_of(storage, listing, rules)
    stats = {stat.name: stat for stat in listing}
    if index is not None:
        fault = _unfit(index, [stats[one.name] for one in layout.placed])
        if not fault:
            known = {picture.path: picture.crc32c for picture in index.pictures}
            stats = {name: replace(stat, crc32c=known.get(name, stat.crc32c)) for name, stat in stats.items()}
    classes = check_layout(storage.uri, layout)
    examples = examples_of(storage, classes, layout.placed, stats)
    made = _complete(storage.uri, classes, layout, examples, shares, rules)
    return replace(
        made, stale_index=fault and f"{storage.uri}/{INDEX} is not used: {fault}; `catdog data import` writes it again"
    )


def layout_of(storage: Storage, listing: Iterable[Stat], rules: Rules, known: Collection[str] = ()) -> Layout:
    """The layout of what is listed, by the table of labels where there is one; `known` as for `recognise`."""
    names = {stat.name for stat in listing} - {INDEX}
    if rules.labels:
        table = read_table(storage.uri, names, storage.read, rules.labels, rules.labels_columns)
        layout = place(storage.uri, table.where, table.rows, names - {table.name})
    else:
        layout = recognise(storage.uri, names, layout=rules.layout, known=known)
    left = layout.unconverted
    if sum(one.count for one in left) > len(layout.placed):
        raise unconverted(storage.uri, left, len(layout.placed))
    return layout


def nothing_there(uri: str) -> ExitError:
    """66: there is no such place, it is a file, or it is an empty one."""
    path = Path(uri)
    if "://" in uri:
        words = "nothing is there: no object's name begins with this; is the address right?"
    elif path.is_file():
        words = "a file, not a folder; `catdog data import` reads archives"
    elif not path.exists():
        words = "no such folder; is the path right?"
    else:
        words = f"no pictures here, the folder is empty; a data set is {EXPECTED}"
    return ExitError(Exit.INPUT_MISSING, f"{uri}: {words}")


def _complete(
    uri: str,
    classes: tuple[str, ...],
    layout: Layout,
    found: Mapping[str, tuple[Example, ...]],
    shares: Shares,
    rules: Rules,
) -> DataSet:
    """The data set, with the splits that it lacks cut off train."""
    there = layout.splits or {"train"}
    missing = [split for split in SPLITS if split not in there]
    items = [(one, classes[one.label], (one.size, one.crc32c)) for one in found["train"]]
    made = cut(items, shares, rules.seed, missing)
    new = tuple(split for split in missing if made.splits.get(split))
    told = sentences(layout)
    if "valid" in missing and "valid" not in new:
        raise ExitError(
            Exit.BAD_DATA, f"{uri}: no valid split, and no class has enough different pictures to cut one off train"
        )
    if new:
        told.append(
            f"{' and '.join(new)}: not there, cut off train by --split {rules.split} and --seed {rules.seed}, "
            "the same on every machine"
        )
        if made.whole:
            told.append(f"too few different pictures to cut, all in train: {', '.join(made.whole)}")
    splits = {split: tuple(made.splits.get(split, ())) or found[split] for split in SPLITS}
    return DataSet(uri, classes, splits, layout.ignored, told=tuple(told), cut=new)


def index_of(storage: Storage, listing: Iterable[Stat]) -> tuple[Index | None, str]:
    """The index, if there is a readable one; else why it cannot be read, or nothing."""
    if all(stat.name != INDEX for stat in listing):
        return None, ""
    return _read_index(storage)


def _read_index(storage: Storage) -> tuple[Index | None, str]:
    try:
        return decode_index(storage.read(INDEX)), ""
    except BadIndex as error:
        return None, str(error)
    except StorageMissing:
        return None, "it disappeared"


def _unfit(index: Index, found: Iterable[Stat]) -> str:
    """How the index of loose pictures differs from the listing, in a few words; empty when it matches."""
    listed = {stat.name: stat for stat in found}
    for picture in index.pictures:
        stat = listed.pop(picture.path, None)
        if stat is None:
            return f"it names {picture.path!r}, which is not there"
        if stat.size != picture.size:
            return f"{picture.path!r} has {stat.size:,} bytes, not {picture.size:,}"
        if stat.crc32c not in (None, picture.crc32c):
            return f"{picture.path!r} has different content"
    return f"it does not name {next(iter(listed))!r}" if listed else ""


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
    """The data set of these pictures, whose names are SPLIT/CLASS/NAME and whose checksums are known; nothing is read.

    Raises:
        ExitError: 65 for fewer than two classes, or classes that differ between splits; 66 when train is missing.
    """
    stats = {stat.name: stat for stat in pictures}
    parts = {name: name.split("/", 2) for name in stats}
    placed = tuple(
        Placed(name, p[1], _ALIASES.get(p[0], p[0]), p[2])
        for name, p in parts.items()
        if len(p) == 3 and _ALIASES.get(p[0], p[0]) in SPLITS
    )
    layout = Layout("splits", "", placed, ())
    classes = check_layout(uri, layout)
    found = _labelled(classes, placed, stats)
    return DataSet(uri, classes, found, len(stats) - len(placed))


def check_layout(uri: str, layout: Layout) -> tuple[str, ...]:
    """The classes of a data set whose splits have the same.

    Raises:
        ExitError: 66 when there is no train split; 65 for fewer than two classes, one without a picture, or one that is
            not in every split.
    """
    found: dict[str, set[str]] = {}
    for one in layout.placed:
        found.setdefault(one.split or "train", set()).add(one.label)
    folders = {split: set(labels) for split, labels in found.items()}
    for split, label in layout.empty:
        if split in folders:
            folders[split].add(label)
    if "train" not in found:
        raise ExitError(Exit.INPUT_MISSING, f"{uri}: the train split is missing; expected train/CLASS/*.jpg")
    classes = tuple(sorted(folders["train"]))
    if len(classes) < 2:
        raise ExitError(Exit.BAD_DATA, f"{uri}/train: only one class, {classes[0]!r}; at least two are needed")
    for split in filter(folders.__contains__, SPLITS):
        odd = sorted(folders[split] ^ set(classes))
        if odd:
            where = "train" if odd[0] in folders[split] else split
            raise ExitError(
                Exit.BAD_DATA, f"{uri}: class {odd[0]!r} is not in {where}; every split must have the same classes"
            )
        empty = [name for name in classes if name not in found[split]]
        if empty:
            raise ExitError(Exit.BAD_DATA, f"{uri}/{split}/{empty[0]}: no .jpg, .jpeg or .png in this class")
    return classes


def examples_of(
    storage: Storage, classes: tuple[str, ...], placed: Sequence[Placed], stats: Mapping[str, Stat]
) -> dict[str, tuple[Example, ...]]:
    """Examples of each split in order of `within`; local files are read for their checksums."""
    checksum = _checksum_of(storage)
    with ThreadPoolExecutor(max_workers=16) as pool:
        crcs = list(pool.map(checksum, (stats[one.name] for one in placed)))
    known = {one.name: replace(stats[one.name], crc32c=crc) for one, crc in zip(placed, crcs, strict=True)}
    return _labelled(classes, placed, known)


def _labelled(
    classes: Sequence[str], placed: Iterable[Placed], stats: Mapping[str, Stat]
) -> dict[str, tuple[Example, ...]]:
    numbers = {name: number for number, name in enumerate(classes)}
    found: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for one in placed:
        stat, within = stats[one.name], f"{one.label}/{one.rest}"
        inner = "" if one.name.partition("/")[2] == within else within
        example = Example(one.name, numbers[one.label], stat.size, stat.crc32c or 0, inner=inner)
        found[one.split or "train"].append(example)
    return {
        split: tuple(sorted(examples, key=lambda one: (one.within.encode(), one.name)))
        for split, examples in found.items()
    }


def _checksum_of(storage: Storage) -> Callable[[Stat], int]:
    def checksum(stat: Stat) -> int:
        return stat.crc32c if stat.crc32c is not None else google_crc32c.value(storage.read(stat.name))

    return checksum


def describe(data: DataSet) -> list[str]:
    """Lines of text, one per split, worded like image_dataset_from_directory."""
    lines = [data.stale_index] if data.stale_index else []
    lines += data.told
    for split in SPLITS:
        if not data.splits[split]:
            lines.append(f"{split}: none")
            continue
        counts = Counter(example.label for example in data.splits[split])
        lines.append(
            f"{split}: Found {len(data.splits[split])} files belonging to {len(counts)} classes. "
            f"({_by_class(data.classes, counts)})"
        )
    return lines


def _by_class(classes: Sequence[str], counts: Mapping[int, int]) -> str:
    """Every class and its number of pictures, or of many classes those with the fewest and the most."""
    if len(classes) <= MOST_LISTED:
        return ", ".join(f"{name} {counts[label]}" for label, name in enumerate(classes))
    fewest, most = (chosen(range(len(classes)), key=lambda label: counts[label]) for chosen in (min, max))
    if counts[fewest] == counts[most]:
        return f"{counts[most]} each"
    return f"{counts[fewest]} of {classes[fewest]} to {counts[most]} of {classes[most]}"

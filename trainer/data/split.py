"""A data set as a list of examples: what is listed at an address, by its index or by the names of the files."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import google_crc32c
import numpy as np

from trainer.data.data_set import SPLITS, DataSet, fingerprint_of, split_of
from trainer.data.examples import Example, Examples, numbers_of
from trainer.data.index import INDEX, SHARDS, BadIndex, Index, is_index
from trainer.data.index_reading import read_index
from trainer.data.labels import place, read_table
from trainer.data.layout import EXPECTED, Layout, recognise, sentences, unconverted
from trainer.data.readings import Placed
from trainer.data.rules import AS_IT_IS, Rules
from trainer.data.splitting import Shares, cut, shares_of
from trainer.data.unfinished import require_finished
from trainer.exits import Exit, ExitError
from trainer.storage.base import Stat, Storage


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
    shares_of(rules.split)  # what cannot be is told before the listing, which may take long
    return data_set_among(storage, {stat.name: stat for stat in storage.list()}, rules)


def data_set_among(storage: Storage, there: Mapping[str, Stat], rules: Rules) -> DataSet:
    """As `list_data_set`, of a storage that was listed already: `there` is everything in it, by name."""
    shares = shares_of(rules.split)
    if not there:
        raise nothing_there(storage.uri)
    require_finished(storage.uri, there)
    index, fault = index_of(storage, there)
    if index is not None and index.shards:
        return packed_data_set(storage.uri, index, there)
    if index is None and fault and any(name.startswith(SHARDS) for name in there):
        raise ExitError(Exit.BAD_DATA, f"{storage.uri}/{INDEX}: {fault}; pack the data set again")
    if index is not None and rules.layout == "auto" and not rules.labels:
        rules = replace(rules, layout="splits")  # import writes these, and the index last
    layout = layout_of(storage, there, rules)
    known: dict[str, int] = {}
    if index is not None:
        fault = _unfit(index, [there[one.name] for one in layout.placed])
        known = {} if fault else _checksums(index)
    classes = check_layout(storage.uri, layout)
    examples = examples_of(storage, classes, layout.placed, there, known)
    made = _complete(storage.uri, classes, layout, examples, shares, rules)
    return replace(
        made, stale_index=fault and f"{storage.uri}/{INDEX} is not used: {fault}; `catdog data import` writes it again"
    )


def layout_of(storage: Storage, listed: Iterable[str], rules: Rules, known: Collection[str] = ()) -> Layout:
    """The layout of what is listed, by the table of labels where there is one; `known` as for `recognise`."""
    names = {name for name in listed if not is_index(name)}
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
    found: Mapping[str, Examples],
    shares: Shares,
    rules: Rules,
) -> DataSet:
    """The data set, with the splits that it lacks cut off train."""
    there = layout.splits or {"train"}
    missing = [split for split in SPLITS if split not in there]
    if not missing:
        return DataSet.of(uri, classes, found, ignored=layout.ignored, told=tuple(sentences(layout)))
    train = found["train"]
    columns = (numbers_of(column) for column in (train.labels, train.sizes, train.crc32c))
    items = ((i, classes[label], (size, crc)) for i, (label, size, crc) in enumerate(zip(*columns, strict=True)))
    made = cut(items, shares, rules.seed, missing)
    own = {split: train.take(np.array(ids, np.int64)) for split, ids in made.splits.items()}
    new = tuple(split for split in missing if own.get(split))
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
    splits = {split: own.get(split) or found[split] for split in SPLITS}
    return DataSet.of(uri, classes, splits, ignored=layout.ignored, told=tuple(told), cut=new)


def index_of(storage: Storage, there: Mapping[str, Stat]) -> tuple[Index | None, str]:
    """The index, if there is a readable one; else why it cannot be read, or nothing. `there`: what is listed."""
    if INDEX not in there:
        return None, ""
    try:
        return read_index(storage, there), ""
    except BadIndex as error:
        return None, str(error)


def _unfit(index: Index, found: Iterable[Stat]) -> str:
    """How the index of loose pictures differs from the listing, in a few words; empty when it matches."""
    listed = {stat.name: stat for stat in found}
    for split in SPLITS:
        examples = index.parts[split].examples
        columns = numbers_of(examples.sizes), numbers_of(examples.crc32c)
        for name, size, checksum in zip(examples.names, *columns, strict=True):
            stat = listed.pop(name, None)
            if stat is None:
                return f"it names {name!r}, which is not there"
            if stat.size != size:
                return f"{name!r} has {stat.size:,} bytes, not {size:,}"
            if stat.crc32c not in (None, checksum):
                return f"{name!r} has different content"
    return f"it does not name {next(iter(listed))!r}" if listed else ""


def _checksums(index: Index) -> dict[str, int]:
    parts = [index.parts[split].examples for split in SPLITS]
    return {name: crc for part in parts for name, crc in zip(part.names, numbers_of(part.crc32c), strict=True)}


def packed_data_set(uri: str, index: Index, there: Mapping[str, Stat]) -> DataSet:
    """The data set that the index of shards describes; `there` is what is listed.

    Raises:
        ExitError: 65 when a shard is missing or does not match the index, or the index is inconsistent; else as in
            `list_data_set`.
    """
    for shard in index.shards:
        stat = there.get(shard.name)
        if stat is None or stat.size != shard.size or stat.crc32c not in (None, shard.crc32c):
            fault = "is missing" if stat is None else f"does not match {INDEX}"
            raise ExitError(Exit.BAD_DATA, f"{uri}/{shard.name}: this shard {fault}; pack the data set again")
    splits = {split: index.parts[split].examples for split in SPLITS}
    used = {split: np.unique(examples.labels) for split, examples in splits.items() if examples}
    classes = check_classes(uri, {split: {index.classes[label] for label in found} for split, found in used.items()})
    if classes != index.classes or not (index.trusted or fingerprint_of(classes, splits) == index.fingerprint):
        raise ExitError(
            Exit.BAD_DATA, f"{uri}/{INDEX}: damaged: its pictures do not match its fingerprint; pack the data set again"
        )
    own = {shard.name for shard in index.shards}
    ignored = sum(name not in own and not is_index(name) for name in there)
    return DataSet(uri, classes, splits, index.fingerprint, ignored)


def data_set_of(uri: str, pictures: Iterable[Stat]) -> DataSet:
    """The data set of these pictures, whose names are SPLIT/CLASS/NAME and whose checksums are known; nothing is read.

    Raises:
        ExitError: 65 for fewer than two classes, or classes that differ between splits; 66 when train is missing.
    """
    stats = {stat.name: stat for stat in pictures}
    parts = {name: name.split("/", 2) for name in stats}
    placed = tuple(
        Placed(name, p[1], split_of(p[0]), p[2])
        for name, p in parts.items()
        if len(p) == 3 and split_of(p[0]) in SPLITS
    )
    layout = Layout("splits", "", placed, ())
    classes = check_layout(uri, layout)
    return DataSet.of(uri, classes, _labelled(classes, placed, stats, {}), ignored=len(stats) - len(placed))


def check_layout(uri: str, layout: Layout) -> tuple[str, ...]:
    """The classes of a data set whose splits have the same; raises what `check_classes` does."""
    found: dict[str, set[str]] = {}
    for one in layout.placed:
        found.setdefault(one.split or "train", set()).add(one.label)
    return check_classes(uri, found, layout.empty)


def check_classes(uri: str, found: Mapping[str, set[str]], empty: Iterable[tuple[str, str]] = ()) -> tuple[str, ...]:
    """The classes of a data set, of which each split has those that were found; `empty` are (split, class) of folders.

    Raises:
        ExitError: 66 when there is no train split; 65 for fewer than two classes, one without a picture, or one that is
            not in every split.
    """
    folders = {split: set(labels) for split, labels in found.items()}
    for split, label in empty:
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
        missing = [name for name in classes if name not in found[split]]
        if missing:
            raise ExitError(Exit.BAD_DATA, f"{uri}/{split}/{missing[0]}: no .jpg, .jpeg or .png in this class")
    return classes


def examples_of(
    storage: Storage,
    classes: tuple[str, ...],
    placed: Sequence[Placed],
    there: Mapping[str, Stat],
    known: Mapping[str, int],
) -> dict[str, Examples]:
    """Examples of each split in order of `within`.

    Local files are read for their checksums, but for those whose checksum is known by name.
    """
    unknown = [one.name for one in placed if there[one.name].crc32c is None and one.name not in known]
    with ThreadPoolExecutor(max_workers=16) as pool:
        read = pool.map(lambda name: google_crc32c.value(storage.read(name)), unknown)
        return _labelled(classes, placed, there, {**known, **dict(zip(unknown, read, strict=True))})


def _labelled(
    classes: Sequence[str], placed: Iterable[Placed], stats: Mapping[str, Stat], known: Mapping[str, int]
) -> dict[str, Examples]:
    numbers = {name: number for number, name in enumerate(classes)}
    found: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for one in placed:
        stat, within = stats[one.name], f"{one.label}/{one.rest}"
        inner = "" if one.name.partition("/")[2] == within else within
        checksum = known.get(one.name, 0) if stat.crc32c is None else stat.crc32c
        found[one.split or "train"].append(Example(one.name, numbers[one.label], stat.size, checksum, inner=inner))
    for examples in found.values():
        examples.sort(key=lambda one: (one.within.encode(), one.name))
    return {split: Examples.of(examples) for split, examples in found.items()}

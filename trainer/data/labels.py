"""Labels from a table: which row is which picture. Pure, but for `read_table`."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.data.formats import CONVERTED_SUFFIXES
from trainer.data.kinds import PICTURE, kind_of
from trainer.data.layout import UNLABELLED, UNMATCHED, Aside, Layout, aside_of
from trainer.data.readings import Placed, split_word
from trainer.exits import Exit, ExitError
from trainer.fields import flag
from trainer.storage.opening import open_storage

COLUMNS = ("path", "label", "split")


@dataclass(frozen=True)
class Row:
    """One row; `split` is "" where the table has none."""

    path: str
    label: str
    split: str = ""


@dataclass(frozen=True)
class Table:
    """A table of labels: where it is, its rows, and what --labels calls it, which may be a file of the data set."""

    where: str
    rows: tuple[Row, ...]
    name: str


def columns_of(text: str) -> dict[str, str]:
    """Read "path=id,label=breed,split=fold": the names of the table's columns; path and label are called so by default.

    Raises:
        ExitError: 64 naming the flag.
    """
    named = {"path": "path", "label": "label"}
    for part in filter(None, (part.strip() for part in text.split(","))):
        column, equals, name = part.partition("=")
        if not equals or column.strip() not in COLUMNS or not name.strip():
            raise ExitError(
                Exit.BAD_OPTION,
                f"{flag('labels_columns')} is {text!r}; it must be like path=id,label=breed (and split=fold)",
            )
        named[column.strip()] = name.strip()
    return named


def read_table(uri: str, names: Container[str], read: Callable[[str], bytes], labels: str, columns: str) -> Table:
    """The table that --labels and --labels-columns name, of the data set at `uri` with files of these names.

    Raises:
        ExitError: 66 when there is no such table; 64 and 65 as `columns_of` and `parse`.
    """
    named = columns_of(columns)
    where, data = _found(uri, names, read, labels)
    return Table(where, parse(where, data, named), labels)


def _found(uri: str, names: Container[str], read: Callable[[str], bytes], labels: str) -> tuple[str, bytes]:
    """Where it is, and its bytes: an address, a file of this machine, or else one of the data set."""
    if "://" in labels or Path(labels).is_file():
        folder, _, file = labels.rpartition("/")
        place = open_storage(folder or ("/" if labels.startswith("/") else "."), concurrency=4)
        return labels, place.read(file)
    if labels not in names:
        raise ExitError(Exit.INPUT_MISSING, f"--labels {labels}: there is no such file, neither here nor in {uri}")
    return f"{uri}/{labels}", read(labels)


def parse(where: str, data: bytes, columns: Mapping[str, str]) -> tuple[Row, ...]:
    """The rows of a table with a header, its columns parted by commas, semicolons or tabs.

    Raises:
        ExitError: 65 when it is not UTF-8, lacks a column, or has a split or class that cannot be.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExitError(Exit.BAD_DATA, f"{where}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
    try:
        there = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = there
        named = dict(columns)
        if "split" not in named and "split" in there:
            named["split"] = "split"
        missing = [name for name in named.values() if name not in there]
        if missing:
            raise ExitError(
                Exit.BAD_DATA,
                f"{where}: no column {missing[0]!r}; there are {', '.join(there)}; name them with "
                f"{flag('labels_columns')} path=…,label=…",
            )
        rows = [{key: (row[name] or "").strip() for key, name in named.items()} for row in reader]
    except csv.Error as error:
        raise ExitError(Exit.BAD_DATA, f"{where}: line {reader.line_num}: {error}") from error
    return tuple(_row(where, at, row) for at, row in enumerate(rows, start=2) if row["path"])


def _row(where: str, line: int, row: Mapping[str, str]) -> Row:
    split = row.get("split", "")
    meaning = split_word(split) if split else ""
    if split and not meaning:
        raise ExitError(Exit.BAD_DATA, f"{where}: row {line}: split {split!r}; it must be train, valid or test")
    if "/" in row["label"] or row["label"] in (".", ".."):
        raise ExitError(
            Exit.BAD_DATA, f"{where}: row {line}: class {row['label']!r}; it cannot be the name of a folder"
        )
    return Row(
        row["path"].replace("\\", "/").removeprefix("./"), row["label"], "valid" if meaning == "eval" else meaning
    )


def place(uri: str, where: str, rows: Iterable[Row], names: Iterable[str], accepts: Iterable[str] = ()) -> Layout:
    """The layout that the table gives these files. A row's path is a file's name, the end of it after a slash, or
    either without the suffix, if only one file is meant.

    Raises:
        ExitError: 65 when no row is a picture, a row may be several, or a picture has two classes.
    """
    kinds = {name: kind_of(name) for name in sorted(names)}
    kinds = {name: PICTURE if kind in accepts else kind for name, kind in kinds.items()}
    pictures = [name for name, kind in kinds.items() if kind == PICTURE]
    candidates = [name for name, kind in kinds.items() if kind == PICTURE or kind in CONVERTED_SUFFIXES]
    whole, stems = _endings(candidates)
    found: dict[str, Row] = {}
    lost: list[Row] = []
    for row in rows:
        meant = whole.get(row.path) or stems.get(row.path) or []
        if len(meant) > 1:
            meant = [name for name in meant if name == row.path] or meant
        if len(meant) > 1:
            raise ExitError(
                Exit.BAD_DATA, f"{where}: {row.path!r} may be {meant[0]!r} or {meant[1]!r}; give longer paths"
            )
        if not meant:
            lost.append(row)
            continue
        first = found.setdefault(meant[0], row)
        if (first.label, first.split) != (row.label, row.split):
            raise ExitError(Exit.BAD_DATA, f"{where}: {meant[0]!r} has two labels, {first.label!r} and {row.label!r}")
    taken = {name: found[name] for name in pictures if name in found and found[name].label}
    if not taken:
        raise ExitError(
            Exit.BAD_DATA,
            f"{where}: none of its rows is a picture of {uri}"
            + (f"; the first is {lost[0].path!r}" if lost else "")
            + (f", a picture is {pictures[0]!r}" if pictures else ""),
        )
    classes = {row.label for row in taken.values()}
    if len(classes) < 2:
        raise ExitError(Exit.BAD_DATA, f"{where}: only one class, {classes.pop()!r}; at least two are needed")
    splits = _splits_of(taken)
    placed = tuple(Placed(name, row.label, splits[name], name) for name, row in taken.items())
    aside = aside_of({n: UNLABELLED if kind == PICTURE else kind for n, kind in kinds.items() if n not in taken})
    if lost:
        aside += (Aside(UNMATCHED, len(lost), lost[0].path),)
    return Layout("table", "", placed, aside)


def _endings(names: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Names by each of their endings that begins after a slash, with suffix and without."""
    whole: dict[str, list[str]] = defaultdict(list)
    stems: dict[str, list[str]] = defaultdict(list)
    for name in names:
        parts = name.split("/")
        for at in range(len(parts)):
            ending = "/".join(parts[at:])
            whole[ending].append(name)
            folder, _, file = ending.rpartition("/")
            stem = file.rpartition(".")[0]
            if stem:
                stems[f"{folder}/{stem}" if folder else stem].append(name)
    return whole, stems


def _splits_of(taken: Mapping[str, Row]) -> dict[str, str]:
    """By the table where it tells splits, else by the folders where all pictures lie in those of splits."""
    if any(row.split for row in taken.values()):
        splits = {name: row.split or "train" for name, row in taken.items()}
    else:
        splits = {name: split_word(name.split("/")[0]) if "/" in name else "" for name in taken}
        splits = {name: "valid" if split == "eval" else split for name, split in splits.items()}
        if "" in splits.values():
            return dict.fromkeys(taken, "")
    return dict.fromkeys(taken, "") if set(splits.values()) <= {"train"} else splits

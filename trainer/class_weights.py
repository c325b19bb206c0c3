"""--class-weights: what is asked, a word or a file, → how much a picture of each class counts in the training loss.

A configuration keeps a file's weights as one line of JSON, so that nothing depends on the file once a run has begun.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.config import BALANCED, CLASS_WEIGHTS, NO_WEIGHTS
from trainer.exits import Exit, ExitError
from trainer.storage.errors import StorageMissing
from trainer.storage.opening import open_storage

LOWEST, HIGHEST = 1e-6, 1e6
"""Bounds of a weight: within them no sum over a batch leaves float32."""

LOPSIDED = 3.0
"""Largest class over smallest class of train from which on training without weights is remarked upon."""


def inlined(asked: str, known: str = NO_WEIGHTS) -> str:
    """`none` and `balanced` as they are; a file as its weights in one line of JSON, the same for the same weights.

    `known` is what the run folder has of a file that is not there any more.

    Raises:
        ExitError: 66 when there is no such file, 65 when it holds no weights; 64, 74 or 77 from storage.
    """
    if asked in CLASS_WEIGHTS:
        return asked
    if asked.lstrip().startswith("{"):
        return _line(parse(asked, "--class-weights"))
    try:
        text = _read(asked)
    except StorageMissing as error:
        if known.startswith("{"):
            return known
        raise ExitError(
            Exit.INPUT_MISSING, f"--class-weights is {asked!r}: neither {BALANCED} nor {NO_WEIGHTS}, and no such file"
        ) from error
    return _line(parse(text, asked))


def _line(weights: Mapping[str, float]) -> str:
    return json.dumps(dict(sorted(weights.items())), ensure_ascii=False)


def _read(uri: str) -> str:
    folder, _, name = uri.rpartition("/")
    if not name:
        raise StorageMissing(f"{uri!r}: no file")
    data = open_storage(folder or ("/" if uri.startswith("/") else ".")).read(name)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExitError(Exit.BAD_DATA, f"{uri}: not text in UTF-8 ({error.reason} at byte {error.start})") from error


def parse(text: str, where: str) -> dict[str, float]:
    """The weights in a JSON object {"class": number}, or in lines `class,number` with or without a heading.

    Raises:
        ExitError: 65 naming `where`, and the class or line that is wrong.
    """
    pairs = _of_json(text, where) if text.lstrip().startswith("{") else _of_table(text, where)
    weights: dict[str, float] = {}
    for name, value in pairs:
        if name in weights:
            raise ExitError(Exit.BAD_DATA, f"{where}: class {name!r} has two weights")
        number = _number(value)
        if number is None or not LOWEST <= number <= HIGHEST:
            raise ExitError(
                Exit.BAD_DATA,
                f"{where}: the weight of class {name!r} is {value!r}; "
                f"it must be a number from {LOWEST:f} to {HIGHEST:,.0f}",
            )
        weights[name] = number
    if not weights:
        raise ExitError(Exit.BAD_DATA, f'{where}: no weights; expected {{"class": number, …}} or lines of class,number')
    return weights


def _of_json(text: str, where: str) -> list[tuple[str, Any]]:
    try:
        pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs)
    except (ValueError, RecursionError) as error:
        raise ExitError(Exit.BAD_DATA, f"{where}: not JSON: {error}") from error
    return list(pairs)


def _of_table(text: str, where: str) -> list[tuple[str, Any]]:
    lines = [line for line in text.splitlines() if line.strip()]
    delimiter = next((one for one in ",;\t" if one in lines[0]), ",") if lines else ","
    try:
        rows = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error as error:
        raise ExitError(Exit.BAD_DATA, f"{where}: not CSV: {error}") from error
    for number, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise ExitError(Exit.BAD_DATA, f"{where}: row {number} is not class,number: {', '.join(row)[:80]!r}")
    heading = bool(rows) and _number(rows[0][1]) is None
    return [(name.strip(), value.strip()) for name, value in rows[heading:]]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def resolve(config_value: str, classes: Sequence[str], counts: Sequence[int]) -> dict[str, float] | None:
    """A weight for each class, in order of classes; None without weights. `counts` are train's pictures of each class.

    `config_value` is as of `inlined`. Balanced weights give each class the same sum: n / (classes · n of the class).

    Raises:
        ExitError: 65 when the weights are not of just these classes.
    """
    if config_value == NO_WEIGHTS:
        return None
    if config_value == BALANCED:
        total = sum(counts)
        return {name: total / (len(classes) * max(count, 1)) for name, count in zip(classes, counts, strict=True)}
    weights = parse(config_value, "--class-weights")
    if odd := sorted(set(weights) ^ set(classes)):
        fault = "which is no class of the data set" if odd[0] in weights else "which has no weight"
        raise ExitError(
            Exit.BAD_DATA,
            f"--class-weights: {odd[0]!r}, {fault}; the file must name each class once: {', '.join(classes)}",
        )
    return {name: weights[name] for name in classes}


def advice(config_value: str, classes: Sequence[str], counts: Sequence[int]) -> str:
    """One line when classes of train differ much in size and no weights make up for it; else empty."""
    largest, smallest = max(counts), min(counts)
    if config_value != NO_WEIGHTS or largest < LOPSIDED * max(smallest, 1):
        return ""
    most, least = classes[counts.index(largest)], classes[counts.index(smallest)]
    return (
        f"train is unbalanced: {largest:,} pictures of {most}, {smallest:,} of {least}; "
        f"with --class-weights {BALANCED} each class counts the same in the loss"
    )

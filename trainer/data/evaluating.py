"""Which pictures a model is evaluated on, of what is at an address."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from trainer.data.examples import Examples
from trainer.data.index import Index
from trainer.data.rules import Rules
from trainer.data.split import data_set_among, examples_of, index_of, layout_of, nothing_there, packed_data_set
from trainer.exits import Exit, ExitError
from trainer.storage.base import Stat, Storage

ORDER = ("test", "valid", "train")
"""The first of these splits that is there is taken."""


def pictures_to_evaluate(
    storage: Storage, classes: tuple[str, ...], trained_on: str, rules: Rules, say: Callable[[str], None]
) -> Examples:
    """Of a split data set its test split, else the next of `ORDER`; of any other set all.

    Of the pictures that the model was trained on, whose splits were cut, it is the same test split.

    Args:
        storage: what is evaluated.
        classes: those of the model.
        trained_on: fingerprint of the data set of the run.
        rules: as the run had them.
        say: told in a line what was taken, where it is no test split.

    Raises:
        ExitError: 66 when nothing is there; 65 for a class the model does not know; else as `data_set_among`.
    """
    there = {stat.name: stat for stat in storage.list()}
    if not there:
        raise nothing_there(storage.uri)
    index, _ = index_of(storage, there)
    if index is not None and index.shards:
        return _packed(storage, index, there, classes, say)
    rules = replace(rules, layout="classes") if rules.layout == "auto" and "test" in classes else rules
    layout = layout_of(storage, there, rules, classes)
    if not layout.splits and (own := _cut_as_trained(storage, there, trained_on, rules)):
        taken = _first(own)
        say(f"the run was trained on these pictures: its {taken} split is taken, as it was cut")
        return own[taken]
    taken = next((split for split in ORDER if split in layout.splits), "")
    if taken and taken != "test":
        say(f"no test split here: {taken} is taken")
    placed = [replace(one, split="train") for one in layout.placed if one.split == taken]
    _require_known(storage.uri, {one.label for one in placed}, classes)
    return examples_of(storage, classes, placed, there, {})["train"]


def _packed(
    storage: Storage, index: Index, there: Mapping[str, Stat], classes: tuple[str, ...], say: Callable[[str], None]
) -> Examples:
    data = packed_data_set(storage.uri, index, there)
    _require_known(storage.uri, set(data.classes), classes)
    taken = _first(data.splits)
    if taken != "test":
        say(f"no test split here: {taken} is taken")
    return data.splits[taken].relabelled([classes.index(name) for name in data.classes])


def _first(splits: Mapping[str, Examples]) -> str:
    return next(split for split in ORDER if splits[split])


def _cut_as_trained(
    storage: Storage, there: Mapping[str, Stat], trained_on: str, rules: Rules
) -> Mapping[str, Examples] | None:
    """The splits of the run, where these are its pictures."""
    try:
        data = data_set_among(storage, there, rules)
    except ExitError:
        return None  # a set to evaluate on may be less than one to train on
    return data.splits if data.fingerprint == trained_on else None


def _require_known(uri: str, found: set[str], classes: tuple[str, ...]) -> None:
    unknown = sorted(found - set(classes))
    if unknown:
        raise ExitError(Exit.BAD_DATA, f"{uri}: class {unknown[0]!r} is not one of the model's: {', '.join(classes)}")

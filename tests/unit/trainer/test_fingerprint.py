import dataclasses
from typing import Any

import pytest

from trainer.config import RunConfig, from_mapping
from trainer.fields import options
from trainer.fingerprint import IDENTITY, differences, fingerprint

TYPES = {field.name: field.type for field in dataclasses.fields(RunConfig)}
OTHERS = sorted(set(TYPES) - set(IDENTITY))


def another_value(name: str) -> Any:
    """A valid value that is not the default."""
    option, default = options(RunConfig)[name], getattr(RunConfig(), name)
    if option.choices:
        return next(choice for choice in option.choices if choice != default)
    if TYPES[name] is bool:
        return not default
    if name == "stall_timeout":
        return "90.5"
    if name == "track":
        return "mlflow:http://mlflow:5000"
    if TYPES[name] is str:
        return default + "x"
    if TYPES[name] is float:
        return default / 2 if default else 0.25
    return default + 1 if option.high is None or default < option.high else default - 1


@pytest.mark.parametrize("name", IDENTITY)
def test_each_identity_field_changes_the_fingerprint(name: str) -> None:
    changed = dataclasses.replace(RunConfig(), **{name: another_value(name)})
    assert fingerprint(changed) != fingerprint(RunConfig())
    assert differences(RunConfig(), changed) == {name: (getattr(RunConfig(), name), another_value(name))}


def test_pixel_path_1_leaves_the_fingerprint_as_it_was_before_there_was_another() -> None:
    old = RunConfig(pixel_path=1)
    assert fingerprint(old) == "6e025edc94fd12df" != fingerprint(RunConfig())  # as recorded before


def test_the_square_leaves_the_fingerprint_as_it_was_before_there_was_a_choice() -> None:
    assert fingerprint(RunConfig(resize="squash", antialias=False)) == "4a424ae137e8f69d"  # as recorded before
    assert fingerprint(RunConfig(model="small", flip=True)) == "bbe09e28b52c04e6"
    ways = [(resize, antialias) for resize in ("squash", "crop", "pad") for antialias in (False, True)]
    assert len({fingerprint(RunConfig(resize=resize, antialias=smooth)) for resize, smooth in ways}) == 6


@pytest.mark.parametrize("name", OTHERS)
def test_no_other_field_changes_the_fingerprint(name: str) -> None:
    changed = dataclasses.replace(RunConfig(), **{name: another_value(name)})
    assert changed != RunConfig()
    assert fingerprint(changed) == fingerprint(RunConfig())
    assert differences(RunConfig(), changed) == {}


def test_what_does_not_train_other_weights_is_no_identity() -> None:
    assert set(OTHERS) >= {"workers", "epochs", "steps", "checkpoint_every", "run", "data", "cache_dir", "log_every"}
    assert set(IDENTITY) >= {"model", "batch_size", "seed", "precision", "deterministic", "slices", "learning_rate"}


def test_the_fingerprint_is_of_values_not_of_json_types() -> None:
    assert fingerprint(from_mapping({"learning_rate": 1})) == fingerprint(RunConfig(learning_rate=1.0))

"""What the features of pictures depend on. How they are computed is tested in test_pretrained.py."""

import itertools
import json
from typing import Any

import pytest

from trainer.config import RESIZES, RunConfig
from trainer.data.decode import path_of
from trainer.exits import Exit, ExitError
from trainer.training.features import facts_of, require_same_bits
from trainer.training.strategy import Devices


def facts(**options: Any) -> str:
    config = RunConfig(model="efficientnet-lite0", **options)
    return json.dumps(facts_of(config, "", path_of(config), Devices("CPU", ("CPU:0",))))


def test_features_are_of_pictures_made_square_in_one_way() -> None:
    ways = itertools.product(RESIZES, (False, True), (180, 224), (1, 2))
    made = {facts(resize=way, antialias=smooth, image_size=size, pixel_path=path) for way, smooth, size, path in ways}
    assert len(made) == 24


def test_features_from_before_there_was_a_choice_are_those_of_the_default() -> None:
    assert "antialias" not in facts()


RECORD = {"key": "a", "facts": {"tensorflow": "2.21.0", "device": "CPU avx2"}, "sha256": {"train": "1", "valid": "2"}}


def test_features_with_the_bits_of_the_record_are_taken_whatever_they_were_computed_on() -> None:
    require_same_bits(None, RECORD, "runs/a")
    require_same_bits(RECORD, {**RECORD, "key": "b", "facts": {"tensorflow": "3.0"}}, "runs/a")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"tensorflow": "2.21.0", "device": "CPU avx512f"}, "device was CPU avx2, is CPU avx512f"),
        ({"tensorflow": "2.21.0", "device": "CPU avx2"}, "nothing that they should depend on has changed"),
    ],
)
def test_features_with_other_bits_are_73_and_the_reason_is_told(facts: dict[str, str], why: str) -> None:
    now = {"key": "b", "facts": facts, "sha256": {"train": "1", "valid": "3"}}
    with pytest.raises(ExitError, match=why) as caught:
        require_same_bits(RECORD, now, "runs/a")
    assert caught.value.code == Exit.RUN_REFUSED

"""What the features of pictures depend on. How they are computed is tested in test_pretrained.py."""

import itertools
import json

from trainer.config import RESIZES, RunConfig
from trainer.data.decode import path_of
from trainer.training.features import facts_of
from trainer.training.strategy import Devices


def facts(**options: str | bool | int) -> str:
    config = RunConfig(model="efficientnet-lite0", **options)  # type: ignore[arg-type]
    return json.dumps(facts_of(config, "", path_of(config), Devices("CPU", ("CPU:0",))))


def test_features_are_of_pictures_made_square_in_one_way() -> None:
    ways = itertools.product(RESIZES, (False, True), (180, 224), (1, 2))
    made = {facts(resize=way, antialias=smooth, image_size=size, pixel_path=path) for way, smooth, size, path in ways}
    assert len(made) == 24


def test_features_from_before_there_was_a_choice_are_those_of_the_default() -> None:
    assert "antialias" not in facts()

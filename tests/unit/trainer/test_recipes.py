import dataclasses
from collections.abc import Callable

import pytest

from trainer.config import RunConfig, check
from trainer.recipes import RECIPES
from trainer.requests import from_json, to_json


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_is_a_valid_configuration_of_its_name(name: str) -> None:
    config = RECIPES[name]()
    assert check(config) is config
    assert config.recipe == name
    assert from_json(to_json(config), RunConfig) == config
    assert (config.run, config.data) == ("", "")


@pytest.mark.parametrize("make", RECIPES.values())
def test_every_recipe_says_what_to_type(make: Callable[[], RunConfig]) -> None:
    assert f"catdog train --recipe {make.__name__}" in (make.__doc__ or "")


def test_baseline_is_the_articles() -> None:
    config = RECIPES["baseline"]()
    assert (config.model, config.image_size, config.batch_size, config.epochs) == ("article", 180, 32, 30)
    assert (config.optimizer, config.learning_rate, config.schedule) == ("rmsprop", 1e-3, "constant")
    assert (config.dropout, config.flip, config.rotation, config.zoom) == (0.0, False, 0.0, 0.0)
    assert (config.weight_decay, config.clip_norm, config.ema, config.momentum) == (0.0, 0.0, 0.0, 0.0)


def test_augmented_is_baseline_with_augmentation_and_dropout_for_longer() -> None:
    added = {"recipe": "augmented", "flip": True, "rotation": 0.1, "zoom": 0.2, "dropout": 0.5, "epochs": 100}
    assert RECIPES["augmented"]() == dataclasses.replace(RECIPES["baseline"](), **added)

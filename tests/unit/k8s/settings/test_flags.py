import dataclasses
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from k8s.settings.flags import flags_of, resolve
from trainer.config import RunConfig
from trainer.exits import Exit, ExitError
from trainer.fields import bounds, flag, options
from trainer.recipes import RECIPES

TYPES = {field.name: field.type for field in dataclasses.fields(RunConfig)}
VALUES: dict[Any, tuple[str, Any]] = {int: ("16", 16), float: ("0.25", 0.25), str: ("text", "text")}


def parsed(*arguments: str) -> dict[str, Any]:
    """What a command with all run options gets from these arguments."""
    seen: list[dict[str, Any]] = []

    def command(*, values: dict[str, Any]) -> None:
        """Example: command"""
        seen.append(values)

    app = typer.Typer()
    app.command()(flags_of(RunConfig, into="values")(command))
    done = CliRunner().invoke(app, list(arguments))
    if done.exit_code:
        raise ExitError(done.exit_code, done.output)
    return seen[0]


def test_flags_that_are_not_set_are_absent() -> None:
    assert parsed() == {}


@pytest.mark.parametrize("name", sorted(name for name, option in options(RunConfig).items() if option.flag))
def test_every_field_has_a_flag(name: str) -> None:
    option = options(RunConfig)[name]
    if TYPES[name] is bool:
        assert parsed(flag(name)) == {name: True}
        assert parsed(f"--no-{flag(name)[2:]}") == {name: False}
    else:
        text, value = (option.choices[-1],) * 2 if option.choices else VALUES[TYPES[name]]
        assert parsed(flag(name), text) == {name: value}
        assert parsed(f"{flag(name)}={text}") == {name: value}


@pytest.mark.parametrize("name", [name for name in TYPES if TYPES[name] in (int, float)])
def test_an_invalid_number_is_usage(name: str) -> None:
    with pytest.raises(ExitError, match=flag(name)) as caught:
        parsed(flag(name), "many")
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize("name", [name for name, option in options(RunConfig).items() if option.choices])
def test_an_invalid_choice_is_usage(name: str) -> None:
    with pytest.raises(ExitError, match=flag(name)) as caught:
        parsed(flag(name), "nonsense")
    assert caught.value.code == Exit.USAGE


def test_an_unknown_flag_is_usage() -> None:
    with pytest.raises(ExitError, match="--epoch") as caught:
        parsed("--epoch", "3")
    assert caught.value.code == Exit.USAGE


def test_help_shows_bounds_and_default() -> None:
    app = typer.Typer()

    def command(*, values: dict[str, Any]) -> None:
        """Example: command"""

    app.command()(flags_of(RunConfig, into="values")(command))
    shown = " ".join(CliRunner().invoke(app, ["--help"], env={"COLUMNS": "400"}).output.split())
    for name, option in options(RunConfig).items():
        if not option.flag:
            continue
        assert flag(name) in shown
        assert option.help in shown
        assert bounds(option) in shown
    assert "(at least 16 and at most 2,048; default 224)" in shown  # of the default recipe
    for group in {option.group for option in options(RunConfig).values()}:
        assert group in shown


def test_a_commands_own_flag_replaces_the_generated_one() -> None:
    seen: list[tuple[int, dict[str, Any]]] = []

    def command(workers: int = 7, *, values: dict[str, Any]) -> None:
        """Example: command"""
        seen.append((workers, values))

    app = typer.Typer()
    app.command()(flags_of(RunConfig, into="values")(command))
    assert CliRunner().invoke(app, ["--workers", "3", "--seed", "5"]).exit_code == 0
    assert CliRunner().invoke(app, []).exit_code == 0
    assert seen == [(3, {"seed": 5}), (7, {})]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_is_what_its_name_says(name: str) -> None:
    assert resolve({"recipe": name}) == RECIPES[name]()


def test_without_a_recipe_it_is_the_default_one() -> None:
    assert resolve({}) == RECIPES["transfer"]()
    assert resolve({}, "demo") == RECIPES["demo"]()
    assert resolve({"recipe": "augmented"}, "demo") == RECIPES["augmented"]()


def test_a_contradiction_with_a_recipe_that_nobody_typed_names_it() -> None:
    with pytest.raises(ExitError) as caught:
        resolve({"image_size": 16})
    assert caught.value.code == Exit.BAD_OPTION
    assert caught.value.message == (
        "--image-size is 16; --model efficientnet-lite0 needs at least 32 pixels (recipe transfer, the default)"
    )
    with pytest.raises(ExitError) as caught:
        resolve({"image_size": 16, "recipe": "transfer"})
    assert caught.value.message.endswith("32 pixels")


@pytest.mark.parametrize(
    "values",
    [
        {"model": "small"},
        {"image_size": 64},
        {"model": "small", "image_size": 64, "epochs": 5},
        {"flip": True, "unfreeze": "block12", "epochs": 30, "rotation": 0.1, "zoom": 0.2},
        {"optimizer": "sgd", "momentum": 0.9},
        {"deterministic": True},
    ],
)
def test_flags_without_a_recipe_change_the_default_one(values: dict[str, Any]) -> None:
    assert resolve(values) == dataclasses.replace(RECIPES["transfer"](), **values)


def test_flags_override_the_recipe() -> None:
    config = resolve({"recipe": "augmented", "dropout": 0.25, "flip": False, "run": "gs://b/r"})
    expected = dataclasses.replace(RECIPES["augmented"](), dropout=0.25, flip=False, run="gs://b/r")
    assert config == expected
    assert config.zoom == 0.2


@pytest.mark.parametrize(("given", "smooth"), [("--antialias", True), ("--no-antialias", False)])
def test_how_pictures_become_squares_reaches_the_configuration(given: str, smooth: bool) -> None:
    config = resolve(parsed("--resize", "crop", given))
    assert (config.resize, config.antialias) == ("crop", smooth)
    assert (resolve({}).resize, resolve({}).antialias) == ("squash", False)


def test_an_unknown_recipe_is_64() -> None:
    with pytest.raises(ExitError, match="--recipe is 'best'; it must be one of augmented, baseline, demo") as caught:
        resolve({"recipe": "best"})
    assert caught.value.code == Exit.BAD_OPTION


@pytest.mark.parametrize(
    "values", [{"epochs": 0}, {"dropout": 1.0}, {"learning_rate": float("nan")}, {"image_size": 10**6}]
)
def test_a_value_out_of_bounds_is_64(values: dict[str, Any]) -> None:
    with pytest.raises(ExitError, match=flag(next(iter(values)))) as caught:
        resolve(values)
    assert caught.value.code == Exit.BAD_OPTION

"""Command-line flags made from RunConfig's fields: each option is declared once, in trainer.config."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import typer

from trainer.config import RunConfig, bounds, flag, from_mapping, options
from trainer.exits import Exit, ExitError
from trainer.recipes import RECIPES


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a flag for every field of RunConfig; it gets those that were typed as `values`.

    A flag that is not typed is None, so that the recipe's default, or the platform's, can take its place.
    """
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "values"]

    def run(**arguments: Any) -> None:
        names = {p.name for p in own}
        values = {name: value for name, value in arguments.items() if name not in names and value is not None}
        command(**{name: arguments[name] for name in names}, values=values)

    run.__signature__ = inspect.Signature([*own, *_parameters({p.name for p in own})])  # type: ignore[attr-defined]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _parameters(taken: set[str]) -> list[inspect.Parameter]:
    made = []
    types = {field.name: field.type for field in dataclasses.fields(RunConfig)}
    for name, option in options().items():
        if name in taken:
            continue
        facts: dict[str, Any] = {"help": _help(name), "rich_help_panel": option.group, "show_default": False}
        names = [f"{flag(name)}/--no-{flag(name)[2:]}"] if types[name] is bool else [flag(name)]
        if option.unit:
            facts["metavar"] = option.unit.upper()
        kind: Any = Literal[option.choices] if option.choices else types[name]
        annotation = Annotated[kind | None, typer.Option(*names, **facts)]
        made.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    return made


def _help(name: str) -> str:
    option = options()[name]
    default = getattr(RunConfig(), name)
    shown = f"default {default}" if default not in ("", False) else ""
    facts = "; ".join(fact for fact in (bounds(option), shown) if fact)
    return f"{option.help} [dim]({facts})[/dim]" if facts else option.help


def resolve(values: Mapping[str, Any]) -> RunConfig:
    """The recipe's configuration with the typed values over it, checked.

    Raises:
        ExitError: 64 for an unknown recipe, or a value out of bounds.
    """
    name = values.get("recipe", RunConfig().recipe)
    if name not in RECIPES:
        raise ExitError(Exit.BAD_OPTION, f"--recipe is {name!r}; it must be one of {', '.join(sorted(RECIPES))}")
    return from_mapping({**dataclasses.asdict(RECIPES[name]()), **values}, RunConfig)

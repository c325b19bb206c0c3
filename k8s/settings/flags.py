"""Command-line flags made from declared fields: each run option and each platform setting is declared once."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from trainer import config, fields
from trainer.config import CLASS_WEIGHTS, RunConfig
from trainer.exits import Exit, ExitError
from trainer.fields import Option, Refused, bounds, flag, options
from trainer.recipes import DEFAULT, RECIPES

Command = Callable[..., None]

# Values to suggest for a field that accepts others too: a run folder may name a recipe of another version.
_OFFERED: Mapping[str, tuple[str, ...]] = {
    "recipe": tuple(sorted(RECIPES)),
    "class_weights": (*CLASS_WEIGHTS, "FILE"),
}


def flags_of(kind: type[Any], *, into: str) -> Callable[[Command], Command]:
    """Give a command a flag for every field of `kind` that has one; the command gets those that are set as `into`.

    A flag that is not set is absent, so that the recipe's or the platform's default applies. A parameter of the command
    itself replaces a flag of the same name.
    """

    def decorate(command: Command) -> Command:
        own = [one for one in inspect.signature(command).parameters.values() if one.name != into]
        made = _parameters(kind, {one.name for one in own})

        def run(**arguments: Any) -> None:
            every = {one.name: arguments.pop(one.name) for one in made}
            typed = {name: value for name, value in every.items() if value is not None}
            _check(kind, typed)
            command(**arguments, **{into: typed})

        run.__signature__ = inspect.Signature([*own, *made])  # type: ignore[attr-defined]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


def _parameters(kind: type[Any], taken: set[str]) -> list[inspect.Parameter]:
    made = []
    known = options(kind)
    usual = RECIPES[DEFAULT]() if kind is RunConfig else None
    for one in dataclasses.fields(kind):
        option = known.get(one.name)
        if option is None or not option.flag or one.name in taken:
            continue
        facts: dict[str, Any] = {
            "help": _help(option, getattr(usual, one.name, one.default)),
            "rich_help_panel": option.group,
        }
        names = [f"{flag(one.name)}/--no-{flag(one.name)[2:]}"] if one.type is bool else [flag(one.name)]
        if option.unit:
            facts["metavar"] = option.unit.upper()
        if choices := option.choices or _OFFERED.get(one.name, ()):
            facts |= {"metavar": f"[{'|'.join(choices)}]", "autocompletion": _completion(choices)}
        value: Any = one.type
        annotation = Annotated[value | None, typer.Option(*names, show_default=False, **facts)]
        made.append(inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    return made


def _completion(choices: tuple[str, ...]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def _check(kind: type[Any], typed: Mapping[str, Any]) -> None:
    known = options(kind)
    for name, value in typed.items():
        try:
            fields.check(known[name], value, flag(name))
        except Refused as error:
            raise typer.BadParameter(str(error)) from error


def _help(option: Option, default: Any) -> str:
    shown = f"default {default}" if option.default_shown and default not in ("", False) else ""
    facts = "; ".join(fact for fact in (bounds(option), shown) if fact)
    return f"{option.help} [dim]({facts})[/dim]" if facts else option.help


def resolve(values: Mapping[str, Any], default: str = DEFAULT) -> RunConfig:
    """The configuration of the recipe, by `default` if none is given, overridden by the given values and validated.

    Raises:
        ExitError: 64 for an unknown recipe, a value out of bounds, or values that contradict each other.
    """
    name = values.get("recipe", default)
    if name not in RECIPES:
        raise ExitError(Exit.BAD_OPTION, f"--recipe is {name!r}; it must be one of {', '.join(sorted(RECIPES))}")
    try:
        return config.from_mapping({**dataclasses.asdict(RECIPES[name]()), **values})
    except ExitError as error:
        if "recipe" in values:
            raise
        # It may contradict a value that the user never typed.
        raise ExitError(error.code, f"{error.message} (recipe {name}, the default)") from error

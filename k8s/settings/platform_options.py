"""Command-line flags made from Platform's fields that have one: each setting is declared once, in k8s.settings.platform."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from k8s.settings.platform import Platform, settings


def with_platform_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a flag for every setting that has one; it gets those that were typed, by name, as `settings`."""
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "settings"]
    flags = _parameters()

    def run(**arguments: Any) -> None:
        typed = {p.name: arguments.pop(p.name) for p in flags}
        command(**arguments, settings={name: value for name, value in typed.items() if value is not None})

    run.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _parameters() -> list[inspect.Parameter]:
    made = []
    for field in dataclasses.fields(Platform):
        setting = settings()[field.name]
        if not setting.flag:
            continue
        kind: Any = Literal[setting.choices] if setting.choices else field.type
        option = typer.Option(
            "--" + field.name.replace("_", "-"), help=setting.help, rich_help_panel="Platform", show_default=False
        )
        annotation = Annotated[kind | None, option]
        made.append(inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    return made

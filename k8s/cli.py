"""The command line `catdog`; `catdog-submit` is `catdog submit`. Commands load on use, errors are handled here."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from k8s.commands.table import COMMANDS, SUBMIT, Entry, Group
from k8s.exits import Cli, CliError
from trainer.exits import Exit, ExitError
from trainer.process import output
from trainer.process.output import OutputLost
from trainer.words import in_a_line


class Commands(TyperGroup):
    """Commands from a table: listed with the help given there, imported on use."""

    table: Mapping[str, Entry | Group]

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: _outline(name, one) for name, one in self.table.items()}

    def get_params(self, ctx: Any) -> list[Any]:
        """Without a value, a flag is off: Typer would import Pydantic to find out what None is, a quarter of a help."""
        params = super().get_params(ctx)
        for one in params:
            if getattr(one, "is_flag", False) and one.default is None:
                one.default = False
        return params

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself, with its flags, in place of its outline."""
        name, command, rest = super().resolve_command(ctx, args)
        found = self.table[str(name)]
        return name, load(str(name), found) if isinstance(found, Entry) else command, rest

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; every failure is one line on standard error and an exit code from the contract."""
        return _behind_the_door(
            lambda: super(Commands, self).main(args, prog_name, complete_var, standalone_mode=False, **extra)
        )


def load(name: str, entry: Entry) -> Any:
    """The command of a table entry, under this name."""
    alone = typer.Typer(rich_markup_mode="rich", add_completion=False)
    alone.command(name)(importlib.import_module(entry.module).command)
    return typer.main.get_command(alone)


def _outline(name: str, one: Entry | Group) -> Any:
    """What help shows of a command; for a group, the group itself."""
    if isinstance(one, Group):
        made = typer.Typer(
            name=name, cls=_of_table(one.commands), help=one.help, no_args_is_help=True, add_completion=False
        )
        made.callback(rich_help_panel=one.panel)(lambda: None)
    else:
        made = typer.Typer(rich_markup_mode="rich", add_completion=False)
        made.command(name, help=one.help, rich_help_panel=one.panel)(lambda: None)
    return typer.main.get_command(made)


def _of_table(commands: Mapping[str, Entry | Group]) -> type[Commands]:
    return type("CommandsOfTable", (Commands,), {"table": commands})


def _version(wanted: bool) -> None:
    if wanted:
        versions = importlib.import_module("trainer.process.versions")  # as a command: it takes long to import
        print(f"catdog {versions.catdog_version()}")
        raise typer.Exit


app = typer.Typer(
    name="catdog",
    cls=_of_table(COMMANDS),
    help="Train image classifiers on this machine or on Kubernetes.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train image classifiers on this machine or on Kubernetes."""


def main() -> None:
    """The console script `catdog`."""
    output.take_over(answers=True)
    app()


def submit_main() -> None:
    """The console script `catdog-submit`: `catdog submit`."""
    output.take_over(answers=True)
    command = load("catdog-submit", SUBMIT)
    _behind_the_door(lambda: command.main(prog_name="catdog-submit", standalone_mode=False))


def _behind_the_door(run: Callable[[], Any]) -> NoReturn:
    """Run the command; the one place where an error becomes a line and an exit code."""
    try:
        code = run()
        output.require()
    except OutputLost as lost:
        code = _fail(lost.message, lost, lost.code)
    except CliError as error:
        code = _fail(error.message, error, error.code)
    except ExitError as error:
        code = _fail(error.message, error, Cli.USAGE if error.code == Exit.BAD_OPTION else error.code)
    except typer.Abort:
        code = Exit.INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):  # not from click: a bug, shown with its traceback
            raise
        code = _fail(_one_line(error), error, getattr(error, "exit_code", Cli.USAGE))
    sys.exit(code if isinstance(code, int) else Cli.OK)


def _one_line(error: Any) -> str:
    """A usage error of click in one line that points to --help; empty if help was shown instead."""
    text = " ".join(str(error.message if getattr(error, "param", True) is None else error.format_message()).split())
    context = getattr(error, "ctx", None)
    return f"{text.rstrip('.')}; see {context.command_path} --help" if text and context else text


def _fail(message: str, error: Exception, code: int) -> int:
    for line in (message, *getattr(error, "__notes__", ())):
        if line:
            print(f"catdog: {in_a_line(line)}", file=sys.stderr)
    return int(code)

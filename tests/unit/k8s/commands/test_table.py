"""The table of commands, and the modules it names."""

import importlib
import inspect
import pkgutil

import pytest

import k8s.commands
from k8s.commands.table import COMMANDS, DATA, Entry, Group

ENTRIES = {
    **{name: one for name, one in COMMANDS.items() if isinstance(one, Entry)},
    **{f"data {name}": one for name, one in DATA.commands.items() if isinstance(one, Entry)},
}
SHARED = {"k8s.commands.arguments", "k8s.commands.table"}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_command_has_the_first_line_of_its_help_in_the_table(name: str) -> None:
    command = importlib.import_module(ENTRIES[name].module).command
    assert (inspect.getdoc(command) or "").splitlines()[0] == ENTRIES[name].help


def test_every_module_of_commands_is_in_the_table() -> None:
    modules = {f"k8s.commands.{found.name}" for found in pkgutil.iter_modules(k8s.commands.__path__)}
    assert modules - SHARED == {entry.module for entry in ENTRIES.values()}


def test_groups_hold_commands_only() -> None:
    groups = [one for one in COMMANDS.values() if isinstance(one, Group)]
    assert groups == [DATA]
    assert all(isinstance(one, Entry) for one in DATA.commands.values())

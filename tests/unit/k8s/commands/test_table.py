"""The table of commands, and the modules it names."""

import importlib
import inspect
import pkgutil

import pytest

import k8s.commands
from k8s.commands.table import COMMANDS, Entry, Group

GROUPS = {name: one for name, one in COMMANDS.items() if isinstance(one, Group)}
ENTRIES = {
    **{name: one for name, one in COMMANDS.items() if isinstance(one, Entry)},
    **{f"{group} {name}": one for group, found in GROUPS.items() for name, one in found.commands.items()},
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
    assert set(GROUPS) == {"data", "weights"}
    assert all(isinstance(one, Entry) for group in GROUPS.values() for one in group.commands.values())

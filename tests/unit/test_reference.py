"""The reference pages match what the code declares."""

from k8s.commands.table import COMMANDS, Group
from tests.reference import FOLDER, METRICS_PAGE, metrics_page, pages
from trainer.config import RunConfig
from trainer.fields import flag, options


def test_the_pages_are_those_that_the_code_makes() -> None:
    made = pages()
    assert {path.name: path.read_text() for path in FOLDER.glob("*.md")} == made, "renew with: make reference"
    assert METRICS_PAGE.read_text() == metrics_page(), "renew with: make reference"


def test_every_command_and_every_option_has_a_place() -> None:
    made = pages()
    for name, one in COMMANDS.items():
        named = [f"{name} {inner}" for inner in one.commands] if isinstance(one, Group) else [name]
        assert all(f"## catdog {full}\n" in made["commands.md"] for full in named)
    for name in options(RunConfig):
        assert f"| `{flag(name)}` |" in made["options.md"]

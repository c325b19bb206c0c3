"""Commands that `why` and others propose: their words, and who may run them. Pure.

A submitter has the rights of the chart's Role and no more. A command that needs others says whom to ask;
`tests/unit/k8s/explain/test_commands.py` holds each one against the Role.
"""

import shlex
from dataclasses import dataclass
from enum import StrEnum

GAP = "…"
"""In a command's words: something that only its reader knows. Such a command cannot be run as it stands."""


class By(StrEnum):
    """Who may run a command."""

    YOU = "you"
    ADMIN = "a cluster admin"
    INSTALLER = "whoever installed the chart"


@dataclass(frozen=True)
class Command:
    """A proposed command, complete with the namespace and context that the user typed."""

    words: tuple[str, ...]
    by: By = By.YOU

    @property
    def complete(self) -> bool:
        """Whether it can be run as it stands."""
        return not any(GAP in word for word in self.words)

    def __str__(self) -> str:
        text = shlex.join(self.words).replace(f"'{GAP}'", GAP)
        return text if self.by is By.YOU else f"ask {self.by}: {text}"


Part = str | Command
Next = tuple[Part, ...]
"""What to do next: text and commands in the order in which they are read."""


def in_words(next: Next) -> str:
    """What to do next as one line; empty if there is nothing."""
    return "".join(map(str, next))


def commands_in(next: Next) -> tuple[Command, ...]:
    """The commands among the parts."""
    return tuple(part for part in next if isinstance(part, Command))


def catdog(typed: tuple[str, ...], *words: str) -> Command:
    """`catdog WORDS` in the same namespace; whoever runs catdog is a submitter."""
    return Command(("catdog", *words, *typed))


def kubectl(typed: tuple[str, ...], *words: str, by: By = By.YOU) -> Command:
    """`kubectl WORDS` in the same namespace."""
    return Command(("kubectl", *words, *typed), by)


def helm(typed: tuple[str, ...], *settings: str) -> Command:
    """`helm upgrade` that changes these settings of the chart ("NAME=VALUE")."""
    flags = tuple("--kube-context" if word == "--context" else word for word in typed)
    changes = tuple(word for setting in settings for word in ("--set", setting))
    return Command(("helm", "upgrade", "catdog", GAP, "--reuse-values", *changes, *flags), By.INSTALLER)

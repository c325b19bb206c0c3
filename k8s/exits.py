"""Exit codes of the commands that talk to Kubernetes, and the exception that carries one."""

from enum import IntEnum


class Cli(IntEnum):
    """Exit codes of submit, list, status, logs, why, wait, cancel, resume, delete and doctor."""

    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    PREREQUISITE = 3
    TIMED_OUT = 124


class CliError(Exception):
    """A command cannot continue: one line for people, one code for programs; `transient`: a retry may succeed."""

    def __init__(self, code: Cli, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.transient = transient


def usage(message: str) -> CliError:
    """The arguments, or the contents of a file they name, are wrong."""
    return CliError(Cli.USAGE, message)


def missing(message: str) -> CliError:
    """A prerequisite is missing: cluster, permission, chart or data."""
    return CliError(Cli.PREREQUISITE, message)

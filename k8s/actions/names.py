"""Names of runs for shell completion: of the folder runs/ here and, where one answers at once, of the cluster."""

from pathlib import Path

from k8s.actions import observe
from k8s.api.client import connect, hurried
from k8s.exits import CliError
from trainer.contract import CONFIG

_LOCAL = "runs"


def run_names(incomplete: str) -> list[str]:
    """What may stand for RUN; nothing but the names is printed, whatever cannot be read."""
    found = {str(path.parent) for path in Path(_LOCAL).glob(f"*/{CONFIG}")} | set(_in_cluster())
    return sorted(name for name in found if name.startswith(incomplete))


def _in_cluster() -> list[str]:
    try:
        return observe.names(hurried(connect()))
    except CliError:
        return []  # a completion says nothing of why

"""Names of runs for shell completion: from the local folder runs/ and, if it answers quickly, from the cluster."""

from pathlib import Path

from k8s.actions import observe
from k8s.api.client import hurried
from k8s.api.connection import connect
from k8s.exits import CliError
from trainer.contract import CONFIG

_LOCAL = "runs"


def run_names(incomplete: str) -> list[str]:
    """Possible values of RUN; what cannot be read is silently left out."""
    found = {str(path.parent) for path in Path(_LOCAL).glob(f"*/{CONFIG}")} | set(_in_cluster())
    return sorted(name for name in found if name.startswith(incomplete))


def _in_cluster() -> list[str]:
    try:
        return observe.names(hurried(connect(login_seconds=2.0)))
    except CliError:
        return []  # completion reports no errors

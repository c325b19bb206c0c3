"""`catdog cancel`."""

from k8s.actions import remove
from k8s.actions.installation import open_installation
from k8s.actions.targets import target
from k8s.commands.arguments import REMOVE_SECONDS, Context, Name, Namespace, Patience
from k8s.terminal.lines import say


def command(run: Name, timeout: Patience = REMOVE_SECONDS, namespace: Namespace = "", context: Context = "") -> None:
    """Stop a run after it saves a checkpoint.

    Example: catdog cancel baseline-20261123-221301
    """
    site = open_installation(context, namespace)
    remove.cancel(site.cluster, target(run, site.platform.runs), say, timeout)

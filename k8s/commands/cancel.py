"""`catdog cancel`."""

from k8s.actions import remove
from k8s.actions.installation import open_place
from k8s.actions.targets import target
from k8s.commands.arguments import REMOVE_SECONDS, Context, Name, Namespace, Patience
from k8s.terminal.lines import note, say


def command(run: Name, timeout: Patience = REMOVE_SECONDS, namespace: Namespace = "", context: Context = "") -> None:
    """Stop a run after it saves a checkpoint.

    Example: catdog cancel baseline-20261123-221301
    """
    place = open_place(context, namespace)
    if place.trouble:
        note(place.trouble)
    remove.cancel(place.cluster, target(run, place.runs), say, timeout)

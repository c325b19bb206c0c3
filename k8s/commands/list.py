"""`catdog list`."""

from k8s.actions import observe
from k8s.actions.installation import open_place
from k8s.commands.arguments import Context, Namespace, Output
from k8s.terminal import show
from k8s.terminal.lines import note, say


def command(output: Output = "text", namespace: Namespace = "", context: Context = "") -> None:
    """List runs in the cluster and below the platform's runs URI.

    Example: catdog list -o json
    """
    place = open_place(context, namespace)
    listed, trouble = observe.list_runs(place.cluster, place.runs, jobset=observe.served(place.cluster).jobset)
    for line in (place.trouble, trouble):
        if line:
            note(line)
    rows = [show.row(one.observation, one.uri) for one in listed]
    say(show.as_json(rows) if output == "json" else show.table(rows))

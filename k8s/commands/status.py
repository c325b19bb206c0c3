"""`catdog status`."""

from k8s.actions import folders
from k8s.actions.targets import look_at, no_such
from k8s.commands.arguments import Context, Namespace, Output, Run
from k8s.terminal import show
from k8s.terminal.lines import say
from trainer.contract import SUMMARY


def command(run: Run, output: Output = "text", namespace: Namespace = "", context: Context = "") -> None:
    """Show a run: phase, progress, workers, restarts, result.

    Example: catdog status baseline-20261123-221301
    """
    found = look_at(run, namespace, context)
    # What did not let state.json be read would not let summary.json be either, and may take its time again.
    summary = folders.read(found.uri, SUMMARY)[0] if found.uri and not found.observation.unread else None
    facts = show.status(found.observation, found.uri, summary)
    say(show.as_json(facts) if output == "json" else show.status_text(found.uri, facts))
    if facts["phase"] is None and not facts["unread"]:
        raise no_such(run, found.uri)

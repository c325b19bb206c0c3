"""`catdog why`."""

from k8s.actions.targets import look_at, no_such
from k8s.commands.arguments import Context, Namespace, Output, Run
from k8s.explain.cause import as_facts, as_text
from k8s.explain.phase import phase_of
from k8s.explain.why import explain
from k8s.terminal import show
from k8s.terminal.lines import note, say


def command(run: Run, output: Output = "text", namespace: Namespace = "", context: Context = "") -> None:
    """Explain why a run waits or has failed: cause, evidence, next command.

    Example: catdog why baseline-20261123-221301
    """
    found = look_at(run, namespace, context, deep=True)
    seen = found.observation
    causes, phase = explain(seen), phase_of(seen)
    if output == "json":
        answer = {"name": seen.name, "phase": phase, "causes": as_facts(causes), "notes": list(seen.notes)}
        say(show.as_json(answer))
    else:
        say(as_text(causes))
        for line in seen.notes:
            note(line)
    if phase is None and not seen.unread:
        raise no_such(run, found.uri)

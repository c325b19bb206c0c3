"""`catdog wait`."""

import typer

from k8s.actions import folders
from k8s.actions.targets import look_of, no_such
from k8s.commands.arguments import Context, Namespace, Output, Run, Timeout
from k8s.exits import Cli
from k8s.explain import observation
from k8s.explain.observation import Observation
from k8s.explain.phase import phase_of
from k8s.terminal import show
from k8s.terminal.follow import ending, follow
from k8s.terminal.launch import until_interrupted
from k8s.terminal.lines import note, say
from trainer.contract import SUMMARY


def command(
    run: Run, timeout: Timeout = None, output: Output = "text", namespace: Namespace = "", context: Context = ""
) -> None:
    """Wait until a run finishes; the exit code is its result: 0 succeeded, 1 not, 124 after --timeout.

    Example: catdog wait baseline-20261123-221301 --timeout 3600
    """
    look = look_of(run, namespace, context)
    first = look(False)
    for line in first.observation.notes:
        note(line)
    if phase_of(first.observation) is None:
        raise no_such(run, first.uri)

    def observe(deep: bool) -> Observation:
        return look(deep).observation

    def end() -> Cli:
        seen = follow(None, observe, note, observation.workers(first.observation), logs=False, timeout=timeout)
        summary = folders.read(first.uri, SUMMARY)[0] if first.uri else None
        code, text = ending(seen, summary)
        answer = {"name": seen.name, "run": first.uri, **show.outcome(seen, summary)}
        say(show.as_json(answer) if output == "json" else text)
        return code

    raise typer.Exit(until_interrupted(run, first.observation.typed, end))

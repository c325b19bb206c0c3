"""`catdog status`."""

from collections.abc import Mapping
from typing import Any

from k8s.actions import folders
from k8s.actions.targets import Look, Seen, look_of, no_such
from k8s.commands.arguments import Context, Namespace, Output, Run, Watch
from k8s.exits import usage
from k8s.explain import observation
from k8s.explain.observation import Observation
from k8s.explain.phase import phase_of
from k8s.terminal import show
from k8s.terminal.follow import Narrator, ending, follow
from k8s.terminal.lines import can_redraw, say
from trainer.contract import SUMMARY


def command(
    run: Run, watch: Watch = False, output: Output = "text", namespace: Namespace = "", context: Context = ""
) -> None:
    """Show a run: phase, progress, workers, restarts, result.

    With --watch until it has ended; the exit code is 0 then too, whatever its result: catdog wait has that.

    Example: catdog status baseline-20261123-221301 --watch
    """
    if watch and output != "text":
        raise usage(f"--watch is for people; -o {output} shows a run once: remove one of them")
    look = look_of(run, namespace, context)
    found = look(False)
    if watch and phase_of(found.observation) is not None:
        _watch(look, found)
        return
    facts = show.status(found.observation, found.uri, _summary(found), found.prices)
    say(show.as_json(facts) if output == "json" else show.status_text(found.uri, facts))
    if facts["phase"] is None and not facts["unread"]:
        raise no_such(run, found.uri)


def _summary(found: Seen) -> Mapping[str, Any] | None:
    # What did not let state.json be read would not let summary.json be either, and may take its time again.
    return folders.read(found.uri, SUMMARY)[0] if found.uri and not found.observation.unread else None


def _watch(look: Look, first: Seen) -> None:
    """Show the run again and again until it has ended, or until Ctrl-C."""
    uri, workers = first.uri, observation.workers(first.observation)

    def observe(deep: bool) -> Observation:
        return look(deep).observation

    def line(seen: Observation) -> str:
        return show.line(show.status(seen, uri, None, first.prices))

    try:
        if can_redraw():
            # Here, for --help need not spend the CPU.
            from k8s.terminal.screen import drawing, follow_drawn

            follow_drawn(None, observe, workers, drawing(uri, first.prices, lambda: _summary(first)))
            return
        last = follow(None, observe, say, workers, logs=False, tell=Narrator(say, line))
        say(ending(last, _summary(first))[1])
    except KeyboardInterrupt:
        return

"""`catdog list`."""

import sys
from collections.abc import Sequence
from typing import Any

from k8s.actions import folders, observe
from k8s.actions.installation import Place, open_place
from k8s.actions.observe import Listed
from k8s.commands.arguments import Context, Listing, Namespace, Watch
from k8s.exits import usage
from k8s.explain.cost import prices_of
from k8s.explain.observation import Observation
from k8s.explain.phase import ENDED, phase_of
from k8s.terminal import listing, show
from k8s.terminal.lines import can_redraw, note, say
from trainer.contract import SUMMARY


def command(watch: Watch = False, output: Listing = "text", namespace: Namespace = "", context: Context = "") -> None:
    """List runs in the cluster and below the platform's runs URI.

    With -o prometheus it prints metrics catdog_listed_*, for a textfile collector or a push (docs/operations.md).

    Example: catdog list -o json
    """
    if watch and output != "text":
        raise usage(f"--watch is for people; -o {output} lists the runs once: remove one of them")
    place = open_place(context, namespace)
    jobset = observe.served(place.cluster).jobset
    if place.trouble:
        note(place.trouble)
    if watch:
        _watch(place, jobset)
        return
    listed, trouble = observe.list_runs(place.cluster, place.runs, jobset=jobset)
    if trouble:
        note(trouble)
    rows = _rows(place, listed)
    if output == "prometheus":
        # Here, for --help need not spend the CPU.
        from k8s.terminal.exposition import exposition

        ended = [one.uri for one in listed if one.uri and _can_tell(one.observation)]
        sys.stdout.write(exposition(rows, folders.read_each(ended, SUMMARY), place.cluster.namespace))
    elif output == "json":
        say(show.as_json(rows))
    else:
        say(show.table(rows, show.WIDE if output == "wide" else show.COLUMNS))


def _can_tell(seen: Observation) -> bool:
    """Whether the run has ended and left something that can be read."""
    return phase_of(seen) in ENDED and not seen.unread


def _rows(place: Place, listed: Sequence[Listed]) -> list[dict[str, Any]]:
    prices = prices_of(place.platform)
    return [show.row(one.observation, one.uri, prices) for one in listed]


def _watch(place: Place, jobset: bool) -> None:
    """Show the list again and again until Ctrl-C."""

    def look() -> tuple[list[dict[str, Any]], str]:
        listed, trouble = observe.list_runs(place.cluster, place.runs, jobset=jobset)
        return _rows(place, listed), trouble

    try:
        if can_redraw():
            listing.watch_drawn(look)
        else:
            listing.watch_lines(look, say, note)
    except KeyboardInterrupt:
        return

"""`catdog logs`."""

from typing import Annotated

import typer

from k8s.actions import folders, observe
from k8s.api.client import Cluster, log_lines
from k8s.api.connection import connect
from k8s.commands.arguments import Context, Name, Namespace
from k8s.exits import Cli, missing
from k8s.explain import observation
from k8s.explain.command import catdog
from k8s.explain.cost import NONE
from k8s.explain.observation import Observation
from k8s.explain.spoken import visible
from k8s.terminal.follow import Narrator, ending
from k8s.terminal.follow import follow as follow_run
from k8s.terminal.launch import until_interrupted
from k8s.terminal.lines import can_redraw, note, say
from k8s.terminal.logs import prefixed
from trainer.contract import SUMMARY


def command(
    run: Name,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Wait for pods and lines until the run ends.")] = False,
    tail: Annotated[
        int | None, typer.Option(min=0, metavar="LINES", help="Show only the last lines of each worker.")
    ] = None,
    rank: Annotated[int | None, typer.Option(min=0, help="Show only the log of this worker.")] = None,
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Show the logs of all workers, prefixed with their rank; with -f the exit code is the run's result.

    Example: catdog logs baseline-20261123-221301 -f
    """
    cluster = connect(context, namespace)
    seen = observe.observe(cluster, run)
    if seen.top is None:
        raise missing(f"no run {run} in namespace {cluster.namespace}: its logs are gone with its objects")
    workers = observation.workers(seen)

    if follow:
        raise typer.Exit(until_interrupted(run, cluster.typed, lambda: _follow(cluster, run, workers, rank)))
    _print(cluster, seen, workers, tail, rank)


def _follow(cluster: Cluster, run: str, workers: int, rank: int | None) -> Cli:
    """Print lines as they arrive until the run finishes; return its result."""

    def look(deep: bool) -> Observation:
        return observe.observe(cluster, run, deep=deep)

    if can_redraw():
        # Here, for --help need not spend the CPU.
        from k8s.terminal.screen import drawing, follow_drawn

        last = follow_drawn(cluster, look, workers, drawing("", NONE), rank=rank)
    else:
        last = follow_run(cluster, look, say, workers, tell=Narrator(lambda _: None), rank=rank)
    uri = observe.run_uri_of(last.top)
    code, text = ending(last, folders.read(uri, SUMMARY)[0] if uri else None)
    for line in text.splitlines():
        note(line)
    return code


def _print(cluster: Cluster, seen: Observation, workers: int, tail: int | None, rank: int | None) -> None:
    """Print what the logs contain now."""
    started = [pod for pod in seen.pods if observation.started(pod)]
    pods = [pod for pod in started if rank is None or observation.rank(pod) == rank]
    if not pods:
        note(f"no worker of {seen.name} has started; {catdog(seen.typed, 'why', seen.name)}, or -f to wait")
    for pod in sorted(pods, key=lambda one: observation.rank(one) or 0):
        for line in log_lines(cluster, str(pod["metadata"]["name"]), follow=False, tail=tail):
            if (text := visible(line.partition(" ")[2])) is not None:
                say(prefixed(observation.rank(pod), workers, text))

"""Creates a prepared run, prints what was created, and then follows it, waits for it, or returns at once."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from k8s.actions import folders, observe
from k8s.actions.create import check_free, create
from k8s.actions.submit import Prepared, check_on_server
from k8s.api.client import Cluster
from k8s.exits import Cli
from k8s.explain.command import catdog
from k8s.explain.cost import NONE, Prices
from k8s.explain.observation import Observation
from k8s.manifest.text import to_json_list, to_yaml
from k8s.terminal import show
from k8s.terminal.follow import Observe, Say, ending, follow
from k8s.terminal.lines import can_redraw, note, say
from trainer.contract import SUMMARY

Output = Literal["text", "yaml", "json"]


@dataclass(frozen=True)
class Stay:
    """How long to stay with a created run, and how to report on it, with which prices.

    `follow`: with its logs (None: if standard output is a terminal); `wait`: without; `timeout` in seconds.
    """

    follow: bool | None = None
    wait: bool = False
    timeout: float | None = None
    output: Output = "text"
    prices: Prices = NONE

    @property
    def shows_logs(self) -> bool:
        """Whether logs go to standard output: never next to JSON or YAML, unless requested."""
        wanted = sys.stdout.isatty() and self.output == "text" if self.follow is None else self.follow
        return wanted and not self.wait

    @property
    def stays(self) -> bool:
        """Whether the command stays until the run finishes."""
        return self.shows_logs or self.wait or self.timeout is not None


def print_objects(prepared: Prepared, output: Output) -> None:
    """Print the objects that `--dry-run` would create: YAML unless JSON is requested."""
    sys.stdout.write(to_json_list(prepared.objects) if output == "json" else to_yaml(prepared.objects))


def launch(cluster: Cluster, prepared: Prepared, stay: Stay, patience: float = 5.0) -> Cli:
    """Create the run and stay with it; return the exit code: the run's result if the command stays until it finishes.

    `patience` is how many seconds to wait for what remains of an earlier run of that name.

    Raises:
        CliError: 2 when the name is taken; what the API server refuses; 124 when the timeout has passed.
    """
    check_free(cluster, prepared, patience)
    for warning in check_on_server(cluster, prepared):
        note(f"the API server warns: {warning}")
    made = create(cluster, prepared)
    name, uri = prepared.spec.name, prepared.spec.config.run
    tell = say if stay.output == "text" else note
    tell(f"created {prepared.objects[0]['kind']} {name} in namespace {cluster.namespace}")
    tell(f"run folder {uri}")
    if not stay.stays:
        tell(f"{catdog(cluster.typed, 'logs', name, '-f')} follows it")
        _answer(facts(cluster, prepared), stay.output)
        return Cli.OK

    def look(deep: bool) -> Observation:
        return observe.observe(cluster, name, uri, deep=deep, only=made)

    def end() -> Cli:
        seen = _follow(cluster, look, prepared, stay, tell)
        summary = folders.read(uri, SUMMARY)[0]
        code, text = ending(seen, summary)
        tell(text)
        _answer({**facts(cluster, prepared), **show.outcome(seen, summary)}, stay.output)
        return code

    return until_interrupted(name, cluster.typed, end)


def _follow(cluster: Cluster, look: Observe, prepared: Prepared, stay: Stay, tell: Say) -> Observation:
    workers = prepared.spec.workers
    if not stay.shows_logs or stay.output != "text" or not can_redraw():
        return follow(cluster, look, tell, workers, logs=stay.shows_logs, timeout=stay.timeout)
    # Here, for --help need not spend the CPU.
    from k8s.terminal.screen import drawing, follow_drawn

    return follow_drawn(cluster, look, workers, drawing(prepared.spec.config.run, stay.prices), timeout=stay.timeout)


def facts(cluster: Cluster, prepared: Prepared) -> dict[str, Any]:
    """What was created, for JSON and YAML."""
    spec = prepared.spec
    return {
        "name": spec.name,
        "namespace": cluster.namespace,
        "kind": prepared.objects[0]["kind"],
        "run": spec.config.run,
        "data": spec.config.data,
        "recipe": spec.config.recipe,
        "workers": spec.workers,
        "gpus_per_worker": spec.gpus,
        "notes": list(prepared.notes),
    }


def _answer(answer: dict[str, Any], output: Output) -> None:
    if output == "json":
        say(show.as_json(answer))
    elif output == "yaml":
        sys.stdout.write(to_yaml([answer]))


def until_interrupted(name: str, typed: tuple[str, ...], watch: Callable[[], Cli]) -> Cli:
    """Watch a run until it finishes, or until Ctrl-C: then say how to reattach. The run continues."""
    try:
        return watch()
    except KeyboardInterrupt:
        again, stop = catdog(typed, "logs", name, "-f"), catdog(typed, "cancel", name)
        note(f"detached; {name} continues. {again} reattaches, {stop} stops it")
        return Cli.OK

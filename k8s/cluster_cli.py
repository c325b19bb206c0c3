"""The commands that talk to Kubernetes: they read flags, call, print. What is slow to import is imported in them."""

import dataclasses
import functools
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from k8s.exits import Cli, CliError, missing, usage
from k8s.settings.options import with_run_options
from k8s.settings.platform_options import with_platform_options
from trainer.exits import Exit, ExitError

if TYPE_CHECKING:
    from k8s.actions.folders import Target
    from k8s.actions.submit import Asked, Prepared
    from k8s.api.client import Cluster
    from k8s.explain.observation import Observation
    from k8s.manifest.objects import Served
    from k8s.settings.platform import Platform

PANEL = "On Kubernetes"
REMOVE_SECONDS = 600.0

Text = Annotated[Literal["text", "json"], typer.Option("-o", "--output", help="How to print the answer.")]
Objects = Annotated[Literal["yaml", "json"], typer.Option("-o", "--output", help="How --dry-run prints the objects.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run; or its folder, a path or URI.")]
Name = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run.")]
Namespace = Annotated[str, typer.Option("-n", "--namespace", help="Namespace; default: the kubeconfig's.")]
Context = Annotated[str, typer.Option(help="Context of the kubeconfig; default: the current one.")]
Gpus = Annotated[int, typer.Option(help="GPUs of all workers together; 0: CPU workers.", show_default=False)]
PerNode = Annotated[int | None, typer.Option(help="GPUs of each worker; default: the most that a node can give.")]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="Wait no longer; exit 124. The run goes on.")]
Follow = Annotated[
    bool | None, typer.Option("--follow/--no-follow", help="Show logs until the end; default: on a terminal.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end without showing logs.")]


def mount(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    before: tuple[Callable[..., None], ...] = (list_, status, logs, why, cancel)
    after: tuple[Callable[..., None], ...] = (delete, doctor)
    for command in (submit_command(), *map(_ending, before), resume_command(), *map(_ending, after)):
        app.command(command.__name__.rstrip("_"), rich_help_panel=PANEL)(command)


def submit_command() -> Callable[..., None]:
    """`catdog submit`, with all its flags."""
    return _ending(with_run_options(with_platform_options(submit)))


def resume_command() -> Callable[..., None]:
    """`catdog resume`, with all its flags."""
    return _ending(with_run_options(with_platform_options(resume)))


def submit(
    *,
    gpus: Gpus,
    gpus_per_node: PerNode = None,
    name: Annotated[str, typer.Option(help="Name of the run; default: recipe, date and time.")] = "",
    follow: Follow = None,
    wait: Wait = False,
    timeout: Timeout = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be created, and create nothing.")
    ] = False,
    platform: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --dry-run: the ConfigMap catdog-platform; needs no cluster."),
    ] = None,
    output: Objects = "yaml",
    namespace: Namespace = "",
    context: Context = "",
    settings: dict[str, Any],
    values: dict[str, Any],
) -> None:
    """Train on Kubernetes.

    Example: catdog submit --gpus 4 --data gs://pictures/dogs-vs-cats --recipe augmented
    """
    from k8s.actions.submit import Asked, prepare

    workers = values.pop("workers", None)
    asked = Asked(values, gpus, workers, gpus_per_node, name)
    now = datetime.now(UTC)
    if platform is not None:
        if not dry_run:
            raise usage("--platform FILE goes with --dry-run: a run is created with the platform of its namespace")
        from k8s.manifest.objects import Served
        from k8s.settings.platform import of_file

        merged = _merged(of_file(platform), settings, str(platform))
        served = Served(jobset=True, kueue=bool(merged.queue))
        prepared = prepare(asked, merged, served, lambda selector, tolerations: (None, []), now)
        _note("no cluster was asked: JobSet is taken to be served; --shape job is how it would be without")
        for note in prepared.notes:
            _note(note)
        _print_objects(prepared, output)
        return
    cluster, merged, served = _connect(context, namespace, settings)
    prepared = _prepare(cluster, asked, merged, served, now)
    if dry_run:
        _print_objects(prepared, output)
        return
    _create(cluster, prepared)
    _stay(cluster, prepared, follow, wait, timeout)


def list_(output: Text = "text", namespace: Namespace = "", context: Context = "") -> None:
    """Runs in the cluster and below the platform's runs URI.

    Example: catdog list -o json
    """
    from k8s.actions import folders, observe
    from k8s.terminal import show

    cluster, platform, served = _connect(context, namespace, {})
    now = datetime.now(UTC)
    states, trouble = folders.states(platform.runs) if platform.runs else ({}, "")
    if trouble:
        _note(trouble)
    rows = []
    tops = observe.tops(cluster, observe.ALL, jobset=served.jobset)
    for top in sorted(tops, key=lambda one: str(one["metadata"].get("creationTimestamp")), reverse=True):
        name = str(top["metadata"]["name"])
        states.pop(name, None)
        seen = observe.observe(cluster, name, brief=True)
        rows.append(show.row(seen, observe.run_uri_of(top)))
    for name, state in sorted(states.items(), key=lambda one: str(one[1].get("updated")), reverse=True):
        rows.append(show.row(show.of_folder(name, state, now), f"{platform.runs.rstrip('/')}/{name}"))
    print(show.as_json(rows) if output == "json" else show.table(rows))


def status(run: Run, output: Text = "text", namespace: Namespace = "", context: Context = "") -> None:
    """Where a run stands: phase, progress, workers, restarts, result.

    Example: catdog status baseline-20261123-221301
    """
    from k8s.actions import folders
    from k8s.terminal import show

    seen, uri = _see(run, namespace, context, deep=False)
    summary = folders.read(uri, folders.SUMMARY)[0] if uri else None
    facts = show.status(seen, uri, summary)
    print(show.as_json(facts) if output == "json" else show.status_text(seen, uri, facts))
    if facts["phase"] is None:
        raise missing(f"no run {run}: neither in the cluster nor as a run folder{f' at {uri}' if uri else ''}")


def logs(
    run: Name,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Wait for pods and for more, until the end.")] = False,
    tail: Annotated[
        int | None, typer.Option(min=0, metavar="LINES", help="Only the last lines of each worker.")
    ] = None,
    rank: Annotated[int | None, typer.Option(min=0, help="Only this worker's.")] = None,
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Logs of all workers, each line with its rank in front.

    Example: catdog logs baseline-20261123-221301 -f
    """
    from k8s.actions import observe
    from k8s.api.client import log_lines
    from k8s.explain import observation
    from k8s.terminal import show
    from k8s.terminal.follow import follow as follow_run
    from k8s.terminal.follow import prefixed

    cluster = _cluster(context, namespace)
    seen = observe.observe(cluster, run)
    if seen.top is None:
        raise missing(f"no run {run} in namespace {cluster.namespace}: logs end with its objects")
    workers = show.workers(seen)

    def look(deep: bool) -> "Observation":
        found = observe.observe(cluster, run, deep=deep)
        return (
            found
            if rank is None
            else dataclasses.replace(found, pods=[p for p in found.pods if observation.rank(p) == rank])
        )

    if follow:
        _until_interrupted(run, lambda: follow_run(cluster, look, _say, workers, narrate=False))
        return
    pods = [pod for pod in look(False).pods if observation.started(pod)]
    if not pods:
        _note(f"no worker of {run} has started; catdog why {run}, or -f to wait")
    for pod in sorted(pods, key=lambda one: observation.rank(one) or 0):
        for line in log_lines(cluster, str(pod["metadata"]["name"]), follow=False, tail=tail):
            _say(prefixed(observation.rank(pod), workers, line.partition(" ")[2]))


def why(run: Run, output: Text = "text", namespace: Namespace = "", context: Context = "") -> None:
    """Why a run waits or has failed: cause, evidence, next command.

    Example: catdog why baseline-20261123-221301
    """
    from k8s.explain.cause import as_text
    from k8s.explain.phase import phase_of
    from k8s.explain.why import explain
    from k8s.terminal import show

    seen, uri = _see(run, namespace, context, deep=True)
    causes = explain(seen)
    if output == "json":
        print(
            show.as_json(
                {
                    "name": seen.name,
                    "phase": phase_of(seen),
                    "causes": [dataclasses.asdict(c) for c in causes],
                    "notes": list(seen.notes),
                }
            )
        )
    else:
        print(as_text(causes))
        for note in seen.notes:
            _note(note)
    if phase_of(seen) is None:
        raise missing(f"no run {run}: neither in the cluster nor as a run folder{f' at {uri}' if uri else ''}")


def cancel(
    run: Name,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Wait for the workers no longer.")] = REMOVE_SECONDS,
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Stop a run with a saved checkpoint.

    Example: catdog cancel baseline-20261123-221301
    """
    from k8s.actions import remove

    cluster, platform, _ = _connect(context, namespace, {})
    remove.cancel(cluster, _target(run, platform), _say, timeout)


def resume(
    run: Run,
    *,
    gpus: Annotated[int | None, typer.Option(help="GPUs of all workers; default: as before.")] = None,
    gpus_per_node: PerNode = None,
    follow: Follow = None,
    wait: Wait = False,
    timeout: Timeout = None,
    namespace: Namespace = "",
    context: Context = "",
    settings: dict[str, Any],
    values: dict[str, Any],
) -> None:
    """Go on with a run from its last checkpoint, on any number of GPUs.

    Example: catdog resume baseline-20261123-221301 --gpus 2
    """
    from k8s.actions import observe, remove
    from k8s.actions.submit import again
    from k8s.explain import observation

    cluster, platform, served = _connect(context, namespace, settings)
    target = _target(run, platform)
    name = target.name or target.uri.rstrip("/").rpartition("/")[2]
    top = observe.find_top(cluster, name)
    if top is not None and not (observation.succeeded(top) or observation.failed(top)):
        raise usage(f"{name} is not over; catdog cancel {name} first")
    asked = again(name, target.uri, top, gpus, gpus_per_node, values)
    prepared = _prepare(cluster, asked, platform, served, datetime.now(UTC))
    if top is not None:
        remove.remove(cluster, top, _note, REMOVE_SECONDS)
    _create(cluster, prepared)
    _stay(cluster, prepared, follow, wait, timeout)


def delete(
    run: Name,
    folder: Annotated[
        bool, typer.Option("--folder", help="Delete the run folder too: checkpoints, model, report.")
    ] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Wait for the workers no longer.")] = REMOVE_SECONDS,
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Delete a run's objects from the cluster; its folder stays, unless --folder.

    Example: catdog delete baseline-20261123-221301
    """
    from k8s.actions import remove

    cluster, platform, _ = _connect(context, namespace, {})
    target = _target(run, platform)
    if folder and not yes and not typer.confirm(f"Delete the run folder of {run} for good?"):
        raise CliError(Cli.USAGE, "nothing was deleted")
    remove.delete(cluster, target, _say, folder=folder, timeout=timeout)


def doctor(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Gather what is known of this run too.")] = "",
    bundle: Annotated[Path | None, typer.Option(help="Where to write the bundle (.tar.gz).")] = None,
    output: Text = "text",
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Check cluster, rights and chart, and write a bundle for a bug report, without secrets.

    Example: catdog doctor baseline-20261123-221301
    """
    from k8s.actions import observe
    from k8s.terminal import doctor as doctors
    from k8s.terminal import show

    cluster = _cluster(context, namespace)
    checks = doctors.check(cluster)
    seen = observe.observe(cluster, run, deep=True) if run else None
    path = bundle or Path(f"catdog-doctor{f'-{run}' if run else ''}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    uri = observe.run_uri_of(seen.top) if seen else ""
    try:
        doctors.write_bundle(path, doctors.gather(cluster, checks, seen, uri))
    except OSError as error:
        raise usage(f"{path}: {error.strerror}") from error
    if output == "json":
        print(show.as_json({"checks": [one.__dict__ for one in checks], "bundle": str(path)}))
    else:
        print(doctors.as_lines(checks))
        print(f"wrote {path}; look through it before you pass it on")
    if any(one.ok is False for one in checks):
        raise typer.Exit(Cli.PREREQUISITE)


# --- what the commands share -----------------------------------------------------------------------------------------


def _ending(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with every known failure as one line on standard error and an exit code of the contract."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except CliError as error:
            _fail(error, error.message)
            raise typer.Exit(int(error.code)) from error
        except ExitError as error:
            _fail(error, error.message)
            code = Cli.USAGE if error.code in (Exit.USAGE, Exit.BAD_OPTION) else Cli.PREREQUISITE
            raise typer.Exit(int(code)) from error

    return run


def _fail(error: Exception, message: str) -> None:
    for line in (message, *getattr(error, "__notes__", ())):
        print(f"catdog: {line}", file=sys.stderr)


def _cluster(context: str, namespace: str) -> "Cluster":
    from k8s.api.client import connect

    return connect(context, namespace)


def _connect(context: str, namespace: str, settings: dict[str, Any]) -> "tuple[Cluster, Platform, Served]":
    from k8s.actions import observe

    cluster = _cluster(context, namespace)
    left = observe.platform_settings(cluster)
    platform = _merged(left, settings, f"the platform of namespace {cluster.namespace}")
    return cluster, platform, observe.served(cluster)


def _merged(left: Any, settings: dict[str, Any], where: str) -> "Platform":
    """What the chart left, the user's profile over it, the flags over both; each is checked with its own name."""
    from k8s.settings import platform

    path = platform.profile_path(os.environ)
    profile, flags = platform.of_profile(path), platform.of_flags(settings)
    for layer, name in ((left, where), (profile, str(path)), (flags, "the flags")):
        platform.of_mapping(layer, name)
    return platform.of_mapping(platform.merge((left, profile, flags)), where)


def _target(run: str, platform: "Platform") -> "Target":
    from k8s.actions import folders

    return folders.target(run, platform.runs)


def folder_of(run: str, namespace: str, context: str) -> str:
    """The run folder that RUN means: RUN itself, or of a name the folder of that run in the cluster.

    Raises:
        ExitError: 66 when RUN is a name and where its folder is cannot be told.
    """
    from k8s.actions import folders, observe

    if folders.is_folder(run):
        return run
    try:
        cluster, platform, _ = _connect(context, namespace, {})
        uri = observe.run_uri_of(observe.find_top(cluster, run)) or _target(run, platform).uri
    except CliError as error:
        raise ExitError(
            Exit.INPUT_MISSING, f"{run}: no run folder here; as the name of a run: {error.message}"
        ) from error
    if not uri:
        raise ExitError(Exit.INPUT_MISSING, f"{run}: no run folder here, and the platform has no `runs`; name its URI")
    return uri


def _see(run: str, namespace: str, context: str, *, deep: bool) -> "tuple[Observation, str]":
    """A run by name, in cluster and folder; or by folder only, which needs no cluster."""
    from k8s.actions import folders, observe
    from k8s.terminal import show

    if folders.is_folder(run):
        state, trouble = folders.read(run, folders.STATE)
        if trouble:
            raise missing(trouble)
        return show.of_folder(run, state, datetime.now(UTC)), run
    cluster, platform, _ = _connect(context, namespace, {})
    target = _target(run, platform)
    seen = observe.observe(cluster, run, target.uri, deep=deep)
    return seen, observe.run_uri_of(seen.top) or target.uri


def _prepare(cluster: "Cluster", asked: "Asked", platform: "Platform", served: "Served", now: datetime) -> "Prepared":
    from k8s.actions import observe
    from k8s.actions.submit import check_uris, prepare

    def nodes(selector: dict[str, str], tolerations: list[dict[str, Any]]) -> Any:
        return observe.node_spaces(cluster, selector, tolerations) if platform.nodes_readable else (None, [])

    prepared = prepare(asked, platform, served, nodes, now)
    for note in (*prepared.notes, *check_uris(prepared.spec.config)):
        _note(note)
    return prepared


def _print_objects(prepared: "Prepared", output: str) -> None:
    from k8s.manifest.objects import to_json_list, to_yaml

    sys.stdout.write(to_yaml(prepared.objects) if output == "yaml" else to_json_list(prepared.objects))


def _create(cluster: "Cluster", prepared: "Prepared") -> None:
    from k8s.actions.submit import check_on_server, create

    for warning in check_on_server(cluster, prepared):
        _note(f"the API server warns: {warning}")
    create(cluster, prepared)
    print(f"created {prepared.objects[0]['kind']} {prepared.spec.name} in namespace {cluster.namespace}")
    print(f"run folder {prepared.spec.config.run}", flush=True)


def _stay(cluster: "Cluster", prepared: "Prepared", follow: bool | None, wait: bool, timeout: float | None) -> None:
    """Follow or wait, as asked; without either, return at once."""
    from k8s.actions import folders, observe
    from k8s.terminal.follow import ending
    from k8s.terminal.follow import follow as follow_run

    name, uri = prepared.spec.name, prepared.spec.config.run
    show_logs = (sys.stdout.isatty() if follow is None else follow) and not wait
    if not show_logs and not wait and timeout is None:
        print(f"catdog logs {name} -f follows it")
        return

    def look(deep: bool) -> "Observation":
        return observe.observe(cluster, name, uri, deep=deep)

    def stay() -> None:
        seen = follow_run(cluster, look, _say, prepared.spec.workers, logs=show_logs, timeout=timeout)
        code, text = ending(seen, folders.read(uri, folders.SUMMARY)[0])
        print(text)
        raise typer.Exit(int(code))

    _until_interrupted(name, stay)


def _until_interrupted(name: str, watch: Callable[[], object]) -> None:
    try:
        watch()
    except KeyboardInterrupt:
        _note(f"detached; {name} goes on. catdog logs {name} -f comes back, catdog cancel {name} stops it")


def _say(line: str) -> None:
    print(line, flush=True)


def _note(line: str) -> None:
    print(f"catdog: {line}", file=sys.stderr, flush=True)

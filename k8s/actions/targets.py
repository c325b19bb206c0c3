"""Resolves RUN on the command line, a run folder or the name of a run in the cluster, and observes it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from k8s.actions import folders, observe, tops
from k8s.actions.installation import open_place, profile_platform
from k8s.exits import Cli, CliError, missing
from k8s.explain.cost import NONE, Prices, prices_of
from k8s.explain.observation import Observation, of_folder
from trainer.contract import CONFIG, STATE
from trainer.exits import Exit, ExitError


@dataclass(frozen=True)
class Target:
    """A name in the cluster, or (name empty) a folder."""

    name: str
    uri: str


@dataclass(frozen=True)
class Seen:
    """A run that was found: its observation, its run folder ("" if unknown), and the prices that apply to it."""

    observation: Observation
    uri: str
    prices: Prices = NONE


Look = Callable[[bool], Seen]
"""Observes a run, in depth or not."""


def target(run: str, runs_uri: str) -> Target:
    """RUN is a path or URI if it contains "/" or is a folder with a config.json, else a name under the runs URI."""
    if is_folder(run):
        return Target("", run)
    return Target(run, f"{runs_uri.rstrip('/')}/{run}" if runs_uri else "")


def is_folder(run: str) -> bool:
    """Whether RUN means a path or URI rather than a name."""
    return "/" in run or (Path(run) / CONFIG).is_file()


def look_of(run: str, namespace: str, context: str) -> Look:
    """A function that observes a run by name, in cluster and folder; or only its folder, which needs no cluster.

    It raises CliError 3 when the folder, or the cluster, cannot be read.

    Raises:
        CliError: 3 without a cluster; 2 for a user's profile that is not valid.
    """
    if is_folder(run):
        prices = prices_of(profile_platform())
        return lambda deep: dataclasses.replace(_look_into(run), prices=prices)
    place = open_place(context, namespace)
    meant = target(run, place.runs)

    def look(deep: bool) -> Seen:
        seen = observe.observe(place.cluster, run, meant.uri, deep=deep)
        if place.trouble:
            seen = dataclasses.replace(seen, notes=(place.trouble, *seen.notes))
        return Seen(seen, observe.run_uri_of(seen.top) or meant.uri, prices_of(place.platform))

    return look


def look_at(run: str, namespace: str, context: str, *, deep: bool = False) -> Seen:
    """A run as it is now.

    Raises:
        CliError: 3 when the folder, or the cluster, cannot be read.
    """
    return look_of(run, namespace, context)(deep)


def _look_into(folder: str) -> Seen:
    state, trouble = folders.read(folder, STATE)
    if trouble:
        raise CliError(Cli.PREREQUISITE, trouble, transient=True)
    local = not folder.startswith("gs://")
    more = {"local": local, "resumable": folders.has_config(folder), "holder": folders.holder(folder)}
    seen = of_folder(folder, state, datetime.now(UTC), **more)
    return Seen(seen, folder)


def no_such(run: str, uri: str) -> CliError:
    """The error for a RUN that is neither in the cluster nor a run folder."""
    return missing(f"no run {run}: not in the cluster, and no run folder{f' at {uri}' if uri else ''}")


def folder_of(run: str, namespace: str, context: str) -> str:
    """The run folder of RUN: RUN itself, or for a name, the folder of that run in the cluster.

    Raises:
        ExitError: 66 when RUN is a name whose folder cannot be found.
    """
    if is_folder(run):
        return run
    try:
        place = open_place(context, namespace)
        uri = observe.run_uri_of(tops.find(place.cluster, run).top) or target(run, place.runs).uri
    except CliError as error:
        raise ExitError(
            Exit.INPUT_MISSING, f"{run}: not a run folder here; as the name of a run: {error.message}"
        ) from error
    if not uri:
        unknown = place.trouble or "the platform has no `runs`"
        raise ExitError(Exit.INPUT_MISSING, f"{run}: not a run folder here, and no run in the cluster; {unknown}")
    return uri

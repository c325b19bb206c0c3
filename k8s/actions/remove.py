"""Stops runs: cancel with a saved checkpoint, delete objects, and the run folder only on request."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from k8s.actions import folders, observe, tops
from k8s.actions.targets import Target
from k8s.api import client as api
from k8s.api.client import Cluster
from k8s.exits import Cli, CliError, missing
from k8s.explain.again import after_cancel
from k8s.explain.command import catdog, in_words
from k8s.explain.observation import Object, Observation

POLL_SECONDS = 1.0
Say = Callable[[str], None]


def cancel(cluster: Cluster, target: Target, say: Say, timeout: float) -> None:
    """Delete the run's objects: its pods get SIGTERM, save and exit, and nothing restarts them.

    Raises:
        CliError: 3 when there is nothing to cancel; 124 when its pods still exist after `timeout` seconds.
        ApiError: when the API server refuses or cannot be reached.
    """
    found = tops.find(cluster, target.name)
    if found.top is None:
        shown = catdog(cluster.typed, "list")
        raise missing(f"no run {target.name} in namespace {cluster.namespace}; {shown} shows the existing runs")
    if not found.live:
        say(f"{target.name} has already finished; {catdog(cluster.typed, 'delete', target.name)} removes its objects")
        return
    uri = observe.run_uri_of(found.top) or target.uri
    remove(cluster, found.ours, say, timeout)
    trouble = folders.mark_cancelled(uri) if uri else ""
    if trouble:
        say(f"note: {trouble}")
    say(f"{target.name} is cancelled; {_how_to_go_on(cluster, target.name, found.top, uri)}")


def _how_to_go_on(cluster: Cluster, name: str, top: Object, uri: str) -> str:
    """How to start a cancelled run again: a run that never started has left no options to resume with."""
    resumable = folders.has_config(uri) if uri else None
    was = Observation(name, datetime.now(UTC), top, resumable=resumable, typed=cluster.typed)
    words = in_words(after_cancel(was))
    if resumable:
        return f"{words} continues from its last checkpoint"
    why = "it had not started" if resumable is False else "if it had started, this continues from its last checkpoint"
    return f"{why}; {words} submits it again"


def remove(cluster: Cluster, objects: Sequence[Object], say: Say, timeout: float) -> None:
    """Delete objects and wait until they and what they own are gone.

    Raises:
        CliError: 124 when one of them still exists after `timeout` seconds.
    """
    for one in objects:
        api.delete(cluster, one)
    deadline, told = time.monotonic() + timeout, False
    for one in objects:
        name = str(one["metadata"]["name"])
        path = api.path_of(cluster, str(one["kind"]), name)
        while (left := api.find(cluster, path, f"look for {name}")) is not None:
            if left["metadata"].get("uid") != one["metadata"].get("uid"):
                break
            if time.monotonic() > deadline:
                raise CliError(
                    Cli.TIMED_OUT,
                    f"{name} is being deleted, but still exists after {timeout:g} s; "
                    f"{catdog(cluster.typed, 'why', name)} shows why",
                )
            if not told:
                say("waiting for the workers to save and exit")
                told = True
            time.sleep(POLL_SECONDS)


def delete(cluster: Cluster, target: Target, say: Say, *, folder: bool, timeout: float) -> None:
    """Delete all objects of the run, whatever state it is in; with `folder` the run folder too.

    Raises:
        CliError: 3 when there is nothing to delete, or the folder cannot be deleted from here.
    """
    found = tops.find(cluster, target.name)
    objects = (*found.ours, *found.claims)
    if not objects and not folder:
        raise missing(f"no run {target.name} in namespace {cluster.namespace}; --folder deletes its run folder")
    uri = observe.run_uri_of(found.top) or target.uri
    remove(cluster, objects, say, timeout)
    for one in objects:
        say(f"deleted {one['kind']} {target.name}")
    if not folder:
        return
    if not uri:
        raise missing(f"the location of the run folder of {target.name} is unknown; use its URI instead")
    say(f"deleted {folders.delete_folder(uri)} objects from {uri}")

"""Stops runs: cancel with a saved checkpoint, delete objects, and the run folder only on request."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from k8s.actions import folders, observe
from k8s.actions.targets import Target
from k8s.api import client as api
from k8s.api.client import Cluster
from k8s.exits import Cli, CliError, missing
from k8s.explain import observation
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
    top = observe.find_top(cluster, target.name)
    if top is None:
        shown = catdog(cluster.typed, "list")
        raise missing(f"no run {target.name} in namespace {cluster.namespace}; {shown} shows the existing runs")
    if observation.succeeded(top) or observation.failed(top):
        say(f"{target.name} has already finished; {catdog(cluster.typed, 'delete', target.name)} removes its objects")
        return
    uri = observe.run_uri_of(top) or target.uri
    remove(cluster, top, say, timeout)
    trouble = folders.mark_cancelled(uri) if uri else ""
    if trouble:
        say(f"note: {trouble}")
    say(f"{target.name} is cancelled; {_how_to_go_on(cluster, target.name, top, uri)}")


def _how_to_go_on(cluster: Cluster, name: str, top: Object, uri: str) -> str:
    """How to start a cancelled run again: a run that never started has left no options to resume with."""
    resumable = folders.has_config(uri) if uri else None
    was = Observation(name, datetime.now(UTC), top, resumable=resumable, typed=cluster.typed)
    words = in_words(after_cancel(was))
    if resumable:
        return f"{words} continues from its last checkpoint"
    why = "it had not started" if resumable is False else "if it had started, this continues from its last checkpoint"
    return f"{why}; {words} submits it again"


def remove(cluster: Cluster, top: Object, say: Say, timeout: float) -> None:
    """Delete an object and wait until it and what it owns are gone.

    Raises:
        CliError: 124 when it still exists after `timeout` seconds.
    """
    api.delete(cluster, top)
    path = api.path_of(cluster, str(top["kind"]), str(top["metadata"]["name"]))
    deadline, told = time.monotonic() + timeout, False
    while (left := api.find(cluster, path, f"look for {top['metadata']['name']}")) is not None:
        if left["metadata"].get("uid") != top["metadata"].get("uid"):
            return
        if time.monotonic() > deadline:
            name = top["metadata"]["name"]
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
    """Delete the run's objects, whatever state it is in; with `folder` the run folder too.

    Raises:
        CliError: 3 when there is nothing to delete, or the folder cannot be deleted from here.
    """
    top = observe.find_top(cluster, target.name)
    if top is None and not folder:
        raise missing(f"no run {target.name} in namespace {cluster.namespace}; --folder deletes its run folder")
    uri = observe.run_uri_of(top) or target.uri
    if top is not None:
        remove(cluster, top, say, timeout)
        say(f"deleted {top['kind']} {target.name}")
    if not folder:
        return
    if not uri:
        raise missing(f"the location of the run folder of {target.name} is unknown; use its URI instead")
    say(f"deleted {folders.delete_folder(uri)} objects from {uri}")

"""Creates the objects of a run, all or nothing, under a name that is one run of whatever shape.

Kubernetes keeps names unique within a kind, so two submits of different shapes do not see each other. The protocol,
with rights to create, read and delete, but not to change:

1. Every shape takes the name among Jobs first: a Job by being created, a JobSet with a claim (manifest/objects), which
   exists only until the JobSet does. The API server lets one through.
2. Who has it then looks for a JobSet of that name, a Job's submit by reading, a JobSet's by creating its own. If there
   is one, it takes back what it created.

Of a Job and a JobSet, one is created later. If the Job: its submit finds the JobSet. If the JobSet: its submit had the
name among Jobs meanwhile, so there is no Job. A claim that expired before the JobSet was there is noticed, and settled
by looking for a Job: the submit of a Job that is not seen here sees the JobSet.
"""

import time
from collections.abc import Mapping
from typing import Protocol

from k8s.actions import tops as reading
from k8s.api import client as api
from k8s.api.client import Cluster
from k8s.api.errors import UNREACHABLE, ApiError
from k8s.exits import CliError, usage
from k8s.explain import tops
from k8s.explain.observation import Object
from k8s.labels import COMPONENT_LABEL, CONFIG_ANNOTATION
from k8s.manifest import names
from k8s.manifest import objects as kinds
from k8s.manifest import spec as specs
from k8s.manifest.spec import RunSpec

POLL_SECONDS = 0.5
WITHDRAW_SECONDS = 30.0
TAKEN_STATUS = 409


class ToCreate(Protocol):
    """What `create` needs of a prepared run."""

    @property
    def spec(self) -> RunSpec:
        """The run."""

    @property
    def objects(self) -> list[specs.Object]:
        """Its objects; the first owns the others."""

    @property
    def claim(self) -> specs.Object | None:
        """What holds its name until the first object exists; None where that is a Job."""


def check_free(cluster: Cluster, run: ToCreate, patience: float = 5.0) -> None:
    """Check that nothing has a name that this run needs; wait `patience` seconds for a Service that is going away.

    Submitters may not read Services: only creating one (without effect) tells whether there is one.

    Raises:
        CliError: 2, naming what has the name.
        ApiError: when the API server refuses to tell, or cannot be reached.
    """
    name = run.spec.name
    found = reading.find(cluster, name)
    for one in (*found.ours, *found.claims, *found.foreign):
        raise usage(tops.taken(name, one, cluster.typed))
    child, parent = names.same_job(name)
    if run.claim is not None:
        _refuse_any(name, cluster, "Job", child)
    if parent:
        _refuse_any(name, cluster, "JobSet", parent)
    deadline = time.monotonic() + patience
    while _service_exists(cluster, run.spec):
        if time.monotonic() > deadline:
            raise _by_service(name)
        time.sleep(POLL_SECONDS)


def _refuse_any(name: str, cluster: Cluster, kind: str, other: str) -> None:
    """Refuse the name if this object exists, whose child has, or would have, the same name as a child of this run."""
    found = api.find(cluster, api.path_of(cluster, kind, other), f"read {kind} {other}")
    if found is not None:
        raise usage(tops.taken(name, found, cluster.typed))


def _service_exists(cluster: Cluster, spec: RunSpec) -> bool:
    try:
        api.create(cluster, kinds.service(spec), dry_run=True)
    except ApiError as error:
        if error.status == TAKEN_STATUS:
            return True
        if error.transient:
            raise
        # Not allowed, or over a quota: where a Service is needed, the checks of all objects say so.
    return False


def _by_service(name: str) -> CliError:
    return usage(f"--name {name}: the name is taken by Service {name}, which is not of this run; use another --name")


def create(cluster: Cluster, run: ToCreate) -> Object:
    """Create all objects, or none; return the first, which owns the others.

    Raises:
        CliError: 2 when another run got the name first; nothing was left behind.
        ApiError: nothing was left behind, or the message says what.
    """
    first, *others = run.objects
    top = _create_claimed(cluster, run.claim, first) if run.claim is not None else _create_job(cluster, first)
    owner = {
        "apiVersion": top["apiVersion"],
        "kind": top["kind"],
        "name": top["metadata"]["name"],
        "uid": top["metadata"]["uid"],
    }
    try:
        for one in others:
            api.create(cluster, {**one, "metadata": {**one["metadata"], "ownerReferences": [owner]}})
    except BaseException as error:
        _withdraw(cluster, top, error)
        if isinstance(error, ApiError) and error.status == TAKEN_STATUS:
            raise _with_notes(_by_service(run.spec.name), error) from error
        raise
    return top


def _create_job(cluster: Cluster, job: specs.Object) -> Object:
    top = _create_one(cluster, job)
    name = str(job["metadata"]["name"])
    try:
        rival = _find(cluster, "JobSet", name)
        if rival is not None:
            raise usage(tops.taken(name, rival, cluster.typed))
    except BaseException as error:
        _withdraw(cluster, top, error)
        raise
    return top


def _create_claimed(cluster: Cluster, claim: specs.Object, job_set: specs.Object) -> Object:
    held = _create_one(cluster, claim)
    name, uid = str(claim["metadata"]["name"]), held["metadata"]["uid"]
    try:
        top = _create_one(cluster, job_set)
        try:
            now = _find(cluster, "Job", name)
            if now is not None and now["metadata"].get("uid") != uid:
                raise usage(tops.taken(name, now, cluster.typed))
        except BaseException as error:
            _withdraw(cluster, top, error)
            raise
    finally:
        _release(cluster, held)
    return top


def _create_one(cluster: Cluster, one: specs.Object) -> Object:
    """Create an object whose name was free just now.

    Raises:
        CliError: 2 when it was taken meanwhile, naming by what.
        ApiError: when it is refused, or it is unknown whether it was created.
    """
    kind, name = str(one["kind"]), str(one["metadata"]["name"])
    try:
        return api.create(cluster, one)[0]
    except ApiError as error:
        if error.status not in (UNREACHABLE, TAKEN_STATUS):
            raise
        found = _find(cluster, kind, name)
        if found is None:
            raise
        if error.status == UNREACHABLE and _same(found, one):
            return found  # the response was lost, the object was not
        if error.status == TAKEN_STATUS:
            raise usage(tops.taken(name, found, cluster.typed)) from error
        raise


def _find(cluster: Cluster, kind: str, name: str) -> Object | None:
    """An object that is not being deleted."""
    found = api.find(cluster, api.path_of(cluster, kind, name), f"read {kind} {name}")
    return None if found is None or found["metadata"].get("deletionTimestamp") else found


def _same(found: Object, one: Mapping[str, object]) -> bool:
    """Whether an object is what was to be created."""
    return _component(found) == _component(one) and configuration(found) == configuration(one)


def _component(one: Mapping[str, object]) -> object:
    metadata = one["metadata"]
    return (metadata.get("labels") or {}).get(COMPONENT_LABEL) if isinstance(metadata, Mapping) else None


def configuration(one: Object) -> str | None:
    """The configuration in an object's pod template."""
    spec = one["spec"]
    if one["kind"] == "JobSet":
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    found = spec["template"]["metadata"].get("annotations", {}).get(CONFIG_ANNOTATION)
    return None if found is None else str(found)


def _withdraw(cluster: Cluster, top: Object, error: BaseException) -> None:
    """Delete what was created, and wait until it is gone; what remains is added to the error."""
    what = f"{top['kind']} {top['metadata']['name']}"
    try:
        api.delete(cluster, top)
        path = api.path_of(cluster, str(top["kind"]), str(top["metadata"]["name"]))
        deadline = time.monotonic() + WITHDRAW_SECONDS
        while (left := api.find(cluster, path, f"look for {what}")) is not None:
            if left["metadata"].get("uid") != top["metadata"].get("uid") or time.monotonic() > deadline:
                return
            time.sleep(POLL_SECONDS)
    except ApiError as second:
        error.add_note(f"{what} was created and could not be deleted ({second.message}): use kubectl delete")


def _release(cluster: Cluster, claim: Object) -> None:
    """Delete a claim; where that fails it is gone a minute later, by itself."""
    try:
        api.delete(cluster, claim, "Background")  # it owns nothing: gone with the answer
    except ApiError:
        return


def _with_notes(error: CliError, source: BaseException) -> CliError:
    for note in getattr(source, "__notes__", ()):
        error.add_note(note)
    return error

"""Reads the objects under the name of a run, of whatever kind."""

from collections.abc import Iterable

from k8s.api import client as api
from k8s.api.client import Cluster
from k8s.explain import tops
from k8s.explain.observation import Object
from k8s.explain.tops import Named
from k8s.manifest.names import job_of

KINDS = ("JobSet", "Job")


def find(cluster: Cluster, name: str) -> Named:
    """The JobSet and the Job of this name, sorted by what they are.

    Raises:
        ApiError: when they cannot be read.
    """
    found = (api.find(cluster, api.path_of(cluster, kind, name), f"read {kind} {name}") for kind in KINDS)
    return tops.named(one for one in found if one is not None)


def of_each_run(found: Iterable[Object]) -> list[Object]:
    """Of all Jobs and JobSets, the one of each run that counts."""
    by_name: dict[str, list[Object]] = {}
    for one in found:
        by_name.setdefault(str(one["metadata"]["name"]), []).append(one)
    return [top for same in by_name.values() if (top := tops.named(same).top) is not None]


def longer_named(cluster: Cluster, top: Object, owned: Iterable[Object]) -> list[Object]:
    """The run, if there is one, whose objects are named like those of this one while its name is longer.

    Raises:
        ApiError: when that cannot be read.
    """
    name = job_of(str(top["metadata"]["name"]), str(top["kind"]))
    if name == top["metadata"]["name"] or any(one["metadata"]["name"] == name for one in owned):
        return []  # names are unique among Jobs
    return list(find(cluster, name).ours)

"""The objects under the name of a run: which are the run, which are not, and what to say when the name is taken. Pure.

A run is one JobSet or one Job, its top; all else belongs to that. A claim holds the name for a moment (actions/create).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from k8s.exits import missing
from k8s.explain import observation
from k8s.explain.command import catdog
from k8s.explain.observation import Object, instant
from k8s.labels import (
    APP,
    CLAIM,
    COMPONENT_LABEL,
    INSTANCE_LABEL,
    JOB_UID_LABEL,
    JOBSET_UID_LABEL,
    MANAGER,
    MANAGER_LABEL,
    NAME_LABEL,
)


@dataclass(frozen=True)
class Named:
    """What exists under one name: the run's own objects, the one that counts first; claims; and what is not ours."""

    ours: Sequence[Object] = ()
    claims: Sequence[Object] = ()
    foreign: Sequence[Object] = ()

    @property
    def top(self) -> Object | None:
        """The object that is the run, or None."""
        return self.ours[0] if self.ours else None

    @property
    def live(self) -> bool:
        """Whether the run has not finished."""
        return any(not has_finished(one) for one in self.ours)


def named(found: Iterable[Object]) -> Named:
    """Sorts the Jobs and JobSets of one name. One that has not finished comes first, then the newest."""
    objects = list(found)
    ours = sorted((one for one in objects if is_top(one)), key=lambda one: str(one["kind"]))
    ours.sort(key=lambda one: str(one["metadata"].get("creationTimestamp")), reverse=True)
    ours.sort(key=has_finished)
    claims = [one for one in objects if is_claim(one)]
    return Named(ours, claims, [one for one in objects if not is_top(one) and not is_claim(one)])


def is_top(one: Object) -> bool:
    """Whether a Job or JobSet is a run: made by catdog under this very name, and owned by nothing."""
    return _ours(one) and _labels(one).get(COMPONENT_LABEL) != CLAIM


def is_claim(one: Object) -> bool:
    """Whether a Job only holds a name."""
    return _ours(one) and _labels(one).get(COMPONENT_LABEL) == CLAIM


def workers(top: Object | None) -> int:
    """How many workers the run of this Job or JobSet has; 0 without one."""
    spec = (top or {}).get("spec") or {}
    if "replicatedJobs" in spec:
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    return int(spec.get("completions") or 0)


def has_finished(top: Object) -> bool:
    """Whether a Job or JobSet has succeeded or failed."""
    return observation.succeeded(top) or observation.failed(top)


def owns(top: Object, pod: Object) -> bool:
    """Whether a pod with the run's labels belongs to this very object, and not to an earlier one of the same name."""
    labels = _labels(pod)
    uid = labels.get(JOBSET_UID_LABEL) or labels.get(JOB_UID_LABEL)
    return uid is None or uid == top["metadata"].get("uid")


def same(found: Named, only: Object, typed: tuple[str, ...]) -> Object | None:
    """This very object as it is now, or None when it is gone.

    Raises:
        CliError: 3 when it is gone and another run has its name.
    """
    uid, name = only["metadata"].get("uid"), only["metadata"]["name"]
    now = next((one for one in found.ours if one["metadata"].get("uid") == uid), None)
    if now is None and found.top is not None:
        raise missing(
            f"the {only['kind']} {name} that was created here is gone, and there is now {in_words(found.top)}; "
            f"{catdog(typed, 'logs', name, '-f')} follows that one"
        )
    return now


def others(found: Named, top: Object | None, typed: tuple[str, ...]) -> list[str]:
    """Notes about objects of the same name that are not the run, as far as they are runs too."""
    if top is None:
        return []
    name = str(top["metadata"]["name"])
    this, both = f"{top['kind']} {name}", catdog(typed, "delete", name)
    return [
        f"there is also {in_words(one)}; this is about {this}, and {both} deletes both"
        for one in found.ours
        if one["metadata"].get("uid") != top["metadata"].get("uid")
    ]


def is_older(state: Mapping[str, Any] | None, top: Object) -> bool:
    """Whether a state.json was written before this object was created."""
    created = instant(top["metadata"].get("creationTimestamp"))
    written = instant(str((state or {}).get("updated")))
    return created is not None and written is not None and written < created


def in_words(one: Object) -> str:
    """An object and what it is: "JobSet first, a run that has succeeded"."""
    what = f"{one['kind']} {one['metadata']['name']}"
    run = _labels(one).get(INSTANCE_LABEL)
    if is_claim(one):
        return f"{what}, with which another submit holds it until its run exists"
    if is_top(one):
        how = "has succeeded" if observation.succeeded(one) else "has failed" if observation.failed(one) else "is alive"
        return f"{what}, a run that {how}"
    if _labels(one).get(NAME_LABEL) == APP and run and run != one["metadata"]["name"]:
        return f"{what}, which belongs to run {run}"
    return f"{what}, which is not a run of catdog"


def taken(name: str, one: Object, typed: tuple[str, ...]) -> str:
    """Why a run cannot have this name, and what to do, in one line; `one` is what has it, `typed` see `catdog`."""
    head = f"--name {name}: the name is taken by {in_words(one)}; use another --name"
    if is_claim(one):
        return f"{head}, or try again in a minute"
    if not is_top(one) or one["metadata"]["name"] != name:
        return head
    resume = catdog(typed, "resume", name)
    if has_finished(one):
        return f"{head}, or {resume}, or {catdog(typed, 'delete', name)} first"
    return f"{head}, or {catdog(typed, 'cancel', name)} and then {resume}"


def _ours(one: Object) -> bool:
    labels, metadata = _labels(one), one["metadata"]
    mine = labels.get(NAME_LABEL) == APP and labels.get(MANAGER_LABEL) == MANAGER
    return mine and labels.get(INSTANCE_LABEL) == metadata["name"] and not metadata.get("ownerReferences")


def _labels(one: Object) -> Object:
    return one["metadata"].get("labels") or {}

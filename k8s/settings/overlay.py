"""The pod overlay: what a platform, or a user's profile, may add to the pods of runs; an allow-list.

Each key is a field of Overlay, named as in a pod; there are none for what secures pods, for what catdog sets itself, or
for what a setting of its own says. `k8s.manifest.overlay` puts them under catdog's own fields.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from k8s.exits import CliError, usage
from k8s.labels import (
    COMPONENT_LABEL,
    INSTANCE_LABEL,
    JOBSET_GROUP,
    MANAGER_LABEL,
    NAME_LABEL,
    QUEUE_LABEL,
)
from k8s.planning import quantity
from k8s.settings.layers import Yaml, merge
from trainer.fields import declare

DNS_POLICIES = ("", "ClusterFirst", "ClusterFirstWithHostNet", "Default")
ENV_PREFIX = "NCCL_"


def _add(default: Any, help: str, **facts: Any) -> Any:
    return declare(default, help, flag=False, **facts)


@dataclass(frozen=True)
class Overlay:
    """What is added to the pod of every worker; empty values add nothing."""

    labels: Mapping[str, str] = _add({}, "Labels of the pods, beside catdog's own.")
    annotations: Mapping[str, str] = _add({}, "Annotations of the pods, beside catdog's own.")
    runtime_class_name: str = _add("", "RuntimeClass, such as nvidia on k3s and RKE2.")
    scheduler_name: str = _add("", "Scheduler; empty: the cluster's default.")
    affinity: Mapping[str, Any] = _add({}, "Affinity, as in a pod.")
    topology_spread_constraints: tuple[Yaml, ...] = _add(
        (),
        "As in a pod; without a labelSelector: of the run's workers. One by kubernetes.io/hostname replaces catdog's.",
    )
    dns_policy: str = _add(
        "", "DNS policy; empty: ClusterFirst, with hostNetwork ClusterFirstWithHostNet.", choices=DNS_POLICIES
    )
    host_network: bool = _add(
        False, "Use the node's network: one worker a node, no NetworkPolicy; Pod Security `baseline` forbids it."
    )
    resource_claims: tuple[Yaml, ...] = _add(
        (), "Claims of dynamic resources, as in a pod; the container of the trainer gets each."
    )
    resources: Mapping[str, str] = _add(
        {}, 'More resources of a worker, request and limit: devices such as rdma/hca: "1", and hugepages-2Mi.'
    )
    env: Mapping[str, str] = _add({}, "Variables of NCCL: NCCL_ and more. Others belong in extraEnv.")


OWN_LABELS = (NAME_LABEL, INSTANCE_LABEL, COMPONENT_LABEL, MANAGER_LABEL, QUEUE_LABEL, "job-name", "controller-uid")
OWN_PREFIXES = ("catdog.dev/", "batch.kubernetes.io/", JOBSET_GROUP + "/", "jobset.sigs.k8s.io/")
"""Domains of labels and annotations by which runs are found, and their attempts counted."""
SECURITY_PREFIXES = (
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
)

_CLAIM_KEYS = {"name", "resourceClaimName", "resourceClaimTemplateName"}
_OWN_RESOURCES = ("cpu", "memory", "ephemeral-storage")
DEVICE = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PAGES = re.compile(r"hugepages-\d+[KMG]i")


def over(below: Overlay, above: Overlay) -> Overlay:
    """`above` added to `below`: mappings by key, and `above` wins; everything else from `above` if it says it."""
    made: dict[str, Any] = {}
    for one in dataclasses.fields(Overlay):
        first, second = getattr(below, one.name), getattr(above, one.name)
        made[one.name] = merge((first, second)) if isinstance(first, Mapping) else second or first
    return Overlay(**made)


def check(overlay: Overlay, shown: str, gpu_resource: str) -> None:
    """Raise CliError 2 for what would replace something of catdog's own; `shown` is where the overlay is."""
    for error in _faults(overlay, shown, gpu_resource):
        raise error


def _faults(overlay: Overlay, shown: str, gpu_resource: str) -> Iterator[CliError]:
    for kind, names in (("labels", overlay.labels), ("annotations", overlay.annotations)):
        for name in names:
            if name == QUEUE_LABEL:
                yield usage(f"{shown}.{kind}.{name} is not allowed: the setting `queue` says it; use that")
            if name in OWN_LABELS or name.startswith(OWN_PREFIXES):
                yield usage(
                    f"{shown}.{kind}.{name} is not allowed: runs are found by it, so catdog sets it; use another name"
                )
            if name.startswith(SECURITY_PREFIXES):
                yield usage(f"{shown}.{kind}.{name} is not allowed: it would change how pods are secured; remove it")
    for name in overlay.env:
        if not name.startswith(ENV_PREFIX):
            yield usage(f"{shown}.env.{name} is not allowed; allowed are {ENV_PREFIX}*, and others in extraEnv")
    for name, amount in overlay.resources.items():
        yield from _resource(name, amount, f"{shown}.resources.{name}", gpu_resource)
    for number, claim in enumerate(overlay.resource_claims):
        yield from _claim(claim, f"{shown}.resourceClaims[{number}]")
    claims = [claim["name"] for claim in overlay.resource_claims]
    if len(set(claims)) < len(claims):
        yield usage(f"{shown}.resourceClaims has a name twice; each claim needs its own")


def _resource(name: str, amount: str, shown: str, gpu_resource: str) -> Iterator[CliError]:
    if name in _OWN_RESOURCES:
        yield usage(f"{shown} is not allowed: the settings `resources` and `gpu.resources` say it; use them")
    elif name == gpu_resource:
        yield usage(f"{shown} is not allowed: --gpus says how many a worker gets; remove it")
    elif not DEVICE.fullmatch(name) and not _PAGES.fullmatch(name):
        yield usage(f"{shown} is not allowed; allowed are devices (DOMAIN/NAME, such as rdma/hca) and hugepages-SIZE")
    elif words := quantity.fault(amount):
        yield usage(f"{shown} is {amount!r}; it must be {words}")
    elif DEVICE.fullmatch(name) and not amount.isdecimal():
        yield usage(f"{shown} is {amount!r}; it must be a whole number of devices")


def _claim(claim: Yaml, shown: str) -> Iterator[CliError]:
    for key in sorted(set(claim) - _CLAIM_KEYS, key=str):
        yield usage(f"{shown}.{key} is not allowed; allowed are {', '.join(sorted(_CLAIM_KEYS))}")
    for key, value in claim.items():
        if not isinstance(value, str) or not value:
            yield usage(f"{shown}.{key} is {value!r}; it must be text")
    if "name" not in claim or len(claim) != 2:
        yield usage(f"{shown} needs a name, and either resourceClaimName or resourceClaimTemplateName")

"""Puts the overlay of the platform under a pod template: what catdog sets itself stays as it is."""

from typing import Any

from k8s.exits import usage
from k8s.labels import COMPONENT_LABEL, HOSTNAME_LABEL, INSTANCE_LABEL, WORKER
from k8s.manifest.resources import overlay_of
from k8s.manifest.spec import Object, RunSpec
from k8s.settings.overlay import Overlay
from k8s.settings.platform import Platform

CLUSTER_DNS_ON_HOST = "ClusterFirstWithHostNet"
"""The policy by which a pod on the node's network finds the names of the cluster, and so its peers."""


def overlaid(template: Object, spec: RunSpec, platform: Platform) -> Object:
    """The pod template of a run with the overlay below it.

    Raises:
        CliError: 2 for an overlay that contradicts what the run needs, or repeats what it has.
    """
    overlay = overlay_of(platform, spec.gpus)
    check(overlay, spec)
    metadata, pod = template["metadata"], template["spec"]
    [container] = pod["containers"]
    return {
        "metadata": {
            "labels": {**overlay.labels, **metadata["labels"]},
            "annotations": {**overlay.annotations, **metadata["annotations"]},
        },
        "spec": {
            **_pod_fields(overlay),
            **pod,
            "containers": [_container(overlay, container)],
            **_spread(overlay, spec, pod.get("topologySpreadConstraints", [])),
        },
    }


def check(overlay: Overlay, spec: RunSpec) -> None:
    """Raise CliError 2 for a DNS policy under which the workers of a run would not find each other."""
    policy = overlay.dns_policy
    if spec.workers > 1 and (policy == "Default" or (policy == "ClusterFirst" and overlay.host_network)):
        beside = " with hostNetwork" if overlay.host_network else ""
        proper = CLUSTER_DNS_ON_HOST if overlay.host_network else "ClusterFirst"
        raise usage(
            f"overlay.dnsPolicy is {policy}{beside}: {spec.workers} workers would not find each other, since the names "
            f"of the cluster do not resolve; use {proper}, or leave it out"
        )


def _pod_fields(overlay: Overlay) -> Object:
    """Fields of the pod that catdog does not set itself; empty ones are left out."""
    policy = overlay.dns_policy or (CLUSTER_DNS_ON_HOST if overlay.host_network else "")
    fields: dict[str, Any] = {
        "runtimeClassName": overlay.runtime_class_name,
        "schedulerName": overlay.scheduler_name,
        "affinity": dict(overlay.affinity),
        "dnsPolicy": policy,
        "hostNetwork": overlay.host_network,
        "resourceClaims": [dict(one) for one in overlay.resource_claims],
    }
    return {name: value for name, value in fields.items() if value}


def _container(overlay: Overlay, container: Object) -> Object:
    """Of the extra resources, `requests` has put what is counted into the container; claims are named here."""
    made = dict(container)
    taken = {one["name"] for one in container["env"]}
    for name in overlay.env:
        if name in taken:
            raise usage(f"overlay.env.{name} is in extraEnv too; remove one of the two")
    if overlay.env:
        made["env"] = [*container["env"], *({"name": name, "value": text} for name, text in overlay.env.items())]
    if overlay.resource_claims:
        claims = [{"name": one["name"]} for one in overlay.resource_claims]
        made["resources"] = {**container["resources"], "claims": claims}
    return made


def _spread(overlay: Overlay, spec: RunSpec, own: list[Object]) -> Object:
    selector = {"matchLabels": {INSTANCE_LABEL: spec.name, COMPONENT_LABEL: WORKER}}
    more: list[Object] = [{"labelSelector": selector, **one} for one in overlay.topology_spread_constraints]
    replaced = any(one.get("topologyKey") == HOSTNAME_LABEL for one in more)
    constraints = [*(() if replaced else own), *more]
    return {"topologySpreadConstraints": constraints} if constraints else {}

"""From flags to a run that can be created: configure, plan, render, check on the server."""

import dataclasses
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from k8s.actions import folders, observe
from k8s.actions.create import configuration
from k8s.actions.installation import Installation
from k8s.actions.targets import target
from k8s.api import client as api
from k8s.api.client import Cluster
from k8s.exits import missing, usage
from k8s.explain.observation import Object
from k8s.manifest import objects as kinds
from k8s.manifest import resources
from k8s.manifest import spec as specs
from k8s.manifest.render import render, shape_note
from k8s.manifest.spec import RunSpec, Served
from k8s.manifest.volumes import mounted
from k8s.planning import plan
from k8s.planning.capacity import NodeSpace, one_each
from k8s.planning.plan import Plan
from k8s.settings.flags import resolve
from k8s.settings.platform import Platform, require_image
from trainer.class_weights import inlined
from trainer.config import PRETRAINED, RunConfig
from trainer.requests import from_json

ON_HOST = (
    "hostNetwork: one worker a node, since the ports are the node's; no NetworkPolicy holds; a namespace that enforces "
    "the Pod Security Standard baseline or restricted refuses the pods"
)
RENDEZVOUS_SECONDS = 1200.0  # nodes may have to be created, and images pulled
Nodes = Callable[[dict[str, str], list[dict[str, Any]]], tuple[Sequence[NodeSpace] | None, list[str]]]


@dataclass(frozen=True)
class Asked:
    """What the user requested: flags of RunConfig by field name, and the shape of the run."""

    values: Mapping[str, Any]
    gpus: int
    workers: int | None = None
    gpus_per_node: int | None = None
    name: str = ""


@dataclass(frozen=True)
class Prepared:
    """A run that can be created: its objects, what holds its name until they exist, and notes about them."""

    spec: RunSpec
    objects: list[specs.Object]
    claim: specs.Object | None
    notes: tuple[str, ...]


def prepare(asked: Asked, platform: Platform, served: Served, nodes: Nodes, now: datetime) -> Prepared:
    """Everything up to the first write. `nodes` reads the matching nodes, or returns None.

    Raises:
        CliError: 2 for invalid arguments, 3 for what the platform lacks.
        ExitError: 64 for an option's value out of bounds.
    """
    require_image(platform)
    base = resolve(asked.values, platform.recipe)
    name = asked.name or default_name(base.recipe, now)
    # One worker is enough to know which nodes match: all workers are equal.
    found, looked = nodes(resources.selector_of(platform, asked.gpus), resources.tolerations_of(platform, asked.gpus))
    on_host = resources.overlay_of(platform, asked.gpus).host_network
    if on_host:
        found = None if found is None else one_each(found)
    chosen = plan.plan(
        asked.gpus,
        lambda gpus: resources.need(platform, gpus),
        found,
        platform.gpus_per_node,
        workers=asked.workers,
        gpus_per_worker=asked.gpus_per_node,
        slices=resources.slices(platform),
    )
    resources.check_memory(platform, chosen.gpus)
    config = configure(asked.values, base, platform, chosen, name)
    spec = RunSpec(name, config, chosen.gpus)
    objects = render(spec, platform, served)
    notes = [*looked, chosen.note, shape_note(spec, platform, served)]
    if on_host:
        notes.append(ON_HOST)
    if "recipe" not in asked.values:
        notes.append(f"recipe {config.recipe} (the platform's default; --recipe overrides it)")
    if not config.metrics_port:
        notes.append("--metrics-port 0: no metrics, and no liveness probe: a pod that freezes is not restarted")
    if not config.data:
        notes.append("no --data, and none in the platform: using the drawn demo set (cartoons, not photographs)")
    claim = kinds.claim(spec, platform) if objects[0]["kind"] == "JobSet" else None
    return Prepared(spec, objects, claim, tuple(notes))


def prepare_in(site: Installation, asked: Asked, now: datetime, note: Callable[[str], None]) -> Prepared:
    """`prepare` against the nodes of a cluster as far as they may be read; notes and warnings go to `note`.

    Raises:
        CliError: as `prepare`; as `check_uris`.
    """

    def nodes(selector: dict[str, str], tolerations: list[dict[str, Any]]) -> Any:
        return observe.node_spaces(site.cluster, selector, tolerations) if site.platform.nodes_readable else (None, [])

    prepared = prepare(asked, site.platform, site.served, nodes, now)
    for line in (*prepared.notes, *check_uris(prepared.spec.config)):
        note(line)
    return prepared


def default_name(recipe: str, now: datetime) -> str:
    """RECIPE-DATE-TIME, so that names sort by age."""
    return f"{recipe.replace('_', '-')}-{now:%Y%m%d-%H%M%S}"


def configure(values: Mapping[str, Any], base: RunConfig, platform: Platform, chosen: Plan, name: str) -> RunConfig:
    """The configuration for the pods: flags override the platform and the plan, and these the recipe.

    Raises:
        CliError: 2 for flags that contradict --gpus, or folders that pods cannot see; 3 without a location for runs.
    """
    accelerator = "gpu" if chosen.gpus else "cpu"
    if values.get("accelerator", "auto") not in ("auto", accelerator):
        raise usage(f"--accelerator {values['accelerator']} contradicts --gpus {chosen.workers * chosen.gpus}")
    if chosen.gpus and values.get("devices", chosen.gpus) not in (0, chosen.gpus):
        raise usage(f"--devices {values['devices']} contradicts --gpus: each worker gets {chosen.gpus}")
    run = values.get("run") or (f"{platform.runs.rstrip('/')}/{name}" if platform.runs else "")
    if not run:
        raise missing(
            "no location for the run folder: helm upgrade catdog … --set runs=gs://BUCKET/PREFIX, or --run gs://BUCKET/PREFIX"
        )
    data = values.get("data", platform.data)  # --data '' is the demo set, whatever the platform says
    # A run that is resumed has its own, even if empty; --weights '' is those in the image, whatever the platform says.
    takes_weights = base.model in PRETRAINED and not base.init_from
    weights = values.get("weights", platform.weights if takes_weights else "")
    init_from = target(base.init_from, platform.runs).uri if base.init_from else ""
    if base.init_from and not init_from:
        raise missing(f"--init-from {base.init_from} is a name, and the platform has no `runs`; use gs://BUCKET/PREFIX")
    for flag, uri in (("--run", run), ("--data", data), ("--init-from", init_from), ("--weights", weights)):
        check_visible(platform, flag, uri)
    return dataclasses.replace(
        base,
        class_weights=inlined(base.class_weights),
        weights=weights,
        data=data,
        run=run,
        init_from=init_from,
        workers=chosen.workers,
        accelerator=accelerator,
        devices=chosen.gpus or base.devices,
        metrics_port=values.get("metrics_port", platform.metrics_port),
        rendezvous_timeout=values.get("rendezvous_timeout", RENDEZVOUS_SECONDS),
    )


def check_visible(platform: Platform, flag: str, uri: str) -> None:
    """Raise CliError 2 when `uri` is a folder that is not mounted in the pods."""
    if not uri or uri.startswith("gs://"):
        return
    path = uri.removeprefix("file://")
    if not path.startswith("/") or not mounted(platform, path):
        raise usage(f"{flag} {uri}: pods cannot see that folder; use gs://…, or a folder below a mount of extraVolumes")


def check_uris(config: RunConfig) -> list[str]:
    """Check that the data, weights and run URIs exist, as far as these credentials allow; return warnings.

    Raises:
        CliError: 3 when a data set, weights or a bucket are missing; 2 when the weights are of another network.
    """
    warnings = []
    if config.data.startswith("gs://"):
        warnings.append(folders.check_data(config.data))
    if config.weights.startswith("gs://"):
        warnings.append(folders.check_weights(config.weights, config.model))
    if config.run.startswith("gs://"):
        warnings.append(folders.check_runs(config.run))
    return [warning for warning in warnings if warning]


def check_on_server(cluster: Cluster, prepared: Prepared) -> list[str]:
    """Server-side dry run of every object; return the server's warnings, each once.

    The claim is among them: the API server looks into the pod template of a Job, but not into that of a JobSet.

    Raises:
        ApiError: the first object that would be refused.
    """
    every = [*([prepared.claim] if prepared.claim is not None else []), *prepared.objects]
    warnings = [warning for one in every for warning in api.create(cluster, one, dry_run=True)[1]]
    return list(dict.fromkeys(warnings))


def check_replacement(cluster: Cluster, prepared: Prepared) -> None:
    """The same while an earlier run still has the names: under others of the same length.

    Raises:
        ApiError: the first object that would be refused.
    """
    claim = None if prepared.claim is None else _renamed(prepared.claim)
    objects = [_renamed(one) for one in prepared.objects]
    check_on_server(cluster, dataclasses.replace(prepared, claim=claim, objects=objects))


def _renamed(one: specs.Object) -> specs.Object:
    name = str(one["metadata"]["name"])
    end = secrets.token_hex(len(name))[: len(name) - 1]
    return {**one, "metadata": {**one["metadata"], "name": f"x{end}"}}


def again(
    name: str, uri: str, top: Object | None, gpus: int | None, gpus_per_node: int | None, typed: Mapping[str, Any]
) -> Asked:
    """The request that resumes a run: its original request, overridden by the flags given now.

    Its configuration is read from its objects if they exist, else from its folder, which must be readable.

    Raises:
        CliError: 3 when neither has it.
    """
    text = None if top is None else configuration(top)
    config = from_json(text, RunConfig) if text is not None else folders.read_config(uri)
    before = config.workers * max(1, config.devices) if config.accelerator == "gpu" else 0
    total = before if gpus is None else gpus
    values = {**dataclasses.asdict(config), **typed}
    workers = typed.get("workers")
    if workers is None and total == 0 and before == 0:
        workers = config.workers
    values.pop("workers")
    if total > 0 or before > 0:
        # The plan decides both again, unless flags set them; CPU workers on CPUs keep their virtual devices.
        for planned in ("accelerator", "devices"):
            if planned not in typed:
                values.pop(planned)
    return Asked(values, total, workers, gpus_per_node, name)

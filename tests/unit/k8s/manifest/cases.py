"""The runs whose objects are stored as golden files. `python -m tests.unit.k8s.manifest.cases` updates the files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from k8s.manifest.render import render
from k8s.manifest.spec import RunSpec, Served
from k8s.manifest.text import to_yaml
from k8s.settings.overlay import Overlay
from k8s.settings.platform import Gpu, Platform, Resources
from trainer.config import RunConfig
from trainer.recipes import RECIPES

FOLDER = Path(__file__).parent / "golden"

PLATFORM = Platform(
    image="registry.example/catdog:1.0",
    data="gs://pictures/dogs-vs-cats",
    runs="gs://models/runs",
    service_account="catdog-run",
)
EVERYTHING = replace(
    PLATFORM,
    image_pull_policy="Always",
    image_pull_secrets=("registry",),
    node_selector={"pool": "training"},
    tolerations=({"key": "dedicated", "operator": "Equal", "value": "training", "effect": "NoSchedule"},),
    resources=Resources(cpu="1500m", memory="3Gi", ephemeral_storage="5Gi"),
    gpu=Gpu(
        node_selector={"accelerator": "l4"},
        tolerations=({"key": "spot", "operator": "Exists"},),
        resources=Resources(cpu="3500m", memory="12Gi", ephemeral_storage="20Gi"),
    ),
    shared_memory="2Gi",
    queue="research",
    priority_class="batch-low",
    max_restarts=2,
    active_deadline_seconds=3600,
    ttl_seconds_after_finished=600,
    metrics_port=9400,
    token_audience="//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
    gang_secret="catdog-gang",
    extra_env=({"name": "STORAGE_EMULATOR_HOST", "value": "http://storage:4443"},),
    extra_volumes=({"name": "pictures", "persistentVolumeClaim": {"claimName": "pictures", "readOnly": True}},),
    extra_volume_mounts=({"name": "pictures", "mountPath": "/pictures", "readOnly": True},),
)

OVERLAY = replace(
    PLATFORM,
    gpus_per_node=1,
    overlay=Overlay(
        labels={"team": "vision", "sidecar.istio.io/inject": "false"},
        annotations={"example.com/owner": "vision"},
        scheduler_name="bin-packing",
        affinity={
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
                }
            }
        },
        topology_spread_constraints=(
            {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"},
        ),
        resource_claims=({"name": "nic", "resourceClaimTemplateName": "one-nic"},),
        resources={"rdma/hca": "1"},
        env={"NCCL_SOCKET_IFNAME": "eth1"},
    ),
    gpu=Gpu(
        resource="nvidia.com/mig-1g.10gb",
        overlay=Overlay(runtime_class_name="nvidia", env={"NCCL_IB_HCA": "mlx5"}),
    ),
)


def config(name: str, workers: int, gpus: int, platform: Platform = PLATFORM, recipe: str = "baseline") -> RunConfig:
    return replace(
        RECIPES[recipe](),
        data=platform.data,
        run=f"{platform.runs}/{name}",
        workers=workers,
        accelerator="gpu" if gpus else "cpu",
        devices=gpus,
        metrics_port=platform.metrics_port,
        rendezvous_timeout=1200.0,
    )


def spec(name: str, workers: int, gpus: int, platform: Platform = PLATFORM, recipe: str = "baseline") -> RunSpec:
    return RunSpec(name, config(name, workers, gpus, platform, recipe), gpus)


BOTH = Served(jobset=True, kueue=True)
NEITHER = Served(jobset=False, kueue=False)
JOBSET = Served(jobset=True, kueue=False)

CASES: dict[str, tuple[RunSpec, Platform, Served]] = {
    "one-node-cpu": (spec("first", 1, 0), PLATFORM, NEITHER),
    "one-node-4-gpus": (spec("big", 1, 4), PLATFORM, JOBSET),
    "two-nodes-jobset": (spec("gang", 2, 2), PLATFORM, JOBSET),
    "two-nodes-job": (spec("gang", 2, 2), PLATFORM, NEITHER),
    "two-cpu-workers-jobset": (spec("slow", 2, 0, recipe="demo"), PLATFORM, JOBSET),
    "everything-jobset-queue": (spec("full", 4, 1, EVERYTHING, "augmented"), EVERYTHING, BOTH),
    "overlay-jobset": (spec("more", 2, 1, OVERLAY), OVERLAY, JOBSET),
    "overlay-job": (spec("more", 2, 1, OVERLAY), OVERLAY, NEITHER),
    "everything-job-queue": (spec("full", 4, 1, EVERYTHING, "augmented"), replace(EVERYTHING, shape="job"), BOTH),
}


def rendered(name: str) -> str:
    return to_yaml(render(*CASES[name]))


def pod_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    job = objects[0]["spec"]
    if "replicatedJobs" in job:
        job = job["replicatedJobs"][0]["template"]["spec"]
    template: dict[str, Any] = job["template"]
    return template


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.yaml"):
        if old.stem not in CASES:
            old.unlink()
    for name in CASES:
        (FOLDER / f"{name}.yaml").write_text(rendered(name))
    print(f"wrote {len(CASES)} golden files")

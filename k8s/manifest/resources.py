"""What a worker requests (CPU, memory, disk and GPUs), and which nodes it can be scheduled to."""

from decimal import Decimal

from k8s.exits import usage
from k8s.labels import NOT_READY_TAINT, UNREACHABLE_TAINT
from k8s.manifest.spec import Object
from k8s.planning import quantity
from k8s.planning.capacity import Amounts
from k8s.settings.overlay import Overlay, over
from k8s.settings.platform import Platform, Resources

LOST_NODE_SECONDS = 60


def requests(platform: Platform, gpus: int) -> dict[str, str]:
    """Requests and limits of one worker with this many GPUs, as Kubernetes quantities."""
    per: Resources = platform.gpu.resources if gpus else platform.resources
    factor = max(1, gpus)
    made = {
        "cpu": quantity.multiply(per.cpu, factor, "resources.cpu"),
        "memory": quantity.multiply(per.memory, factor, "resources.memory"),
        "ephemeral-storage": quantity.multiply(per.ephemeral_storage, factor, "resources.ephemeralStorage"),
    }
    if gpus:
        made[platform.gpu.resource] = str(gpus)
    return {**overlay_of(platform, gpus).resources, **made}


def overlay_of(platform: Platform, gpus: int) -> Overlay:
    """What is added to the pod of a worker with this many GPUs."""
    return over(platform.overlay, platform.gpu.overlay) if gpus else platform.overlay


def slices(platform: Platform) -> str:
    """The GPU resource if its units are MIG slices (nvidia.com/mig-1g.10gb), of which a worker uses one; else empty."""
    name = platform.gpu.resource
    return name if name.partition("/")[2].startswith("mig-") else ""


def need(platform: Platform, gpus: int) -> Amounts:
    """Requests of one worker with this many GPUs, in base units."""
    return {name: quantity.parse(text, name) for name, text in requests(platform, gpus).items()}


def selector_of(platform: Platform, gpus: int) -> dict[str, str]:
    """Labels that a worker's node must have."""
    return {**platform.node_selector, **(platform.gpu.node_selector if gpus else {})}


def tolerations_of(platform: Platform, gpus: int) -> list[Object]:
    """Taints that a worker tolerates; those of a lost node for LOST_NODE_SECONDS."""
    made: list[Object] = [dict(one) for one in platform.tolerations]
    if gpus:
        made += [dict(one) for one in platform.gpu.tolerations]
        made.append({"key": platform.gpu.resource, "operator": "Exists", "effect": "NoSchedule"})
    for taint in (NOT_READY_TAINT, UNREACHABLE_TAINT):
        made.append({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": LOST_NODE_SECONDS})
    return made


def check_memory(platform: Platform, gpus: int) -> None:
    """Raise CliError 2 if /dev/shm, which counts as memory, would leave a worker no other memory."""
    asked = Decimal(need(platform, gpus)["memory"])
    if quantity.parse(platform.shared_memory, "sharedMemory") >= asked:
        raise usage(
            f"sharedMemory is {platform.shared_memory}; it must be less than a worker's memory, {quantity.shown(asked)}"
        )

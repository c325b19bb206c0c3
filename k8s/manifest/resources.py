"""What a worker asks of its node: processors, memory, disk and GPUs, and which nodes it may be placed on."""

from decimal import Decimal

from k8s.exits import usage
from k8s.labels import NOT_READY_TAINT, UNREACHABLE_TAINT
from k8s.manifest.spec import Object
from k8s.planning import quantity
from k8s.planning.capacity import Amounts
from k8s.settings.platform import Platform, Resources

LOST_NODE_SECONDS = 60


def requests(platform: Platform, gpus: int) -> dict[str, str]:
    """What one worker with so many GPUs requests, and is limited to, as Kubernetes writes quantities."""
    per: Resources = platform.gpu.resources if gpus else platform.resources
    factor = max(1, gpus)
    made = {
        "cpu": quantity.multiply(per.cpu, factor, "resources.cpu"),
        "memory": quantity.multiply(per.memory, factor, "resources.memory"),
        "ephemeral-storage": quantity.multiply(per.ephemeral_storage, factor, "resources.ephemeralStorage"),
    }
    return {**made, platform.gpu.resource: str(gpus)} if gpus else made


def need(platform: Platform, gpus: int) -> Amounts:
    """What one worker with so many GPUs requests, in base units."""
    return {name: quantity.parse(text, name) for name, text in requests(platform, gpus).items()}


def selector_of(platform: Platform, gpus: int) -> dict[str, str]:
    """Labels that a worker's node must have."""
    return {**platform.node_selector, **(platform.gpu.node_selector if gpus else {})}


def tolerations_of(platform: Platform, gpus: int) -> list[Object]:
    """Taints that a worker tolerates; a node that is gone is waited for LOST_NODE_SECONDS."""
    made: list[Object] = [dict(one) for one in platform.tolerations]
    if gpus:
        made += [dict(one) for one in platform.gpu.tolerations]
        made.append({"key": platform.gpu.resource, "operator": "Exists", "effect": "NoSchedule"})
    for taint in (NOT_READY_TAINT, UNREACHABLE_TAINT):
        made.append({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": LOST_NODE_SECONDS})
    return made


def check_memory(platform: Platform, gpus: int) -> None:
    """Raise CliError 2 when /dev/shm, which counts as memory, would leave a worker none."""
    asked = Decimal(need(platform, gpus)["memory"])
    if quantity.parse(platform.shared_memory, "sharedMemory") >= asked:
        raise usage(
            f"sharedMemory {platform.shared_memory} is not less than the memory of a worker, {quantity.shown(asked)}"
        )

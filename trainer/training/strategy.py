"""Topology and devices → threads, precision and a tf.distribute strategy with its communication chosen explicitly."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.python.eager import context  # no public name sets the coordination service's timeouts

from trainer.config import PRETRAINED, RunConfig
from trainer.exits import Exit, ExitError
from trainer.process.container import free_memory, local_workers, processors
from trainer.tensors import PhysicalDevice, Strategy
from trainer.workers.topology import Topology, tf_config

LEAST_RESERVED = 64 << 20
"""Bytes of addresses; of less it does not matter how they are divided."""

HEARTBEAT_TIMEOUT_MS = 10 * 365 * 24 * 3600 * 1000
"""Milliseconds: longer than any clock is wrong."""


@dataclass(frozen=True)
class Devices:
    """What this worker trains on: logical device names of one kind ("CPU" or "GPU")."""

    kind: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Distribution:
    """A strategy, its name, the replicas of all workers together, the global numbers of those on this worker, and its
    devices."""

    strategy: Strategy
    name: str
    replicas: int
    local: range
    devices: tuple[str, ...]

    @property
    def gpus(self) -> int:
        """Of all workers together; 0 on CPUs."""
        return self.replicas if "gpu" in self.devices[0] else 0


def threads_of(config: RunConfig, environment: Mapping[str, str]) -> int:
    """Threads within one op. One with --deterministic, so that no sum depends on the machine's cores; and one for a
    pre-trained network, whose features are computed exactly in either mode."""
    if config.deterministic or config.model in PRETRAINED:
        return 1
    return config.threads or max(1, processors() // local_workers(environment))


def parts_per_replica(config: RunConfig, devices: Devices, environment: Mapping[str, str]) -> int:
    """Parts of a batch that one replica computes side by side in fast mode: where an op has one thread, the other cores
    would be idle."""
    if config.model not in PRETRAINED or devices.kind != "CPU":
        return 1
    cores = config.threads or max(1, processors() // local_workers(environment))
    return max(1, cores // len(devices.names))


def configure(config: RunConfig, environment: Mapping[str, str]) -> Devices:
    """Set threads, determinism and devices of this process; call once, before any op.

    Raises:
        ExitError: 78 when the requested GPUs are not available.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads_of(config, environment))
    tf.config.threading.set_inter_op_parallelism_threads(config.threads or processors())
    if config.deterministic or config.model in PRETRAINED:
        tf.config.experimental.enable_op_determinism()
        # It would re-associate sums across slices.
        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    if config.model in PRETRAINED:
        tf.config.experimental.enable_tensor_float_32_execution(False)  # features are float32
    gpus = tf.config.list_physical_devices("GPU")
    if config.accelerator == "gpu" and not gpus:
        raise ExitError(
            Exit.NO_ACCELERATOR,
            "--accelerator gpu, but TensorFlow sees no GPU: check the node's driver, the image's CUDA variant and the "
            "pod's nvidia.com/gpu limit",
        )
    if gpus and config.accelerator != "cpu":
        return _use_gpus(config, gpus)
    tf.config.set_visible_devices([], "GPU")
    count = config.devices or 1
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)])
    return Devices("CPU", tuple(f"/cpu:{i}" for i in range(count)))


def _use_gpus(config: RunConfig, gpus: list[PhysicalDevice]) -> Devices:
    if config.devices > len(gpus):
        raise ExitError(Exit.NO_ACCELERATOR, f"--devices is {config.devices}, but TensorFlow sees {len(gpus)} GPUs")
    chosen = gpus[: config.devices or len(gpus)]
    tf.config.set_visible_devices(chosen, "GPU")
    for gpu in chosen:
        tf.config.experimental.set_memory_growth(gpu, True)
    return Devices("GPU", tuple(f"/gpu:{i}" for i in range(len(chosen))))


def gpu_models(devices: Devices) -> tuple[str, ...]:
    """The models of the GPUs that this worker trains on, as their driver names them; none on CPUs."""
    if devices.kind != "GPU":
        return ()
    chosen = tf.config.list_physical_devices("GPU")[: len(devices.names)]
    details = (tf.config.experimental.get_device_details(gpu) for gpu in chosen)
    return tuple(str(known.get("device_name", "unnamed")) for known in details)


def gpu_memory(devices: Devices) -> dict[str, Callable[[], tuple[float, float]]]:
    """Of each GPU here, what tells the bytes of its memory that TensorFlow uses, and the most that it has used."""

    def read(name: str) -> tuple[float, float]:
        told = tf.config.experimental.get_memory_info(name)
        return float(told["current"]), float(told["peak"])

    names = devices.names if devices.kind == "GPU" else ()
    return {name.rpartition(":")[2]: functools.partial(read, name.strip("/").upper()) for name in names}


def resolve_precision(config: RunConfig, devices: Devices) -> RunConfig:
    """Replace precision=auto with the one in which the hardware multiplies fastest."""
    if config.precision != "auto":
        return config
    if config.model in PRETRAINED and devices.kind == "CPU":
        return dataclasses.replace(config, precision="float32")  # bfloat16 is no faster in depthwise convolutions
    return dataclasses.replace(config, precision=_fast_precision(devices))


def _fast_precision(devices: Devices) -> str:
    if devices.kind == "GPU":
        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        major = details.get("compute_capability", (0, 0))[0]
        return "mixed_bfloat16" if major >= 8 else "mixed_float16" if major == 7 else "float32"
    return "mixed_bfloat16" if cpu_flags() & {"avx512_bf16", "amx_bf16"} else "float32"


def cpu_flags() -> set[str]:
    """What the processor can do, as the kernel names it; empty where it does not say."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("flags"):
            return set(line.split(":", 1)[1].split())
    return set()


def distribute(topology: Topology, devices: Devices, environment: MutableMapping[str, str]) -> Distribution:
    """The strategy for this topology: none, MirroredStrategy, or MultiWorkerMirroredStrategy.

    TensorFlow reads the workers' addresses from TF_CONFIG in the environment, so `environment` must be this process's
    own.

    Collectives are RING on CPUs and NCCL on GPUs: AUTO can choose differently on two workers and hang
    (tensorflow#120987).
    """
    count = len(devices.names)
    if topology.alone:
        if count == 1:
            return Distribution(
                tf.distribute.OneDeviceStrategy(devices.names[0]), "one device", 1, range(1), devices.names
            )
        cross = tf.distribute.NcclAllReduce() if devices.kind == "GPU" else tf.distribute.ReductionToOneDevice()
        strategy = tf.distribute.MirroredStrategy(list(devices.names), cross_device_ops=cross)
        return Distribution(strategy, "MirroredStrategy", count, range(count), devices.names)
    environment["TF_CONFIG"] = tf_config(topology)
    _watch_peers_by_line_alone(topology.world)
    communication = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=communication.NCCL if devices.kind == "GPU" else communication.RING
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    replicas = strategy.num_replicas_in_sync
    local = replicas // topology.world
    mine = range(topology.rank * local, (topology.rank + 1) * local)
    return Distribution(strategy, "MultiWorkerMirroredStrategy", replicas, mine, devices.names)


def _watch_peers_by_line_alone(workers: int) -> None:
    """Let TensorFlow's coordination service, in the first worker, take none of them for lost.

    It measures heartbeats by the time of day (CoordinationService::TaskState::TimeSinceLastHeartbeatMs), with a timeout
    of 10 s: a clock set forward there would end the gang. trainer.workers.line counts its own ticks, knows more, and is
    at it before TensorFlow is.
    """
    job = context.coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=workers)
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        coordinated_jobs=[job],
        heartbeat_timeout_in_ms=HEARTBEAT_TIMEOUT_MS,
    )


def abort_collectives(words: str) -> None:
    """Let collectives that wait for a worker which is lost fail at once, from any thread, and all later ones; nothing
    else would make them, as long as that worker's machine keeps its connections."""
    context.context().abort_collective_ops(tf.errors.UNAVAILABLE, words)


def reserve(devices: Devices, size: int) -> None:
    """Give TensorFlow's allocator on CPUs one region of addresses for what a step needs; memory is taken as it is
    written to.

    The allocator (BFCAllocator, by MklCPUAllocator) grows by regions that double, no tensor spans two, and none is
    ever given back: steps of the recipe `augmented` in float32, which need 520 MiB, held 590 to 730 in such regions,
    540 in one that has room for all, and 1,000 in two of which one nearly has. For every 32 bytes of addresses it
    writes down one, and it rounds up to a power of two.
    """
    mebibytes = min(size, free_memory() // 2) >> 20
    if devices.kind != "CPU" or mebibytes < LEAST_RESERVED >> 20:
        return
    # Where addresses are counted as memory, it may not get them, and grows as it always did.
    with suppress(tf.errors.ResourceExhaustedError), tf.device("/cpu:0"):
        tf.raw_ops.Empty(shape=[mebibytes, 1 << 20], dtype=tf.uint8, init=False)


def describe(distribution: Distribution, devices: Devices, config: RunConfig) -> str:
    """How it trains, in one line: "MirroredStrategy on 2 x CPU, float32, fast mode"."""
    mode = "deterministic" if config.deterministic else "fast mode"
    return f"{distribution.name} on {distribution.replicas} x {devices.kind}, {config.precision}, {mode}"


def set_precision(precision: str) -> None:
    """Make layers built from now on compute in this precision."""
    keras.mixed_precision.set_global_policy(precision)

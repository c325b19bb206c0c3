"""Computes the features of pictures exactly: the same bits on any number of workers, in either mode of training.

Kernels round by the number of rows and of threads. So rows go through one traced function in chunks of a fixed size, on
one device, in float32, and on CPUs with one thread inside an op and chunks side by side. Each worker computes every
n-th block, and all get all of them from the run folder.
"""

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.config import RunConfig
from trainer.data.cache import PixelCache
from trainer.data.decode import PixelPath, Pixels
from trainer.data.features import CHUNK, Block, BlockName, Floats, chunks_of, encode, find_all
from trainer.data.pipeline import prefetched
from trainer.exits import Exit, ExitError
from trainer.models.pretrained import build_features
from trainer.storage.base import Storage
from trainer.storage.errors import StorageDenied, StorageFailed
from trainer.tensors import Arrays, Tensor
from trainer.training.agreement import wait_for_all
from trainer.training.strategy import Devices, Distribution, cpu_flags

log = logging.getLogger(__name__)

Extract = Callable[[Pixels], Floats]
PixelsOf = Callable[[BlockName], PixelCache]
"""The decoded pictures of a block."""

_VECTORS = ("avx", "fma", "amx", "sse4", "asimd", "sve", "bf16", "vnni")


@dataclass(frozen=True)
class Computing:
    """How features are computed on this worker.

    Attributes:
        model: the backbone's name.
        tensors: its weights by layer/variable.
        path: from bytes to pixels.
        variants: by split, 2 where mirror images are rows too, else 1.
        devices: of this worker; the first is used.
        threads: chunks side by side on a CPU.
    """

    model: str
    tensors: Arrays
    path: PixelPath
    variants: Mapping[str, int]
    devices: Devices
    threads: int


@dataclass(frozen=True)
class Counted:
    """What a worker did: pictures that it computed features of, and in how many seconds."""

    pictures: int
    seconds: float


@dataclass(frozen=True)
class Places:
    """Where blocks of features are: in the run folder, in a cache on this machine, in both."""

    run: Storage | None
    cache: Storage | None

    @property
    def every(self) -> tuple[Storage, ...]:
        """The nearest first."""
        return tuple(place for place in (self.cache, self.run) if place is not None)

    def put(self, name: BlockName, block: Block) -> None:
        """Write a block to both; a cache that cannot be written is no loss."""
        data = encode(block)
        if self.run is not None:
            self.run.write(name.file, data)
        if self.cache is not None:
            try:
                self.cache.write(name.file, data)
            except (StorageFailed, StorageDenied) as error:
                log.warning("features are not kept for later runs: %s", error.message)


def facts_of(config: RunConfig, data_fingerprint: str, path: PixelPath, devices: Devices) -> dict[str, Any]:
    """Everything that features depend on."""
    return {
        "weights_sha256": config.weights_sha256,
        "model": config.model,
        "data_fingerprint": data_fingerprint,
        "pixel_path": path.version,
        "image_size": path.size,
        "resize": path.resize,
        **({"antialias": True} if path.antialias else {}),  # there was no such choice when the first were stored
        "mirrored": config.flip,
        "chunk": CHUNK,
        "device": _device(devices),
        "tensorflow": tf.__version__,
    }


def _device(devices: Devices) -> str:
    if devices.kind == "GPU":
        facts = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        return f"GPU {facts.get('device_name', '')} {facts.get('compute_capability', '')}"
    return "CPU " + " ".join(sorted(flag for flag in cpu_flags() if flag.startswith(_VECTORS)))


def extractor(computing: Computing) -> Extract:
    """The backbone as a function of pixels, uint8 [n, size, size, 3], n ≤ CHUNK, to features, float32 [n, width].

    The weights are constants of its graph: convolution, normalisation and activation become one kernel, which makes it
    a quarter faster on CPUs.
    """
    network, size = build_features(computing.model, computing.path.size), computing.path.size
    named = {f"{layer.name}/{variable.name}": variable for layer in network.layers for variable in layer.weights}
    names = {id(variable): name for name, variable in named.items()}

    def constants(variables: Sequence[Any]) -> list[Tensor]:
        return [tf.constant(computing.tensors[names[id(variable)]]) for variable in variables]

    @tf.function(input_signature=[tf.TensorSpec([CHUNK, size, size, 3], tf.uint8)], autograph=False)
    def extract(pixels: Tensor) -> Tensor:
        trainable, others = constants(network.trainable_variables), constants(network.non_trainable_variables)
        return network.stateless_call(trainable, others, tf.cast(pixels, tf.float32), training=False)[0]

    with tf.device(computing.devices.names[0]):
        traced = extract.get_concrete_function()

    def run(pixels: Pixels) -> Floats:
        rows = np.zeros((CHUNK, size, size, 3), np.uint8)
        rows[: len(pixels)] = pixels
        with tf.device(computing.devices.names[0]):
            return np.asarray(traced(tf.constant(rows)).numpy()[: len(pixels)])

    return run


def block_of(cache: PixelCache, variants: int, extract: Extract, pool: ThreadPoolExecutor) -> Block:
    """The features of a block's pictures, and of their mirror images."""
    parts = [(variant, first, last) for variant in range(variants) for first, last in chunks_of(len(cache))]

    def one(part: tuple[int, int, int]) -> Floats:
        variant, first, last = part
        pixels = cache.pixels[first:last]
        return extract(pixels[:, :, ::-1] if variant else pixels)

    rows = np.concatenate(list(pool.map(one, parts)))
    features = rows.reshape(variants, len(cache), rows.shape[1])
    unusable = iter(cache.rejected)
    return Block(features, cache.usable, {int(at): next(unusable) for at in np.flatnonzero(~cache.usable)})


def compute_missing(
    computing: Computing,
    names: Sequence[BlockName],
    width: int,
    places: Places,
    pixels_of: PixelsOf,
) -> tuple[dict[BlockName, Block], Counted]:
    """The blocks of these names: those that some place has, and the others, computed and put there."""
    began, variants = time.monotonic(), computing.variants
    found = find_all(places.every, names, variants, width)
    missing = [name for name in names if name not in found]
    if not missing:
        return found, Counted(0, time.monotonic() - began)
    extract, pictures, wanted = extractor(computing), 0, sum(name.last - name.first for name in missing)
    decoded: Generator[tuple[BlockName, PixelCache], None, None] = ((name, pixels_of(name)) for name in missing)
    side_by_side = computing.threads if computing.devices.kind == "CPU" else 1
    with (
        ThreadPoolExecutor(side_by_side, thread_name_prefix="chunks") as pool,
        closing(prefetched(decoded, ahead=1)) as ready,
    ):
        for name, cache in ready:
            found[name] = block_of(cache, variants[name.split], extract, pool)
            pictures += len(cache)
            places.put(name, found[name])
            log.info("features of %d of %d pictures", pictures, wanted)
    return found, Counted(pictures, time.monotonic() - began)


def exchange(
    distribution: Distribution,
    own: Mapping[BlockName, Block],
    wanted: Sequence[BlockName],
    variants: Mapping[str, int],
    width: int,
    places: Places,
) -> dict[BlockName, Block]:
    """All wanted blocks, this worker's own and those that others have computed meanwhile; waits for them.

    Raises:
        ExitError: 74 when one cannot be read; 75 when a worker is lost.
    """
    wait_for_all(distribution)
    others = [name for name in wanted if name not in own]
    every = {**own, **find_all(places.every, others, variants, width)}
    for name in wanted:
        if name not in every:
            where = places.run.uri if places.run is not None else "the run folder"
            raise StorageFailed(f"{where}: {name.file}, which another worker wrote, cannot be read here")
    return every


def require_same_bits(before: Mapping[str, Any] | None, now: Mapping[str, Any], run: str) -> None:
    """That features computed anew have the bits of the run's record, where there is one.

    Raises:
        ExitError: 73 naming what they depend on and has changed.
    """
    if before is None or before["sha256"] == now["sha256"]:
        return
    changed = [
        f"{name} was {before['facts'].get(name)}, is {value}"
        for name, value in now["facts"].items()
        if before["facts"].get(name) != value
    ]
    why = "; ".join(changed) or "nothing that they should depend on has changed"
    raise ExitError(
        Exit.RUN_REFUSED,
        f"{run}: the features of its pictures have other bits than when it began ({why}): resume on the hardware and "
        "with the image that it began with, or start anew with another --run",
    )

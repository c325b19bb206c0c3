"""The pre-trained weights that a run begins with: those of another run, those at --weights, or the installed ones.

Nothing here needs TensorFlow: what is wrong with weights is found before any picture is read.
"""

import numpy as np

from trainer.backbones import stored
from trainer.backbones.efficientnet_lite import parts, shapes
from trainer.backbones.registry import BACKBONES
from trainer.backbones.stored import Card, Weights
from trainer.backbones.torch_legacy import NotWeights
from trainer.config import PRETRAINED, RunConfig
from trainer.contract import BEST
from trainer.exits import Exit, ExitError
from trainer.storage.opening import open_storage
from trainer.training import checkpoint
from trainer.training.checkpoint import Unusable


def backbone_for(config: RunConfig) -> Weights | None:
    """The weights of the run's backbone; None for a network that is trained from nothing.

    Raises:
        ExitError: 64 when they are of another network, or --unfreeze names no part of it; 66 when they are not there;
            65 when they are damaged; 74 and 77 from storage.
    """
    if config.model not in PRETRAINED:
        return None
    known = parts(BACKBONES[config.model].variant)
    if config.unfreeze and config.unfreeze not in known:
        names = f"{known[0]}, {known[1]} … {known[-1]}"
        raise ExitError(Exit.BAD_OPTION, f"--unfreeze is {config.unfreeze!r}; {config.model} has {names}")
    if config.init_from:
        return _of_run(config.init_from, config.model)
    if not config.weights:
        return stored.packaged(config.model)
    place = open_storage(config.weights)
    weights = stored.read(place)
    if weights.card.architecture != config.model:
        raise ExitError(
            Exit.BAD_OPTION, f"{place.uri}: weights of {weights.card.architecture}; --model is {config.model}"
        )
    return weights


def _of_run(uri: str, model: str) -> Weights:
    """The backbone of another run's best network."""
    try:
        groups = checkpoint.read(open_storage(uri), BEST).groups
    except Unusable as error:
        raise ExitError(Exit.INPUT_MISSING, f"--init-from {uri}: no best weights there: {error}") from error
    wanted = shapes(BACKBONES[model].variant)
    every = {name: array for group in groups.values() for name, array in group.items()}
    tensors = {name: np.asarray(every[name]) for name in wanted if name in every}
    try:
        stored.require_fit(model, tensors)
    except NotWeights as error:
        raise ExitError(
            Exit.BAD_OPTION, f"--init-from {uri}: its weights do not fit --model {model}: {error}"
        ) from error
    facts = BACKBONES[model]
    return Weights(Card(model, stored.sha256_of(tensors), uri, facts.licence, facts.trained_on, ""), tensors)

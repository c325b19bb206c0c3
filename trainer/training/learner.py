"""Training state on the devices: weights, optimizer slots, moving average, loss scale; and the names of its tensors.

Keras numbers its variables per process (`rm_sprop_1/…`), so tensors are named here: layer/variable for a weight,
slot/layer/variable for its optimizer state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from trainer.config import PRETRAINED, RunConfig
from trainer.models.first_weights import first_weights
from trainer.models.pretrained import head_of, unfreeze
from trainer.models.registry import build_for_training, build_head
from trainer.tensors import Arrays, Model, Optimizer, Strategy, Tensors, Variable, Variables

INITIAL_LOSS_SCALE = 2.0**15


@dataclass(frozen=True)
class Learner:
    """Networks by phase, and variables by name. `ema` and `loss_scale` are empty unless the configuration uses them.

    `weights` are those that some phase trains. `fixed` are the others of a pre-trained network, by group: "frozen"
    weights, and the "state" of its normalisations.
    """

    networks: Mapping[str, Model]
    optimizer: Optimizer
    weights: Variables
    slots: Variables
    ema: Variables
    loss_scale: Variables
    fixed: Mapping[str, Arrays]

    @property
    def trained_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(int(np.prod(variable.shape)) for variable in self.weights.values())

    @property
    def parameters(self) -> int:
        """Number of parameters of the whole network."""
        return self.trained_parameters + sum(array.size for group in self.fixed.values() for array in group.values())


def step_bytes(learner: Learner, rows: int) -> int:
    """About the memory that a step on so many rows needs: what the layers of the largest network give, once for the
    way there and once for the way back."""
    largest = list(learner.networks.values())[-1]
    outputs = [one for layer in largest.layers for one in tf.nest.flatten(layer.output)]
    return 2 * rows * sum(int(np.prod(one.shape[1:])) * tf.as_dtype(one.dtype).size for one in outputs)


STATISTICS = ("moving_mean", "moving_variance")
"""Of batch normalisation: variables that no gradient changes."""


def build_learner(config: RunConfig, classes: int, strategy: Strategy, backbone: Arrays | None = None) -> Learner:
    """Build networks and optimizer under the strategy, with weights that depend only on the seed and the backbone's.

    Args:
        config: the run.
        classes: how many there are.
        strategy: where the variables are.
        backbone: tensors of a pre-trained network by layer/variable; None for the others.
    """
    with strategy.scope():
        networks = _networks(config, classes)
        largest = list(networks.values())[-1]
        if backbone is not None and config.unfreeze:
            restore(_backbone_variables(largest), backbone)
        first = first_weights(largest, config.seed, backbone or ())
        restore({name: variable for name, variable in _variables(largest).items() if name in first}, first)
        optimizer = _optimizer(config)
        optimizer.build(largest.trainable_variables)
        weights = weights_of(largest)
        ema = (
            {name: tf.Variable(tf.convert_to_tensor(v), trainable=False, name="ema") for name, v in weights.items()}
            if config.ema
            else {}
        )
        scaled = config.precision == "mixed_float16"
        loss_scale = (
            {"scale": tf.Variable(INITIAL_LOSS_SCALE, trainable=False), "good_steps": tf.Variable(0.0, trainable=False)}
            if scaled
            else {}
        )
    fixed = _fixed(backbone or {}, weights)
    return Learner(networks, optimizer, weights, _slots(largest, optimizer), ema, loss_scale, fixed)


def _networks(config: RunConfig, classes: int) -> dict[str, Model]:
    """The networks by phase; the last trains every weight that any of them does."""
    if config.model not in PRETRAINED:
        return {"train": build_for_training(config.model, config.image_size, classes, config.dropout)}
    if not config.unfreeze:
        return {"head": build_head(classes, config.dropout)}
    whole = build_for_training(config.model, config.image_size, classes, config.dropout)
    unfreeze(whole, config.model, config.unfreeze)
    return {"head": head_of(whole), "tune": whole}


def _variables(network: Model) -> Variables:
    return {f"{layer.name}/{v.name}": v.value for layer in network.layers for v in layer.weights}


def _backbone_variables(network: Model) -> Variables:
    return {name: variable for name, variable in _variables(network).items() if not name.startswith("logits/")}


def _fixed(backbone: Arrays, weights: Variables) -> dict[str, Arrays]:
    kept = {name: array for name, array in backbone.items() if name not in weights}
    state = {name: array for name, array in kept.items() if name.endswith(STATISTICS)}
    frozen = {name: array for name, array in kept.items() if name not in state}
    return {group: arrays for group, arrays in (("frozen", frozen), ("state", state)) if arrays}


def weights_of(network: Model) -> Variables:
    """A network's trainable variables by name, in its order.

    Raises:
        ValueError: two have the same name.
    """
    named = {_weight_name(network, variable): variable.value for variable in network.trainable_variables}
    if len(named) < len(network.trainable_variables):
        raise ValueError(f"two weights of {network.name} have the same name: layers need names of their own")
    return named


def _optimizer(config: RunConfig) -> Optimizer:
    # Learning rate, clipping, weight decay, moving average and loss scale are done in the step: Keras applies them
    # per replica.
    if config.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(momentum=config.momentum)
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(momentum=config.momentum)
    return keras.optimizers.Adam()


def _weight_name(model: Model, variable: Variable) -> str:
    for layer in model.layers:
        for own in layer.trainable_variables:
            if own is variable:
                return f"{layer.name}/{variable.name}"
    raise LookupError(f"{variable.path} belongs to no layer of {model.name}")


def _slots(model: Model, optimizer: Optimizer) -> Variables:
    """Optimizer variables by name; Keras names a slot after the path of its weight and the slot."""
    owners = {v.path.replace("/", "_") + "_": _weight_name(model, v) for v in model.trainable_variables}
    named = {}
    for variable in optimizer.variables:
        if variable is optimizer.learning_rate or variable is optimizer._learning_rate:
            continue
        if variable is optimizer.iterations:
            named["iterations"] = variable.value
            continue
        owner = next((start for start in owners if variable.name.startswith(start)), None)
        if owner is None:
            raise LookupError(f"optimizer variable {variable.path} belongs to no weight")
        named[f"{variable.name.removeprefix(owner)}/{owners[owner]}"] = variable.value
    return named


def groups(learner: Learner) -> Mapping[str, Variables]:
    """All variables, as a checkpoint groups them; empty groups are left out."""
    every = {
        "weights": learner.weights,
        "optimizer": learner.slots,
        "ema": learner.ema,
        "loss_scale": learner.loss_scale,
    }
    return {name: variables for name, variables in every.items() if variables}


def copy_to_host(variables: Variables) -> Arrays:
    """Copy variables to the host: C-contiguous numpy arrays with their own memory, as `numpy()` returns them."""
    return {name: np.asarray(_copies(variable)[0].numpy(), order="C") for name, variable in variables.items()}


def hold(variables: Variables) -> Tensors:
    """Current values of variables, without copying: TensorFlow's tensors are immutable, so the next update of a
    variable goes to new memory. Another thread can convert them to arrays."""
    return {name: _copies(variable)[0].read_value() for name, variable in variables.items()}


def _copies(variable: Variable) -> Sequence[Variable]:
    """One for each replica of this worker."""
    return getattr(variable, "values", None) or (variable,)


def restore(variables: Variables, tensors: Tensors) -> None:
    """Assign arrays, or tensors of `hold`, to variables on every replica.

    Raises:
        ValueError: names, shapes or dtypes differ; nothing is assigned then.
    """
    if set(variables) != set(tensors):
        odd = sorted(set(variables) ^ set(tensors))
        raise ValueError(f"tensor {odd[0]!r} is on only one side")
    for name, variable in variables.items():
        array = np.asarray(tensors[name])
        if tuple(variable.shape) != array.shape or variable.dtype.as_numpy_dtype != array.dtype:
            raise ValueError(
                f"tensor {name!r} is {array.dtype}{array.shape}, expected {variable.dtype.name}{tuple(variable.shape)}"
            )
    for name, variable in variables.items():
        for copy in _copies(variable):
            copy.assign(tensors[name])


def require_same(ours: Arrays, theirs: Tensors) -> None:
    """That two groups of tensors have the same names and bits.

    Raises:
        ValueError: one that differs.
    """
    if odd := sorted(set(ours) ^ set(theirs)):
        raise ValueError(f"tensor {odd[0]!r} is on only one side")
    for name, array in ours.items():
        if np.asarray(theirs[name]).tobytes() != array.tobytes():
            raise ValueError(f"tensor {name!r}, which is not trained, has other values")


def begin_phase(learner: Learner) -> None:
    """What a phase after the first starts with: the weights that the last one would have exported, and an optimizer
    that has seen no gradient, since its moments are of other weights. Repeated before a step, it changes nothing."""
    if learner.ema:
        restore(learner.weights, copy_to_host(learner.ema))
    for variable in learner.slots.values():
        for copy in _copies(variable):
            copy.assign(tf.zeros_like(copy))


def evaluated(learner: Learner) -> Variables:
    """The weights that are validated, kept as best and exported: the moving average if there is one."""
    return learner.ema or learner.weights

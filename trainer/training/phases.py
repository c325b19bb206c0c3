"""The phases of a run as a pure table: consecutive epochs of one count of steps, each with its input and rate.

A network that is trained from nothing has one phase. A pre-trained one has "head", in which its output layer is trained
on frozen features, and with --unfreeze after it "tune", in which pictures go through the whole network.
"""

from dataclasses import dataclass

from trainer.config import PRETRAINED, RunConfig
from trainer.data.order import Schedule


@dataclass(frozen=True)
class Phase:
    """Steps `first_step` … `last_step` - 1, which are the epochs after the first `first_epoch`.

    `rows` is how many an epoch has: pictures, or rows of features. Learning rate and warm-up count from `first_step`.
    """

    name: str
    on_features: bool
    rows: int
    steps_per_epoch: int
    first_epoch: int
    first_step: int
    last_step: int
    learning_rate: float
    warmup_steps: int

    def epoch_of(self, step: int) -> int:
        """The epoch (from 0, of the whole run) that a step (from 0) of this phase belongs to."""
        return self.first_epoch + (step - self.first_step) // self.steps_per_epoch

    def batch_of(self, step: int) -> int:
        """The place of a step in its epoch, from 0."""
        return (step - self.first_step) % self.steps_per_epoch


@dataclass(frozen=True)
class Length:
    """How long a run is: its phases, and after how many epochs of the last one without improvement it stops.

    `early_stopping` 0: never.
    """

    phases: tuple[Phase, ...]
    early_stopping: int

    @property
    def total_steps(self) -> int:
        """Of all phases."""
        return self.phases[-1].last_step

    def phase_at(self, step: int) -> Phase:
        """The phase of a step (from 0); of the steps after the end, the last."""
        return next((phase for phase in self.phases if step < phase.last_step), self.phases[-1])

    def phase_after(self, steps: int) -> Phase:
        """The phase of the last of so many steps; of none, the first."""
        return self.phase_at(max(0, steps - 1))

    def epoch_after(self, steps: int) -> int:
        """The epoch (from 1) of the last of so many steps; 0 of none."""
        return self.phase_after(steps).epoch_of(steps - 1) + 1 if steps else 0

    def is_epoch_end(self, steps: int) -> bool:
        """Whether an epoch is whole after so many steps."""
        phase = self.phase_after(steps)
        return steps > 0 and (steps - phase.first_step) % phase.steps_per_epoch == 0

    def epoch_end_after(self, steps: int) -> int:
        """How many steps are done at the end of the epoch that begins or goes on after so many."""
        phase = self.phase_at(steps)
        done = (steps - phase.first_step) // phase.steps_per_epoch + 1
        return min(phase.first_step + done * phase.steps_per_epoch, phase.last_step)


def feature_epochs(model: str, unfreeze: str, epochs: int, head_epochs: int) -> int:
    """How many epochs of a run, the first ones, train on features; what each counts is then a row of features."""
    if model not in PRETRAINED:
        return 0
    return min(head_epochs, epochs) if unfreeze else epochs


def length_of(config: RunConfig, examples: int) -> Length:
    """The phases of a run over `examples` training pictures; --steps cuts them, and one without steps is left out."""
    pictures = Schedule(examples, config.batch_size)
    if config.model not in PRETRAINED:
        planned = [("train", False, pictures, config.epochs, config.learning_rate, config.warmup_steps)]
    else:
        # Mirrored pictures are further rows, since their features are computed once too.
        rows = Schedule(examples * (2 if config.flip else 1), config.batch_size)
        head = feature_epochs(config.model, config.unfreeze, config.epochs, config.head_epochs)
        planned = [("head", True, rows, head, config.learning_rate, config.warmup_steps)]
        rate, warmup = config.tune_learning_rate, config.tune_warmup_steps
        planned += [("tune", False, pictures, config.epochs - head, rate, warmup)]
    phases: list[Phase] = []
    step = epoch = 0
    for name, on_features, schedule, epochs, rate, warmup in planned:
        last = step + schedule.steps_per_epoch * epochs
        last = min(last, config.steps) if config.steps else last
        if last > step:
            per_epoch = schedule.steps_per_epoch
            phases.append(Phase(name, on_features, schedule.examples, per_epoch, epoch, step, last, rate, warmup))
        step, epoch = max(step, last), epoch + epochs
    return Length(tuple(phases), config.early_stopping)

"""The fault matrix as data: which faults × moments × shapes there are, which cells cannot be or are not run and why,
and what each that is run has to come to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

LOCAL, CLUSTER = ("one", "two"), ("job", "jobset")
SHAPES: Mapping[str, str] = {
    "one": "one process",
    "two": "two local workers",
    "job": "Indexed Job, 2 workers",
    "jobset": "JobSet, 2 workers",
}

MOMENTS: Mapping[str, str] = {
    "start": "the run folder is claimed and the workers have met; TensorFlow is not imported yet",
    "step": "a checkpoint is complete, and a later step has been reported",
    "save": "tensors of a checkpoint are stored, and its manifest is on the way",
    "end": "training is over, and the first file of the exported model is on the way",
}

FAULTS: Mapping[str, str] = {
    "SIGTERM": "the signal, to the first process, which passes it on to its workers",
    "SIGKILL": "the signal, to one worker",
    "SIGSTOP": "the signal, to one worker; where there is no other, SIGCONT comes 20 s later",
    "OOM": "the kernel finds no memory left in the cgroup of one worker, and kills it",
    "node off": "the node of one worker loses its power",
    "node cut": "the node of one worker loses its network",
    "packet loss": "5 % of all TCP packets are dropped at random, those to storage too; in a cluster, on one node",
    "away 60 s": "storage resets every connection, a tenth as long as its patience",
    "away 5 min": "storage resets every connection, half as long as its patience",
    "away for ever": "storage resets every connection until the attempt has ended",
    "storage slow": "every answer of storage comes a second late; in a cluster, it loses a fifth of the packets",
    "disk full": "the disk with the run folder is full until the run has ended; in a cluster, a pod's temporary folder",
    "API away": "the API server stops for 30 s",
    "DNS away": "the cluster's DNS stops for 30 s",
    "controller away": "the controllers of Jobs and JobSets stop until the workers have ended, or for 30 s",
    "clock jump": "the clock of one worker jumps 2 h forward, and 3 s later 4 h back",
}

STORAGE_TIMEOUT = 20.0
"""Seconds; 600 in real runs. Outages are shortened alike: by 30."""
AWAY: Mapping[str, float] = {"away 60 s": 60 / 30, "away 5 min": 300 / 30}
"""Seconds that storage is away in a local cell."""

NAMED = ("SIGTERM", "SIGKILL", "OOM", "node off", "node cut", "away 60 s")
"""The faults that the cluster meets at start and at save too."""

_ONLY_IN_A_CLUSTER = ("node off", "node cut", "API away", "DNS away", "controller away")


@dataclass(frozen=True, order=True)
class Cell:
    """One fault at one moment in one shape."""

    shape: str
    fault: str
    moment: str

    @property
    def name(self) -> str:
        """What ONLY= selects by, and what names its line in the results."""
        return f"{self.shape}/{self.fault}/{self.moment}".replace(" ", "-")


@dataclass(frozen=True)
class Expected:
    """What a cell has to come to: one of these exit codes at first, and no more steps lost than `lost`, counted from
    the newest step that was reported; None: as many as were made since storage took the last checkpoint.

    In all cells the next attempt begins at a checkpoint that is no older than the newest complete one at the time of
    the fault, and the run ends with 0 and the bits of the undisturbed run.
    """

    codes: tuple[int, ...]
    lost: int | None = 0


CELLS = tuple(Cell(*one) for one in product(SHAPES, FAULTS, MOMENTS))


def omitted(cell: Cell) -> str:
    """Why a cell is not run; empty if it is."""
    if cell.shape in LOCAL:
        if cell.fault in _ONLY_IN_A_CLUSTER:
            return "cannot be: no node, API server, DNS or controller is involved"
        if cell.fault == "packet loss" and cell.shape == "one":
            return "cannot be: one process has no connection but that to storage, of which `storage slow` is the case"
        return ""
    if cell.fault == "clock jump":
        return "cannot be: nodes of the test cluster share one clock, and the image has nothing to fake it"
    if cell.moment == "step" or (cell.fault in NAMED and cell.moment in ("start", "save")):
        return ""
    return "not run: in a cluster every fault is tried at step, and " + ", ".join(NAMED) + " at start and save too"


def possible() -> tuple[Cell, ...]:
    """The cells that are run."""
    return tuple(cell for cell in CELLS if not omitted(cell))


QUICK = (
    "one/SIGKILL/save",
    "one/SIGTERM/step",
    "one/OOM/step",
    "one/away-60-s/step",
    "one/disk-full/save",
    "two/SIGKILL/start",
    "two/SIGKILL/save",
    "two/SIGTERM/step",
    "two/away-60-s/save",
    "two/storage-slow/end",
    "two/clock-jump/save",
)
"""The cells that the integration tests run, each within a minute on an idle machine."""

CHECKPOINT_EVERY = 5
"""Steps between checkpoints, in all cells."""


def expected(cell: Cell) -> Expected:
    """What has to come of a cell, by rule."""
    if cell.shape in CLUSTER:
        return _expected_in_a_cluster(cell)
    killed = (137,)
    interval = 0 if cell.moment in ("start", "end") else None
    match cell.fault:
        case "SIGTERM":
            # Exporting takes less than half the grace period here, and is then not given up.
            return Expected((0,) if cell.moment == "end" else (143,))
        case "SIGKILL" | "OOM":
            return Expected(killed, interval)
        case "SIGSTOP":
            # The other worker exits with 75; the first process gives the stopped one a minute and kills it.
            return Expected((0,)) if cell.shape == "one" else Expected(killed, interval)
        case "away for ever" | "disk full":
            return Expected((74,), None)
    return Expected((0,))


def _expected_in_a_cluster(cell: Cell) -> Expected:
    """The run's result: attempts follow each other by themselves, so it is 0 whatever the first attempt's code was."""
    harmless = ("packet loss", "API away", "DNS away", "controller away", "away 60 s", "away 5 min", "SIGTERM")
    return Expected((0,), 0 if cell.fault in harmless else None)


def odd(wanted: Expected, code: int, lost: int, restored: int | None, durable: int, difference: str) -> str:
    """What has not come to what was expected; empty if nothing.

    Args:
        restored: the step that the next attempt began at; None if there was nothing left to do, or no other attempt.
        durable: the step of the newest checkpoint that was complete when the fault came; 0 if there was none.
        difference: from the undisturbed run, in words; empty if there is none.
    """
    if code not in wanted.codes:
        return f"exit code {code}, expected {' or '.join(map(str, wanted.codes))}"
    if restored is not None and restored < durable:
        return f"resumed from step {restored}, though {durable} was complete when the fault came"
    if wanted.lost is not None and lost > wanted.lost:
        return f"{lost} steps lost, expected at most {wanted.lost}"
    return difference

"""The alerts of the chart, as one table: rules, docs/runbooks.md and the tests of both are made from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from monitoring import conditions

RUNBOOKS = "docs/runbooks.md"
"""In the source; the chart replaces it by where users can read it (`monitoring.prometheusRule.runbooks`)."""


class Severity(StrEnum):
    """How soon somebody should look."""

    CRITICAL = "critical"  # the run is over, or what comes out of it is wrong
    WARNING = "warning"  # it costs time or money, or will
    INFO = "info"  # worth knowing


class Disturbance(StrEnum):
    """What is done to a run of two workers to see what fires; the words are those of docs/runbooks.md."""

    NONE = "nothing"
    PAUSED = "one worker of a JobSet is stopped for 60 s (SIGSTOP, then SIGCONT)"
    PAUSED_JOB = "one worker of a Job is stopped for 60 s: the other comes back before it, and waits"
    KILLED = "one worker is killed (SIGKILL)"
    STORAGE = "storage resets every connection for 60 s"


TRIAL_SCALE = 30
"""In trials every duration is divided by this: what lasts a minute there is half an hour to the rules."""


@dataclass(frozen=True)
class Alert:
    """An alert. `lasting` is how long the condition must hold; texts may use `$labels`, as Prometheus fills them in.

    Attributes:
        fires_when: what makes it fire in trials; the rules as installed stay quiet in all of them.
    """

    name: str
    condition: str
    lasting: str
    severity: Severity
    summary: str
    description: str
    fires_when: frozenset[Disturbance] = frozenset()

    @property
    def runbook(self) -> str:
        """Its section of the runbooks, as a link."""
        return f"{RUNBOOKS}#{self.name.lower()}"


_RUN = "run {{ $labels.run }} in {{ $labels.namespace }}"
_A_RUN = "Run {{ $labels.run }} in {{ $labels.namespace }}"
_WHY = "catdog why {{ $labels.run }} -n {{ $labels.namespace }}"
_LOGS = "catdog logs {{ $labels.run }} -n {{ $labels.namespace }}"

ALERTS: tuple[Alert, ...] = (
    Alert(
        "CatdogStalled",
        conditions.STALLED,
        "5m",
        Severity.WARNING,
        f"{_A_RUN} has not finished a step for 45 minutes.",
        f"It is in its training steps, and no result comes. {_WHY} shows what it waits for. The watchdog would end it "
        "with 76 earlier, unless --stall-timeout is 0 or its steps are that slow.",
    ),
    Alert(
        "CatdogNoCheckpoint",
        conditions.NO_CHECKPOINT,
        "10m",
        Severity.WARNING,
        f"{_A_RUN} is training, but has stored no checkpoint for 2 hours.",
        f"A failure would lose that work. Lower --checkpoint-every, or look for storage errors with {_LOGS}.",
    ),
    Alert(
        "CatdogCheckpointFailing",
        conditions.CHECKPOINT_FAILING,
        "0s",
        Severity.WARNING,
        f"Checkpoints of {_RUN} cannot be stored.",
        "Two writes have failed within 15 minutes, each after two minutes of retries. Training goes on until "
        "--storage-timeout has passed, then the run ends with 74.",
    ),
    Alert(
        "CatdogLossNotFinite",
        conditions.LOSS_NOT_FINITE,
        "0s",
        Severity.WARNING,
        f"The training loss of {_RUN} is not finite.",
        "The run rolls back to its last checkpoint once, and ends with 80 if it diverges again.",
    ),
    Alert(
        "CatdogRestartsOften",
        conditions.RESTARTS_OFTEN,
        "0s",
        Severity.WARNING,
        f"{_A_RUN} was started {{{{ $value }}}} times within an hour.",
        "Disruptions do not count against maxRestarts, so nothing else limits them; "
        f"{_WHY} names the last cause. Crashes without progress end by themselves, with 79.",
    ),
    Alert(
        "CatdogWorkersMissing",
        conditions.WORKERS_MISSING,
        "15m",
        Severity.WARNING,
        f"{_A_RUN} waits for a worker, or does not hear from one.",
        f"It holds what the others have, and no step is made. {_WHY} says which one, and what it lacks.",
        frozenset({Disturbance.PAUSED_JOB}),
    ),
    Alert(
        "CatdogStraggler",
        conditions.STRAGGLER,
        "15m",
        Severity.WARNING,
        f"Rank {{{{ $labels.worker }}}} of {_RUN} is slower than the other workers.",
        "Its own part of a step takes {{ $value | humanize }} times the median, and that is more than a tenth of a "
        "step: the others wait for it in every step.",
    ),
    Alert(
        "CatdogInputBound",
        conditions.INPUT_BOUND,
        "15m",
        Severity.INFO,
        f"{_A_RUN} spends {{{{ $value | humanizePercentage }}}} of its steps waiting for pictures.",
        "Its accelerators are idle meanwhile. More CPUs, or pixels that fit into memory, make it faster.",
    ),
    Alert(
        "CatdogRejectedPictures",
        conditions.REJECTED_PICTURES,
        "5m",
        Severity.INFO,
        f"{{{{ $value }}}} pictures of {_RUN} cannot be used.",
        "They are left out. rejected.json in the run folder names them, with the reason; catdog data check finds them "
        "before a run.",
    ),
    Alert(
        "CatdogGoodputLow",
        conditions.GOODPUT_LOW,
        "30m",
        Severity.WARNING,
        f"{_A_RUN} has wasted more time than it has trained, in the last 6 hours.",
        "Waiting, input, restores, checkpoints, lost steps and time between attempts together; decoding and compiling "
        "do not count. The row Waste of its dashboard shows on what.",
    ),
    Alert(
        "CatdogStorageRetries",
        conditions.STORAGE_RETRIES,
        "5m",
        Severity.WARNING,
        f"{_A_RUN} repeats more than every second call to storage.",
        "The bucket is slow, throttles, or cannot be reached; the run ends with 74 if that lasts for "
        "--storage-timeout.",
        frozenset({Disturbance.STORAGE}),
    ),
    Alert(
        "CatdogTargetDown",
        conditions.TARGET_DOWN,
        "15m",
        Severity.WARNING,
        f"Rank {{{{ $labels.rank }}}} of {_RUN} cannot be scraped.",
        "Pod {{ $labels.pod }} runs, but does not answer at its port metrics: nothing is known of it, and other alerts "
        "about it cannot fire.",
        frozenset({Disturbance.PAUSED, Disturbance.PAUSED_JOB}),
    ),
    Alert(
        "CatdogReplicasDrifted",
        conditions.REPLICAS_DRIFTED,
        "0s",
        Severity.CRITICAL,
        f"Replicas of {_RUN} hold different weights.",
        "They must be equal to the bit, so a device computed wrongly. The run has ended; its last words name the rank, "
        f"and {_LOGS} has them.",
    ),
    Alert(
        "CatdogRunFailed",
        conditions.RUN_FAILED,
        "5m",
        Severity.CRITICAL,
        f"{_A_RUN} has failed.",
        f"Nothing of it runs any more. {_WHY} names the cause and the next command.",
    ),
)

BY_NAME: Mapping[str, Alert] = {alert.name: alert for alert in ALERTS}


def expected(disturbance: Disturbance) -> frozenset[str]:
    """The names of the alerts that fire when a run is disturbed so, in a trial."""
    return frozenset(alert.name for alert in ALERTS if disturbance in alert.fires_when)

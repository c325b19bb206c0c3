"""Runs and what befalls them: which alerts fire, with the rules as installed and with those of a trial."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from monitoring.alerts import Disturbance
from tests.integration.alert_series import NAMESPACE, Process, Value

MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True)
class Scenario:
    """Processes, and other series by `name{labels}`; the alerts that fire at any time."""

    name: str
    processes: tuple[Process, ...]
    length: float
    fires: frozenset[str] = frozenset()
    others: tuple[tuple[str, Value], ...] = ()


def both(one: Process, **of_rank_1: object) -> tuple[Process, Process]:
    """The same for a second worker."""
    other = replace(one, rank=1, pod=one.pod + "-1", instead={})
    return replace(one, pod=one.pod + "-0"), replace(other, **of_rank_1)  # type: ignore[arg-type]


# --- A run of hours, as it should be.

LIFE = ((0, "waiting"), (MINUTE, "starting"), (2 * MINUTE, "decode"), (40 * MINUTE, "compile"), (45 * MINUTE, "step"))
LATER = ((5 * HOUR, "evaluation"), (5.7 * HOUR, "step"), (8 * HOUR, "export"))
HEALTHY = Process("a", 0, "a", (*LIFE, *LATER), 9 * HOUR, "succeeded", checkpoint_every=30 * MINUTE)


def training(name: str, **changes: object) -> Process:
    """Rank 0 of a run that has soon begun to train, and does so for hours."""
    does = ((0, "waiting"), (MINUTE, "starting"), (2 * MINUTE, "step"))
    return replace(Process(name, 0, f"{name}-0", does, 24 * HOUR), **changes)  # type: ignore[arg-type]


def _grows(per_second: float, begins: float = 0.0, until: float = math.inf) -> Value:
    return lambda now: per_second * (min(now, until) - begins) if now >= begins else 0.0


def _is(value: float, begins: float = 0.0, before: float = 0.0) -> Value:
    return lambda now: value if now >= begins else before


# --- What each alert is for, and what is close to it but none of it.


def _one(alert: str, name: str, length: float, **changes: object) -> Scenario:
    return Scenario(f"{alert}: {name}", (training("b", **changes),), length, frozenset({alert}))


def _quiet(name: str, length: float, **changes: object) -> Scenario:
    return Scenario(f"quiet: {name}", (training("b", **changes),), length)


def _attempts(count: int, every: float) -> tuple[Process, ...]:
    does = ((0, "waiting"), (20.0, "starting"), (40.0, "step"))
    return tuple(
        Process(
            "b",
            0,
            f"b-{number}",
            tuple((begin + number * every, name) for begin, name in does),
            (number + 1) * every - 20,
            restarts=number,
            first_step=number * 2000,
        )
        for number in range(count)
    )


FAILED = 'catdog_run_state{state="failed"}'
_ENDED = training("b", gone=20 * MINUTE, ends="failed")
_ENDED_SILENTLY = training("b", gone=20 * MINUTE)

CAUSES: tuple[Scenario, ...] = (
    Scenario("quiet: a run that is as it should be, from its first second on", both(HEALTHY), 10 * HOUR),
    _one("CatdogStalled", "no step comes back", 3 * HOUR, stuck_from=HOUR, checkpoint_every=MINUTE),
    _quiet("44 minutes without a step", 104 * MINUTE, stuck_from=HOUR, checkpoint_every=MINUTE),
    _one("CatdogNoCheckpoint", "none in 2 hours", 4 * HOUR, checkpoint_every=10 * HOUR),
    _quiet("a checkpoint every 100 minutes", 9 * HOUR, checkpoint_every=100 * MINUTE),
    Scenario(
        "quiet: started again with a checkpoint, and the next one is an hour away",
        (
            training("b", gone=4 * HOUR, checkpoint_every=90 * MINUTE),
            Process(
                "b",
                0,
                "b-again",
                ((4 * HOUR + 60, "starting"), (4 * HOUR + 120, "step")),
                9 * HOUR,
                restarts=1,
                first_step=21600,
                instead={"catdog_checkpoint_step": _is(30000, 5.2 * HOUR)},
            ),
        ),
        5.5 * HOUR,
    ),
    _one(
        "CatdogCheckpointFailing",
        "every two minutes",
        HOUR,
        instead={'catdog_checkpoint_failures_total{kind="checkpoint"}': _grows(1 / 125, 10 * MINUTE, 20 * MINUTE)},
    ),
    _quiet("one checkpoint failed", HOUR, instead={'catdog_checkpoint_failures_total{kind="best"}': _is(1, 900)}),
    _one("CatdogLossNotFinite", "nan", HOUR, instead={'catdog_loss{split="train"}': _is(math.nan, 1800, 0.5)}),
    _one("CatdogLossNotFinite", "infinite", HOUR, instead={'catdog_loss{split="train"}': _is(math.inf, 1800, 0.5)}),
    _one("CatdogLossNotFinite", "as it ends", HOUR, instead={"catdog_not_finite_total": _is(1, 1800)}),
    Scenario("CatdogRestartsOften: 5 starts", _attempts(5, 600), HOUR, frozenset({"CatdogRestartsOften"})),
    Scenario("quiet: 8 starts, 20 minutes apart", _attempts(8, 1200), 2.6 * HOUR),
    _one("CatdogWorkersMissing", "a peer is silent", HOUR, unseen=(20 * MINUTE, 40 * MINUTE)),
    _one("CatdogWorkersMissing", "it never came", HOUR, does=((0, "waiting"),), gone=20 * MINUTE),
    _quiet("a node takes 10 minutes", HOUR, does=((0, "waiting"), (600, "starting"), (700, "step"))),
    _quiet("a peer ends before the export does", HOUR, unseen=(1200, 3600), instead={"catdog_step": _is(1e6, 1200)}),
    _one(
        "CatdogStraggler",
        "three times as slow",
        HOUR,
        instead={
            'catdog_worker_step_seconds{worker="1"}': _is(0.7, 900, 0.22),
            'catdog_straggler_ratio{worker="1"}': _is(1.55, 900, 1.0),
        },
    ),
    _quiet(
        "slow, but by a hundredth of a step",
        HOUR,
        instead={
            'catdog_worker_step_seconds{worker="0"}': _is(0.002),
            'catdog_worker_step_seconds{worker="1"}': _is(0.009),
            'catdog_straggler_ratio{worker="1"}': _is(1.6),
        },
    ),
    _one(
        "CatdogInputBound",
        "half of a step",
        HOUR,
        instead={'catdog_step_phase_seconds_total{phase="input"}': _grows(1)},
    ),
    _quiet("a quarter of a step", HOUR, instead={'catdog_step_phase_seconds_total{phase="input"}': _grows(0.25)}),
    _one("CatdogRejectedPictures", "three", HOUR, instead={'catdog_rejected_examples{split="train"}': _is(3, 600)}),
    _one(
        "CatdogGoodputLow",
        "lost, again and again",
        9 * HOUR,
        instead={
            'catdog_run_wall_seconds{category="step"}': _grows(0.3),
            'catdog_run_wall_seconds{category="lost"}': _grows(0.4),
            'catdog_run_wall_seconds{category="down"}': _grows(0.3),
        },
    ),
    _quiet(
        "a third of the time is wasted",
        9 * HOUR,
        instead={
            'catdog_run_wall_seconds{category="step"}': _grows(0.6),
            'catdog_run_wall_seconds{category="lost"}': _grows(0.3),
        },
    ),
    _one(
        "CatdogStorageRetries",
        "more retries than calls",
        HOUR,
        instead={'catdog_storage_retries_total{reason="throttled"}': _grows(0.3, 600)},
    ),
    _quiet("one retry a minute", HOUR, instead={'catdog_storage_retries_total{reason="timeout"}': _grows(1 / 60)}),
    _one("CatdogTargetDown", "20 minutes", HOUR, silent=(20 * MINUTE, 40 * MINUTE)),
    _quiet("down for 10 minutes", HOUR, silent=(20 * MINUTE, 30 * MINUTE)),
    Scenario(
        "CatdogReplicasDrifted: it ends with that",
        (training("b", gone=20 * MINUTE, instead={"catdog_replicas_drifted": _is(1, 1140)}),),
        HOUR,
        frozenset({"CatdogReplicasDrifted"}),
    ),
    Scenario("CatdogRunFailed: as last told", (_ENDED,), HOUR, frozenset({"CatdogRunFailed"})),
    Scenario(
        "CatdogRunFailed: the JobSet's Job has failed",
        (_ENDED_SILENTLY,),
        HOUR,
        frozenset({"CatdogRunFailed"}),
        ((f'kube_job_failed{{namespace="{NAMESPACE}", job_name="b-w-0", condition="true"}}', _is(1, 1230)),),
    ),
    Scenario(
        "quiet: somebody else's Job has failed",
        (_ENDED_SILENTLY,),
        HOUR,
        others=((f'kube_job_failed{{namespace="{NAMESPACE}", job_name="other", condition="true"}}', _is(1, 1230)),),
    ),
    Scenario(
        "CatdogRunFailed: as catdog list says",
        (),
        HOUR,
        frozenset({"CatdogRunFailed"}),
        (
            (f'catdog_listed_run_state{{run_namespace="{NAMESPACE}", run="b", state="failed"}}', _is(1, 600)),
            (f'catdog_listed_updated_timestamp_seconds{{run_namespace="{NAMESPACE}", run="b"}}', _is(600)),
        ),
    ),
    Scenario(
        "quiet: it failed two days ago",
        (),
        49 * HOUR,
        others=(
            (f'catdog_listed_run_state{{run_namespace="{NAMESPACE}", run="b", state="failed"}}', _is(1, 48 * HOUR)),
            (f'catdog_listed_updated_timestamp_seconds{{run_namespace="{NAMESPACE}", run="b"}}', _is(0)),
        ),
    ),
    Scenario(
        "quiet: an attempt failed, the next one succeeded",
        (
            _ENDED,
            Process(
                "b",
                0,
                "b-again",
                ((1260, "waiting"), (1270, "starting"), (1300, "step")),
                1500,
                "succeeded",
                restarts=1,
                first_step=2160,
            ),
        ),
        HOUR,
    ),
)


# --- Disturbances of a run of minutes, in seconds: what the trainer does then is not scaled.


def _short(pod: str, begins: float, gone: float, **changes: object) -> Process:
    """An attempt on a small machine: it waits, starts, decodes and compiles for half a minute, then trains."""
    spent = (("waiting", 4), ("starting", 8), ("decode", 6), ("waiting", 3), ("compile", 8), ("step", 0))
    does, now = [], begins
    for name, seconds in spent:
        does.append((now, name))
        now += seconds
    return replace(Process("c", 0, pod, tuple(does), gone, checkpoint_every=5.0), **changes)  # type: ignore[arg-type]


_AT, _END = 120.0, 330.0
_REFUSED: dict[str, Value] = {
    'catdog_storage_requests_total{operation="write"}': lambda now: min(now, _AT) // 5 + max(0.0, now - _AT - 60) // 5,
    # Waits double up to 16 s, in two threads.
    'catdog_storage_retries_total{reason="connection"}': lambda now: float(
        sum(2 for after in (0, 1, 2, 3, 5, 9, 17, 29, 42, 55) if now >= _AT + after)
    ),
}
_LATER = {"down": 20.0, "step": 90.0, "lost": 5.0}


def _again(pod: str, begins: float, **changes: object) -> Process:
    return _short(pod, begins, _END, ends="succeeded", restarts=1, first_step=180, done_before=_LATER, **changes)


DISTURBED: Sequence[tuple[Disturbance, Scenario]] = (
    (Disturbance.NONE, Scenario("undisturbed", both(_short("c", 0, _END, ends="succeeded")), 420)),
    (
        Disturbance.PAUSED,
        Scenario(
            "rank 1 paused, a JobSet: rank 0 holds its 75 back",
            (
                _short("c-0", 0, _AT + 75, unseen=(_AT + 5, _END), silent=(_AT + 22, _AT + 75)),
                _short("c-1", 0, _AT + 78, rank=1, silent=(_AT, _AT + 60)),
                *both(_again("c-again", _AT + 90)),
            ),
            420,
        ),
    ),
    (
        Disturbance.PAUSED_JOB,
        Scenario(
            "rank 1 paused, a Job: rank 0 leaves, comes back, and waits",
            (
                _short("c-0", 0, _AT + 22, unseen=(_AT + 5, _END)),
                _short("c-1", 0, _AT + 65, rank=1, silent=(_AT, _AT + 60)),
                replace(
                    _again("c-again-0", _AT + 35),
                    does=((_AT + 35, "waiting"), (_AT + 82, "starting"), (_AT + 98, "step")),
                ),
                _again("c-again-1", _AT + 78, rank=1),
            ),
            420,
        ),
    ),
    (
        Disturbance.KILLED,
        Scenario(
            "rank 1 killed, a JobSet",
            (
                _short("c-0", 0, _AT + 5, unseen=(_AT, _END)),
                _short("c-1", 0, _AT, rank=1),
                *both(_again("c-again", _AT + 20)),
            ),
            420,
        ),
    ),
    (
        Disturbance.KILLED,
        Scenario(
            "rank 1 killed, a Job",
            (
                _short("c-0", 0, _AT + 8, unseen=(_AT, _END)),
                _short("c-1", 0, _AT, rank=1),
                _again("c-again-1", _AT + 12, rank=1),
                _again("c-again-0", _AT + 30),
            ),
            420,
        ),
    ),
    (
        Disturbance.STORAGE,
        Scenario("a minute without storage", both(_short("c", 0, _END, ends="succeeded", instead=_REFUSED)), 420),
    ),
)

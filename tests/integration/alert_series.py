"""What the processes of a made-up run tell Prometheus, second by second, as series for `promtool test rules`."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

NAMESPACE = "ml"
STEP_SECONDS = 0.5
TOTAL_STEPS = 1_000_000
CATEGORIES = (
    "waiting",
    "starting",
    "decode",
    "compile",
    "step",
    "input",
    "evaluation",
    "checkpoint",
    "restore",
    "export",
)
BETWEEN = ("lost", "down", "stopped")
"""Categories of the run's ledger that no process spends time on."""
AT_0 = (
    "catdog_checkpoint_step",
    "catdog_checkpoint_timestamp_seconds",
    "catdog_epoch",
    "catdog_eta_seconds",
    "catdog_goodput_ratio",
    "catdog_lost_steps",
)
"""What only rank 0 knows; other ranks have it too, at 0."""
STATES = ("running", "succeeded", "failed", "preempted", "cancelled")

Value = Callable[[float], float | None]
"""Of a metric at a time in seconds; None: it is not told."""


def _zero(now: float) -> float:
    return 0.0


@dataclass(frozen=True)
class Process:
    """One rank of one attempt: what it does from when (seconds, category), until it is gone.

    Attributes:
        silent: it answers nobody from … to.
        unseen: it does not hear from its peer from … to.
        done_before: seconds of the attempts before, by category; the down time between them included.
        instead: series that differ: `name{labels}` without those of the target, or a new one.
    """

    run: str
    rank: int
    pod: str
    does: Sequence[tuple[float, str]]
    gone: float
    ends: str = "running"
    restarts: int = 0
    first_step: int = 0
    checkpoint_every: float = 60.0
    stuck_from: float = float("inf")
    silent: tuple[float, float] = (0.0, 0.0)
    unseen: tuple[float, float] = (0.0, 0.0)
    done_before: Mapping[str, float] = field(default_factory=dict)
    instead: Mapping[str, Value] = field(default_factory=dict)

    def spent(self, now: float, category: str) -> float:
        """Seconds in a category so far."""
        ends = [*(begin for begin, _ in self.does[1:]), self.gone]
        return sum(
            max(0.0, min(now, end) - begin)
            for (begin, name), end in zip(self.does, ends, strict=True)
            if name == category
        )

    def steps(self, now: float) -> float:
        """Steps so far."""
        return self.spent(min(now, self.stuck_from), "step") / STEP_SECONDS

    def trains_from(self) -> float:
        """When its first step begins."""
        return next((begin for begin, name in self.does if name == "step"), float("inf"))

    def told(self) -> dict[str, Value]:
        """Its metrics by `name{labels}`."""
        rank_0 = dict.fromkeys(AT_0, _zero) if self.rank else self._of_the_run()
        begins = self.does[1][0] if len(self.does) > 1 else 0.0  # after the rendezvous
        made: dict[str, Value] = {
            "catdog_steps_total": self.steps,
            "catdog_step": lambda now: self.first_step + self.steps(now) if now >= self.trains_from() else 0.0,
            "catdog_total_steps": lambda now: TOTAL_STEPS if now >= self.trains_from() else 0.0,
            "catdog_last_step_timestamp_seconds": self._last_step,
            "catdog_step_seconds_sum": lambda now: self.steps(now) * STEP_SECONDS,
            "catdog_step_seconds_count": self.steps,
            'catdog_step_phase_seconds_total{phase="input"}': lambda now: 0.05 * self.spent(now, "step"),
            'catdog_step_phase_seconds_total{phase="compute"}': lambda now: 0.95 * self.spent(now, "step"),
            'catdog_storage_requests_total{operation="write"}': lambda now: (now - self.does[0][0]) // 5,
            "catdog_restarts": lambda now: self.restarts if now >= begins else 0.0,
            "catdog_replicas_drifted": lambda now: 0.0,
            "catdog_not_finite_total": lambda now: 0.0,
            'catdog_workers{state="expected"}': lambda now: 2.0 if now >= begins else None,
            'catdog_workers{state="seen"}': lambda now: self._seen(now) if now >= begins else None,
            'catdog_checkpoint_failures_total{kind="checkpoint"}': lambda now: 0.0,
            **{f'catdog_wall_seconds_total{{category="{name}"}}': self._spender(name) for name in CATEGORIES},
        }
        return {**made, **rank_0, **self.instead}

    def _of_the_run(self) -> dict[str, Value]:
        begins = self.does[1][0] if len(self.does) > 1 else 0.0
        return {
            **{f'catdog_run_state{{state="{name}"}}': self._state(name, begins) for name in STATES},
            **{f'catdog_run_wall_seconds{{category="{name}"}}': self._in_all(name) for name in (*CATEGORIES, *BETWEEN)},
            'catdog_loss{split="train"}': lambda now: 0.5 if now >= self.trains_from() else None,
            'catdog_rejected_examples{split="train"}': lambda now: 0.0,
            "catdog_checkpoint_step": self._saved,
            'catdog_worker_step_seconds{worker="0"}': lambda now: 0.2,
            'catdog_worker_step_seconds{worker="1"}': lambda now: 0.22,
            'catdog_straggler_ratio{worker="0"}': lambda now: 0.95,
            'catdog_straggler_ratio{worker="1"}': lambda now: 1.05,
        }

    def _spender(self, category: str) -> Value:
        return lambda now: self.spent(now, category)

    def _in_all(self, category: str) -> Value:
        return lambda now: self.done_before.get(category, 0.0) + self.spent(now, category)

    def _state(self, state: str, begins: float) -> Value:
        def value(now: float) -> float | None:
            return None if now < begins else float(state == (self.ends if now >= self.gone - 60 else "running"))

        return value

    def _seen(self, now: float) -> float:
        return 1.0 if self.unseen[0] <= now < self.unseen[1] else 2.0

    def _last_step(self, now: float) -> float:
        known = [
            min(now, end, self.stuck_from)
            for (begin, name), end in zip(self.does, [*(one for one, _ in self.does[1:]), self.gone], strict=True)
            if name == "step" and now > begin
        ]
        return max(known, default=0.0)

    def _saved(self, now: float) -> float:
        if now < self.trains_from():
            return 0.0
        saved = (now - self.trains_from()) // self.checkpoint_every * self.checkpoint_every + self.trains_from()
        return self.first_step + self.steps(saved)


def input_series(processes: Sequence[Process], length: float, interval: float) -> list[dict[str, str]]:
    """As promtool reads them: a value or `_` for each interval; a target that is gone leaves a stale marker."""
    made = []
    times = [index * interval for index in range(int(length / interval) + 1)]
    for one in processes:
        labels = f'namespace="{NAMESPACE}", pod="{one.pod}", run="{one.run}", rank="{one.rank}", recipe="demo"'
        for name, value in {**one.told(), "up": lambda now: 1.0}.items():
            metric, _, own = name.partition("{")
            told = [_sample(one, metric, value, now) for now in times]
            inside = ", ".join(part for part in (labels, own.rstrip("}")) if part)
            made.append({"series": f"{metric}{{{inside}}}", "values": _shortened(told)})
    return made


def _shortened(values: Sequence[str]) -> str:
    """Repeated numbers as promtool abbreviates them; it cannot do so with other values."""
    words = []
    for value, group in itertools.groupby(values):
        count = len(list(group))
        repeatable = count > 1 and value not in ("_", "stale", "NaN", "Inf")
        words.append(f"{value}x{count - 1}" if repeatable else " ".join([value] * count))
    return " ".join(words)


def _sample(one: Process, metric: str, value: Value, now: float) -> str:
    born = one.does[0][0]
    if now < born:
        return "_"
    if now >= one.gone:
        return "stale"
    if one.silent[0] <= now < one.silent[1]:
        return "0" if metric == "up" else "stale"
    told = value(now)
    return "_" if told is None else f"{told:.10g}".replace("nan", "NaN").replace("inf", "Inf")

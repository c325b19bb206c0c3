"""A namespace with made-up runs, with every metric that a dashboard asks for, as OpenMetrics text for promtool."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tests.integration.alert_series import NAMESPACE, STEP_SECONDS, Process, Value

BEGIN = 1_767_268_800.0
"""Unix time of second 0."""
LENGTH, INTERVAL = 10_800.0, 30.0
GPU, PLAIN, DONE, BROKEN, GONE = "cats-lite0", "cats-plain", "dogs-done", "dogs-broken", "dogs-gone"
GIB = 2.0**30
EPOCH = 1200.0


def _epochs(begins: float, gone: float, starts: float = 60.0) -> tuple[tuple[float, str], ...]:
    """It starts, decodes and compiles, then trains for 18 minutes and validates for 2, until it is gone."""
    does = [(begins, "waiting"), (begins + starts / 2, "starting"), (begins + starts, "decode")]
    does.append((begins + starts + 240, "compile"))
    now = begins + starts + 280
    while now < gone:
        does += [(now, "step"), (now + 0.9 * EPOCH, "evaluation")]
        now += EPOCH
    return tuple(one for one in does if one[0] < gone)


def _wave(now: float, size: float) -> float:
    return size * math.sin(now / 173) * math.cos(now / 61)


def _train_metrics(one: Process) -> dict[str, Value]:
    def progress(now: float) -> float:
        return (one.first_step + one.steps(now)) / 20_000

    return {
        "catdog_epoch": lambda now: float(progress(now) * 20 // 2),
        'catdog_loss{split="train"}': lambda now: 0.7 * math.exp(-2.5 * progress(now)) + 0.03 + _wave(now, 0.01),
        'catdog_loss{split="valid"}': lambda now: 0.65 * math.exp(-2 * progress(now)) + 0.06,
        'catdog_accuracy{split="train"}': lambda now: 1 - 0.5 * math.exp(-3 * progress(now)) + _wave(now, 0.004),
        'catdog_accuracy{split="valid"}': lambda now: 0.98 - 0.45 * math.exp(-3 * progress(now)),
        "catdog_learning_rate": lambda now: 1e-3 * (1 + math.cos(math.pi * min(1.0, progress(now)))) / 2,
        "catdog_gradient_norm": lambda now: 2.2 - 1.4 * progress(now) + _wave(now, 0.3),
        "catdog_eta_seconds": lambda now: (25_000 - one.first_step - one.steps(now)) * STEP_SECONDS * 1.15,
        "catdog_goodput_ratio": lambda now: _goodput(one, now),
        "catdog_lost_steps": lambda now: 210.0 if one.restarts else 0.0,
        "catdog_not_finite_total": lambda now: 0.0,
        'catdog_run_info{model="efficientnet-lite0", optimizer="adam", precision="mixed_bfloat16", '
        'strategy="multi-worker", fingerprint="5e1f0a2b9c44", data_fingerprint="77aa01c2d3e4"}': lambda now: 1.0,
    }


def _goodput(one: Process, now: float) -> float:
    before = one.done_before
    useful = sum(before.get(name, 0.0) + one.spent(now, name) for name in ("step", "evaluation"))
    every = sum(before.values()) + now - one.does[0][0]
    return useful / every if every else 0.0


def _checkpoint_metrics(one: Process) -> dict[str, Value]:
    def count(now: float) -> float:
        return max(0.0, (now - one.trains_from()) // one.checkpoint_every)

    return {
        "catdog_checkpoint_timestamp_seconds": lambda now: (
            BEGIN + one.trains_from() + count(now) * one.checkpoint_every if count(now) else 0.0
        ),
        'catdog_checkpoints_total{kind="checkpoint"}': count,
        'catdog_checkpoints_total{kind="best"}': lambda now: count(now) // 4,
        'catdog_checkpoint_seconds_total{kind="checkpoint"}': lambda now: 2.3 * count(now),
        'catdog_checkpoint_seconds_total{kind="best"}': lambda now: 1.1 * (count(now) // 4),
        'catdog_checkpoint_bytes_total{kind="checkpoint"}': lambda now: 41e6 * count(now),
        'catdog_checkpoint_bytes_total{kind="best"}': lambda now: 14e6 * (count(now) // 4),
        "catdog_checkpoints_refused_total": lambda now: 0.0,
    }


def _process_metrics(one: Process) -> dict[str, Value]:
    last = one._last_step
    made: dict[str, Value] = {
        "catdog_total_steps": lambda now: 25_000.0 if now >= one.trains_from() else 0.0,
        "catdog_examples_total": lambda now: 32.0 * one.steps(now),
        "catdog_last_step_timestamp_seconds": lambda now: BEGIN + last(now) if last(now) else 0.0,
        'catdog_input_rejected_total{reason="too_large"}': lambda now: 1.0 if now > one.trains_from() else 0.0,
        'catdog_input_rejected_total{reason="unreadable"}': lambda now: 2.0 if now > one.trains_from() else 0.0,
        'catdog_rejected_examples{split="train"}': lambda now: 3.0,
        'catdog_rejected_examples{split="valid"}': lambda now: 0.0,
        "catdog_memory_bytes": lambda now: min(now - one.does[0][0], 400) / 400 * 5.1 * GIB + _wave(now, 0.05 * GIB),
        "catdog_memory_limit_bytes": lambda now: 8 * GIB,
        'catdog_build_info{version="0.1.0", revision="1c53a79", python="3.11.9", tensorflow="2.20.0"}': lambda now: 1.0,
        **_buckets("catdog_step_seconds", "", one.steps, {0.25: 0.02, 0.5: 0.6, 1.0: 0.99, 2.5: 1.0}),
    }
    for operation, rate in {"list": 0.02, "stat": 0.1, "read": 0.4, "write": 0.25, "delete": 0.02}.items():
        made |= _storage(one, operation, rate)
    return made


def _storage(one: Process, operation: str, rate: float) -> dict[str, Value]:
    def calls(now: float) -> float:
        return math.floor(rate * (now - one.does[0][0]))

    shares = {0.01: 0.2, 0.05: 0.7, 0.1: 0.9, 0.5: 0.99, 1.0: 1.0}
    label = f'operation="{operation}"'
    return {
        f"catdog_storage_requests_total{{{label}}}": calls,
        **({f"catdog_storage_bytes_total{{{label}}}": lambda now: 2.5e6 * calls(now)} if rate > 0.2 else {}),
        **_buckets("catdog_storage_seconds", label, calls, shares),
    }


def _buckets(name: str, label: str, count: Value, shares: Mapping[float, float]) -> dict[str, Value]:
    def of(share: float) -> Value:
        return lambda now: math.floor(share * (count(now) or 0.0))

    before = label and label + ", "
    made = {f'{name}_bucket{{{before}le="{limit}"}}': of(share) for limit, share in shares.items()}
    made[f'{name}_bucket{{{before}le="+Inf"}}'] = of(1.0)
    return made


def _gpu_metrics() -> dict[str, Value]:
    return {
        'catdog_gpu_memory_bytes{gpu="0"}': lambda now: 9.2 * GIB + _wave(now, 0.3 * GIB),
        'catdog_gpu_memory_peak_bytes{gpu="0"}': lambda now: 11.4 * GIB,
    }


def _full(one: Process, gpus: bool = False) -> Process:
    of_the_run = {} if one.rank else {**_train_metrics(one), **_checkpoint_metrics(one)}
    told = {**_process_metrics(one), **of_the_run, **(_gpu_metrics() if gpus else {})}
    return replace(one, instead={**told, **one.instead})


def _two(one: Process, gpus: bool = False) -> tuple[Process, Process]:
    other = replace(one, rank=1, pod=one.pod + "-1")
    return _full(replace(one, pod=one.pod + "-0"), gpus), _full(other, gpus)


def processes() -> tuple[Process, ...]:
    """Of a run with GPUs that was killed once and goes on, a plain one, and three that have ended in different ways."""
    killed, again, end = 5_400.0, 5_520.0, LENGTH + INTERVAL
    first = Process(GPU, 0, "cats-lite0-a", _epochs(0, killed), killed)
    spent = {name: first.spent(killed, name) for name in ("waiting", "starting", "decode", "compile", "evaluation")}
    before = {**spent, "step": first.spent(killed, "step") - 105, "lost": 105.0, "down": again - killed, "restore": 4.0}
    steps = int(first.steps(killed)) - 210
    retries = {'catdog_storage_retries_total{reason="connection"}': lambda now: max(0.0, min(now - 7_000, 400) // 20)}
    second = Process(
        GPU,
        0,
        "cats-lite0-b",
        _epochs(again, end),
        end,
        restarts=1,
        first_step=steps,
        done_before=before,
        instead=retries,
    )
    plain = Process(PLAIN, 0, "cats-plain-a", _epochs(900, end), end)
    done = Process(DONE, 0, "dogs-done-a", _epochs(300, 4_000), 4_000, "succeeded")
    broken = Process(BROKEN, 0, "dogs-broken-a", _epochs(1_500, 6_000), 6_000, "failed")
    gone = Process(GONE, 0, "dogs-gone-a", _epochs(1_500, 8_000), 8_000)
    final: dict[str, Value] = {
        'catdog_balanced_accuracy{split="valid"}': lambda now: 0.961 if now > 3_900 else None,
        'catdog_macro_f1{split="valid"}': lambda now: 0.96 if now > 3_900 else None,
    }
    later = _full(replace(done, rank=1, pod="dogs-done-a-1", gone=4_000 + 2 * INTERVAL))  # scraped when rank 0 is gone
    ended = (_full(replace(done, instead=final)), later, _full(broken), _full(gone))
    return (*_two(first, gpus=True), *_two(second, gpus=True), *_two(plain), *ended)


def others() -> dict[str, Value]:
    """What other exporters say: DCGM's, both ways of labelling, and `catdog list -o prometheus`."""
    made: dict[str, Value] = {}
    for rank, labels in enumerate(
        (
            f'namespace="{NAMESPACE}", pod="cats-lite0-b-0"',
            f'namespace="gpus", pod="dcgm-x", exported_namespace="{NAMESPACE}", exported_pod="cats-lite0-b-1"',
        )
    ):
        made[f'DCGM_FI_DEV_GPU_UTIL{{gpu="{rank}", {labels}}}'] = lambda now: 84.0 + _wave(now, 12)
        made[f'DCGM_FI_DEV_FB_USED{{gpu="{rank}", {labels}}}'] = lambda now: 12_300.0 + _wave(now, 300)
    run = f'run_namespace="{NAMESPACE}", run="{GPU}"'
    made[f"catdog_listed_gpu_hours{{{run}}}"] = lambda now: 2 * now / 3600
    made[f"catdog_listed_cost{{{run}}}"] = lambda now: 2 * now / 3600 * 2.5
    alert = 'alertname="CatdogStorageRetries", alertstate="firing", severity="warning"'
    made[f'ALERTS{{{alert}, namespace="{NAMESPACE}", run="{GPU}"}}'] = lambda now: 1.0 if 7_200 <= now < 7_500 else None
    return made


def open_metrics() -> Iterator[str]:
    """Lines in the order that the format wants: by metric, then by series, then by time."""
    series: list[tuple[str, str, Process | None, Value]] = []
    for one in processes():
        target = f'namespace="{NAMESPACE}", pod="{one.pod}", run="{one.run}", rank="{one.rank}", recipe="transfer"'
        for name, value in {**one.told(), "up": lambda now: 1.0}.items():
            metric, _, own = name.partition("{")
            inside = ", ".join(part for part in (target, own.rstrip("}")) if part)
            series.append((metric, inside, one, value))
    for name, value in others().items():
        metric, _, own = name.partition("{")
        series.append((metric, own.rstrip("}"), None, value))
    times = [index * INTERVAL for index in range(int(LENGTH / INTERVAL) + 1)]
    for metric, group in itertools.groupby(sorted(series, key=lambda one: one[:2]), key=lambda one: one[0]):
        yield f"# TYPE {metric} unknown"
        for _, labels, process, value in group:
            joined = labels.replace('", ', '",')  # the format has no spaces there
            yield from _samples(f"{metric}{{{joined}}}", process, value, times)
    yield "# EOF"


def _samples(name: str, one: Process | None, value: Value, times: Sequence[float]) -> Iterator[str]:
    for now in times:
        if one is not None and not one.does[0][0] <= now < one.gone:
            continue
        told = value(now)
        if told is not None:
            yield f"{name} {told:.10g} {BEGIN + now:.0f}"

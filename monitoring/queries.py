"""The PromQL of every panel, variable and annotation; that of alerts is in `monitoring.conditions`.

Grafana fills in $namespace, $run, $rank and its own $__rate_interval and $__range. Run gauges are told by rank 0, and
go on over restarts; other ranks have most of them too, at 0, and may be scraped once more. Counters start at 0 with
each process: only in rate() and increase().
"""

from monitoring.conditions import UP

NAMESPACE = 'namespace="$namespace"'
RUN = f'{NAMESPACE}, run="$run"'
_ZERO = 'rank="0"'
RANK_0 = f"{RUN}, {_ZERO}"
RANKS = f'{RUN}, rank=~"$rank"'
LISTED = 'run_namespace="$namespace"'
WORKED = 'category!~"down|stopped"'
NOT_STOPPED = 'category!="stopped"'
VALID = 'split="valid"'

STATES = ("running", "succeeded", "failed", "preempted", "cancelled")
GONE = len(STATES) + 1
"""Number of the state of a run that says that it runs, but is not scraped any more."""


def _state(state: str) -> str:
    return f'state="{state}"'


def _by(*labels: str) -> str:
    return f"by ({', '.join(('namespace', 'run', *labels))})"


def _run(metric: str, *labels: str, where: str = "") -> str:
    """A gauge of the run."""
    return f"max {_by(*labels)} ({metric}{{{RANK_0}{where and ', '}{where}}})"


def _rate(metric: str, *labels: str, where: str = "", scope: str = RUN) -> str:
    """A counter of processes, per second."""
    return f"sum {_by(*labels)} (rate({metric}{{{scope}{where and ', '}{where}}}[$__rate_interval]))"


def _quantile(share: float, metric: str, *labels: str, scope: str = RUN) -> str:
    return f"histogram_quantile({share}, {_rate(metric + '_bucket', *labels, 'le', scope=scope)})"


# --- Overview

STATE = " + ".join(
    f'{number} * max by (namespace, run) (catdog_run_state{{{RANK_0}, state="{state}"}})'
    for number, state in enumerate(STATES, 1)
)
PROGRESS = f"{_run('catdog_step')} / {_run('catdog_total_steps')}"
TIME_LEFT = _run("catdog_eta_seconds")
EPOCH = _run("catdog_epoch")
VALID_ACCURACY = _run("catdog_accuracy", where=VALID)
GOODPUT = _run("catdog_goodput_ratio")
RESTARTS = _run("catdog_restarts")
_INFO = f"last_over_time(catdog_run_info{{{RANK_0}}}[$__range])"
RUN_INFO = f"max by (model, optimizer, precision, strategy, fingerprint, data_fingerprint) ({_INFO})"
_BUILDS = f"last_over_time(catdog_build_info{{{RUN}}}[$__range])"
BUILD_INFO = f"count by (version, revision, python, tensorflow) ({_BUILDS})"
GPU_HOURS = f'max by (run) (catdog_listed_gpu_hours{{{LISTED}, run="$run"}})'
COST = f'max by (run) (catdog_listed_cost{{{LISTED}, run="$run"}})'

# --- Progress

STEP = _run("catdog_step")
TOTAL_STEPS = _run("catdog_total_steps") + " > 0"
LOSS = _run("catdog_loss", "split")
ACCURACY = _run("catdog_accuracy", "split")
BALANCED_ACCURACY = _run("catdog_balanced_accuracy", "split")
MACRO_F1 = _run("catdog_macro_f1", "split")
LEARNING_RATE = _run("catdog_learning_rate")
GRADIENT_NORM = _run("catdog_gradient_norm")
NOT_FINITE = f"sum {_by()} (increase(catdog_not_finite_total{{{RUN}}}[$__range]))"

# --- Speed. Every worker counts the same steps, and each its own pictures.

EXAMPLES = _rate("catdog_examples_total")
STEPS = f"max {_by()} (rate(catdog_steps_total{{{RUN}}}[$__rate_interval]))"
STEP_SECONDS_HALF = _quantile(0.5, "catdog_step_seconds", "rank", scope=RANKS)
STEP_SECONDS_95 = _quantile(0.95, "catdog_step_seconds", "rank", scope=RANKS)
STEP_PHASES = (
    f"sum {_by('phase')} (rate(catdog_step_phase_seconds_total{{{RANKS}}}[$__rate_interval]))"
    f" / on (namespace, run) group_left () {_rate('catdog_steps_total', scope=RANKS)}"
)
OWN_STEP_SECONDS = _run("catdog_worker_step_seconds", "worker", where='worker=~"$rank"')

# --- Waste

LEDGER = f"{_run('catdog_run_wall_seconds', 'category')} > 0"
TIME_SHARES = _rate("catdog_wall_seconds_total", "category", where='rank="0"') + " > 0"
LOST_STEPS = _run("catdog_lost_steps")
_LOST_OR_DOWN = f'catdog_run_wall_seconds{{{RANK_0}, category=~"lost|down"}}'
LOST_SECONDS = f"sum by (namespace, run) (max by (namespace, run, category) ({_LOST_OR_DOWN}))"

# --- Input and storage

INPUT_SHARE = (
    _rate("catdog_step_phase_seconds_total", "rank", where='phase="input"', scope=RANKS)
    + f" / {_rate('catdog_step_phase_seconds_total', 'rank', scope=RANKS)}"
)
REJECTED = f"max {_by('split')} (catdog_rejected_examples{{{RUN}}})"
REJECTED_BY_REASON = f"max {_by('reason')} (increase(catdog_input_rejected_total{{{RUN}}}[$__range]))"
STORAGE_REQUESTS = _rate("catdog_storage_requests_total", "operation", scope=RANKS)
STORAGE_BYTES = _rate("catdog_storage_bytes_total", "operation", scope=RANKS)
STORAGE_SECONDS_95 = _quantile(0.95, "catdog_storage_seconds", "operation", scope=RANKS)
STORAGE_RETRIES = _rate("catdog_storage_retries_total", "reason", scope=RANKS)

# --- Checkpoints. 0 is no time: there was none yet.

CHECKPOINT_AGE = f"time() - max {_by()} (catdog_checkpoint_timestamp_seconds{{{RANK_0}}} > 0)"
STEPS_AT_RISK = f"{_run('catdog_step')} - {_run('catdog_checkpoint_step')}"
CHECKPOINT_STEP = _run("catdog_checkpoint_step")
CHECKPOINTS = f"sum {_by('kind')} (increase(catdog_checkpoints_total{{{RUN}}}[1h]))"
CHECKPOINT_SECONDS = (
    f"sum {_by('kind')} (increase(catdog_checkpoint_seconds_total{{{RUN}}}[1h]))"
    f" / (sum {_by('kind')} (increase(catdog_checkpoints_total{{{RUN}}}[1h])) > 0)"
)
CHECKPOINT_SIZE = (
    f"sum {_by('kind')} (increase(catdog_checkpoint_bytes_total{{{RUN}}}[1h]))"
    f" / (sum {_by('kind')} (increase(catdog_checkpoints_total{{{RUN}}}[1h])) > 0)"
)
CHECKPOINT_FAILURES = f"sum {_by('kind')} (increase(catdog_checkpoint_failures_total{{{RUN}}}[1h]))"
# Counted before the first scrape, so that increase() would not see it.
CHECKPOINTS_REFUSED = f"max {_by()} (max_over_time(catdog_checkpoints_refused_total{{{RUN}}}[1h]))"

# --- Workers

WORKERS = f'max {_by("state")} (catdog_workers{{{RUN}, rank="0"}})'
SCRAPED = f'sum {_by()} (up{{{RUN}, recipe!=""}})'
STRAGGLERS = _run("catdog_straggler_ratio", "worker", where='worker=~"$rank"')
SINCE_LAST_STEP = f"time() - max {_by('rank')} (catdog_last_step_timestamp_seconds{{{RANKS}}} > 0)"
DRIFTED = f"max {_by()} (catdog_replicas_drifted{{{RUN}}})"
MEMORY = f"max {_by('rank')} (catdog_memory_bytes{{{RANKS}}})"
MEMORY_LIMIT = f"max {_by()} (catdog_memory_limit_bytes{{{RANKS}}})"
GPU_MEMORY = f"max {_by('rank', 'gpu')} (catdog_gpu_memory_bytes{{{RANKS}}})"
GPU_MEMORY_PEAK = f"max {_by('rank', 'gpu')} (catdog_gpu_memory_peak_bytes{{{RANKS}}})"


def _dcgm(metric: str) -> str:
    """A metric of DCGM's exporter, by rank of the run. The pod with the GPU is in `pod`, or in `exported_pod` where
    Prometheus keeps the exporter's own in `pod`."""
    moved = f'label_replace({metric}{{exported_pod!=""}}, "pod", "$1", "exported_pod", "(.+)")'
    moved = f'label_replace({moved}, "namespace", "$1", "exported_namespace", "(.+)")'
    return (
        f'max by (namespace, pod, gpu) ({moved} or {metric}{{exported_pod="", pod!=""}})'
        f" * on (namespace, pod) group_left (run, rank) max {_by('pod', 'rank')} (catdog_build_info{{{RANKS}}} > 0)"
    )


GPU_UTILISATION = _dcgm("DCGM_FI_DEV_GPU_UTIL")
GPU_MEMORY_USED = _dcgm("DCGM_FI_DEV_FB_USED")

# --- Runs of a namespace: those that Prometheus saw within the dashboard's time


_ATTEMPTS = f'last_over_time(catdog_restarts{{{NAMESPACE}, rank="0"}}[$__range])'
_NEWEST = f"{_ATTEMPTS} == on (namespace, run) group_left () max by (namespace, run) ({_ATTEMPTS})"


def _last(metric: str, where: str = "") -> str:
    """What rank 0 of the newest attempt last said; attempts before it may have said more."""
    said = f'last_over_time({metric}{{{NAMESPACE}, rank="0"{where and ", "}{where}}}[$__range])'
    return f"({said} and on (namespace, run, pod) {_NEWEST})"


def _seen(metric: str, where: str = "") -> str:
    """A gauge of the run, as last said."""
    return f"max by (namespace, run) {_last(metric, where)}"


def _listed(metric: str, where: str = "") -> str:
    """What `catdog list -o prometheus` says, where it is exported."""
    listed = f'{metric}{{{LISTED}{where and ", "}{where}}}, "namespace", "$1", "run_namespace", "(.+)"'
    return f"max by (namespace, run) (label_replace({listed}))"


_LAST_STATE = " + ".join(
    f"{number} * {_seen('catdog_run_state', _state(state))}" for number, state in enumerate(STATES, 1)
)
_LISTED_STATE = " or ".join(
    f"{number} * ({_listed('catdog_listed_run_state', _state(state))} == 1)" for number, state in enumerate(STATES, 1)
)

RUNS_STATE = (
    f"{_LISTED_STATE} or ({_LAST_STATE} > 1) or ({_LAST_STATE} and on (namespace, run) {UP} == 1)"
    f" or {GONE} * ({_LAST_STATE} > bool 0)"
)
RUNS_PROGRESS = (
    f"{_seen('catdog_step')} / {_seen('catdog_total_steps')}"
    f" or {_listed('catdog_listed_step')} / {_listed('catdog_listed_total_steps')}"
)
RUNS_TIME_LEFT = f"max by (namespace, run) (catdog_eta_seconds{{{NAMESPACE}, {_ZERO}}})"
RUNS_ACCURACY = f"{_seen('catdog_accuracy', VALID)} or {_listed('catdog_listed_accuracy', VALID)}"
RUNS_GOODPUT = f"{_seen('catdog_goodput_ratio')} or {_listed('catdog_listed_goodput_ratio')}"
RUNS_RESTARTS = _seen("catdog_restarts")
_GPUS = (
    "count by (namespace, run) "
    f"(count by (namespace, run, rank, gpu) (last_over_time(catdog_gpu_memory_bytes{{{NAMESPACE}}}[$__range])))"
)
_WORKED = f"sum by (namespace, run) {_last('catdog_run_wall_seconds', WORKED)}"
RUNS_GPU_HOURS = f"{_listed('catdog_listed_gpu_hours')} or {_WORKED} / 3600 * {_GPUS}"
RUNS_COST = _listed("catdog_listed_cost")

NAMESPACE_RUNNING = (
    f'count(max by (namespace, run) (catdog_run_state{{{NAMESPACE}, state="running"}}) == 1) or on () vector(0)'
)
NAMESPACE_WORKERS = f'sum(up{{{NAMESPACE}, run!="", rank!="", recipe!=""}}) or on () vector(0)'
NAMESPACE_EXAMPLES = f"sum by (run) (rate(catdog_examples_total{{{NAMESPACE}}}[$__rate_interval]))"
NAMESPACE_PROGRESS = (
    f"max by (run) (catdog_step{{{NAMESPACE}, {_ZERO}}}) / max by (run) (catdog_total_steps{{{NAMESPACE}, {_ZERO}}})"
)
NAMESPACE_GOODPUT = f"max by (run) (catdog_goodput_ratio{{{NAMESPACE}, {_ZERO}}})"
NAMESPACE_WASTE = f"sum by (category) {_last('catdog_run_wall_seconds', NOT_STOPPED)} > 0"
NAMESPACE_ALERTS = (
    f'count by (alertname) (ALERTS{{alertname=~"Catdog.+", alertstate="firing", {NAMESPACE}}}) or on () vector(0)'
)

# --- Variables and annotations

ALL_NAMESPACES = "label_values(catdog_build_info, namespace)"
ALL_RUNS = f"label_values(catdog_build_info{{{NAMESPACE}}}, run)"
ALL_RANKS = f"label_values(catdog_build_info{{{RUN}}}, rank)"
FIRING = f'ALERTS{{alertname=~"Catdog.+", alertstate="firing", {RUN}}}'
FIRING_IN_NAMESPACE = f'ALERTS{{alertname=~"Catdog.+", alertstate="firing", {NAMESPACE}}}'

"""When something is wrong: the PromQL of every alert, by run. `monitoring.alerts` says what each means.

Run gauges are told by rank 0; other ranks have most of them too, at 0. A pod that is gone leaves none behind. A counter
starts at 0 with each process, so it is only in increase() and rate(). Durations are written as `monitoring.durations`
reads them.
"""

RUN = "namespace, run"

UP = 'up{run!="", rank!="", recipe!=""}'
"""Targets of the PodMonitor: no other one sets all three labels."""


def _most(metric: str) -> str:
    return f"max by ({RUN}) ({metric})"


def _grown(metric: str, window: str) -> str:
    return f"sum by ({RUN}) (increase({metric}[{window}]))"


STALLED = f"""\
time() - {_most("catdog_last_step_timestamp_seconds > 0")} > SECONDS(40m)
  and {_most('catdog_step{rank="0"}')} < {_most('catdog_total_steps{rank="0"}')}
  and {_most('catdog_run_state{state="running"}')} == 1
  and sum by ({RUN}) (rate(catdog_wall_seconds_total{{rank="0", category=~"step|input"}}[10m])) > 0.5"""

_SAVED = 'catdog_checkpoint_step{rank="0"}'

NO_CHECKPOINT = f"""\
{_most(f"max_over_time({_SAVED}[2h])")} <= {_most(f"max_over_time({_SAVED}[2h] offset 2h)")}
  and {_most('catdog_step{rank="0"}')} > {_most(_SAVED)}
  and {_grown('catdog_wall_seconds_total{rank="0", category=~"step|input|evaluation"}', "2h")} > SECONDS(1h)"""

CHECKPOINT_FAILING = f"{_grown('catdog_checkpoint_failures_total', '15m')} > 1.5"

LOSS_NOT_FINITE = f"""\
{_most('catdog_loss{split="train"} != catdog_loss{split="train"}')}
  or {_most('abs(catdog_loss{split="train"}) == Inf')}
  or {_grown("catdog_not_finite_total", "15m")} > 0"""

RESTARTS_OFTEN = f"""\
count by ({RUN}) (count by ({RUN}, pod) (last_over_time(catdog_restarts{{rank="0"}}[1h]))) > 4"""

WORKERS_MISSING = f"""\
(
    max by ({RUN}) (
      catdog_workers{{state="expected"}} - ignoring (state) catdog_workers{{state="seen"}}
    ) > 0
    unless {_most('catdog_step{rank="0"}')} >= {_most('catdog_total_steps{rank="0"}')} > 0
)
  or {_most('rate(catdog_wall_seconds_total{rank="0", category="waiting"}[5m])')} > 0.9"""

_MEAN_STEP = (
    f"sum by ({RUN}) (rate(catdog_step_seconds_sum[10m])) / sum by ({RUN}) (rate(catdog_step_seconds_count[10m]))"
)

STRAGGLER = f"""\
max by ({RUN}, worker) (catdog_straggler_ratio) > 1.5
  and
    max by ({RUN}, worker) (catdog_worker_step_seconds)
      - on ({RUN}) group_left () min by ({RUN}) (catdog_worker_step_seconds)
    > on ({RUN}) group_left () 0.1 * {_MEAN_STEP}"""

INPUT_BOUND = f"""\
sum by ({RUN}) (rate(catdog_step_phase_seconds_total{{phase="input"}}[10m]))
  / sum by ({RUN}) (rate(catdog_step_phase_seconds_total[10m]))
  > 0.4"""

REJECTED_PICTURES = f"sum by ({RUN}) (max by ({RUN}, split) (catdog_rejected_examples)) > 0"


def _spent(categories: str) -> str:
    """Seconds of the last 6 h in some categories; gauges of the run, so that restarts do not matter."""
    wall = f'catdog_run_wall_seconds{{category=~"{categories}"}}'
    by = f"max by ({RUN}, category)"
    return f"sum by ({RUN}) ({by} ({wall}) - {by} ({wall} offset 6h))"


GOODPUT_LOW = f"""\
{_spent("lost|down|waiting|restore|input|checkpoint")}
  > {_spent("step|evaluation")}"""

STORAGE_RETRIES = f"""\
{_grown("catdog_storage_retries_total", "10m")}
  > 0.5 * {_grown("catdog_storage_requests_total", "10m")}"""

TARGET_DOWN = f"max by ({RUN}, rank, pod) ({UP}) == 0"

REPLICAS_DRIFTED = f"{_most('max_over_time(catdog_replicas_drifted[1h])')} > 0"

_RESTARTS = 'last_over_time(catdog_restarts{rank="0"}[1h])'

_FAILED_IN_CLUSTER = f"""\
max by ({RUN}) (label_replace(
      kube_job_failed{{condition="true"}} == 1, "run", "$1", "job_name", "(.+?)(?:-w-0)?"))
    and {_most('last_over_time(catdog_step{rank="0"}[1d])')}"""

_FAILED_AS_LISTED = f"""\
max by ({RUN}) (label_replace(
      catdog_listed_run_state{{state="failed"}} == 1
        and on (run_namespace, run) time() - catdog_listed_updated_timestamp_seconds < SECONDS(1d),
      "namespace", "$1", "run_namespace", "(.+)"))"""

# Of the newest attempt that Prometheus has seen: an earlier one may have failed, and the run gone on.
_FAILED_AS_LAST_TOLD = f"""\
max by ({RUN}) (
      last_over_time(catdog_run_state{{state="failed"}}[1h]) == 1
        and on ({RUN}, pod) {_RESTARTS} == on ({RUN}) group_left () max by ({RUN}) ({_RESTARTS}))
    unless {_most(f"max_over_time({UP}[15m])")} == 1"""

RUN_FAILED = f"""\
(
    {_FAILED_IN_CLUSTER}
  or
    {_FAILED_AS_LISTED}
  or
    {_FAILED_AS_LAST_TOLD}
)
  unless {_most(UP)} == 1"""

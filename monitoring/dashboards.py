"""What is on the two dashboards: of a run, and of the runs of a namespace. The queries are in `monitoring.queries`."""

from monitoring import queries as q
from monitoring.grafana import Annotation, Column, Dashboard, Labels, Panel, Row, Table, Target, Variable
from monitoring.resource_rows import CHECKPOINTS, INPUT, WORKERS
from monitoring.training_rows import COLOURS, PROGRESS, SPEED, WASTE

RUN_UID, RUNS_UID = "catdog-run", "catdog-runs"
_KEPT = "${datasource:queryparam}&${namespace:queryparam}"

STATE_TEXTS = {
    1: ("running", "blue"),
    2: ("succeeded", "green"),
    3: ("failed", "red"),
    4: ("preempted", "orange"),
    5: ("cancelled", "text"),
    q.GONE: ("not scraped any more", "orange"),
}
_SHARE_GOOD = ((0.0, "red"), (0.5, "orange"), (0.8, "green"))
_SOME_BAD = ((1.0, "red"),)
_ONLY_LISTED = "Empty unless `catdog list -o prometheus` is exported (docs/operations.md)"


def _stat(title: str, description: str, unit: str, expr: str, **more: object) -> Panel:
    return Panel(title, description, unit, (Target(expr),), "stat", width=4, height=4, **more)  # type: ignore[arg-type]


_OVERVIEW = Row(
    "Overview",
    (
        _stat("State", "What the run last said of itself.", "none", q.STATE, texts=STATE_TEXTS),
        Panel(
            "Progress",
            "Steps done, of all steps of the run.",
            "percentunit",
            (Target(q.PROGRESS),),
            "gauge",
            4,
            4,
            minimum=0,
            maximum=1,
        ),
        _stat(
            "Time left",
            "Of the training, at the present rate. No value before that is known, or at the end.",
            "s",
            q.TIME_LEFT,
            decimals=1,
        ),
        _stat(
            "Accuracy on valid",
            "After the last epoch. No value during the first one.",
            "percentunit",
            q.VALID_ACCURACY,
            decimals=1,
        ),
        _stat(
            "Goodput",
            "Share of the time since the first start that went into steps and validations that count.",
            "percentunit",
            q.GOODPUT,
            thresholds=_SHARE_GOOD,
            decimals=1,
        ),
        _stat("Restarts", "How often the run was started again.", "none", q.RESTARTS, thresholds=((1.0, "orange"),)),
        _stat("Epoch", "Epochs completed.", "none", q.EPOCH),
        _stat(
            "Lost or down",
            "Time for work that had to be done again, and between attempts.",
            "s",
            q.LOST_SECONDS,
            thresholds=((600.0, "orange"), (3600.0, "red")),
            decimals=1,
        ),
        _stat("GPU-hours", f"So far, of all attempts. {_ONLY_LISTED}; 0 without GPUs.", "h", q.GPU_HOURS, decimals=1),
        _stat("Cost", f"So far, at the platform's prices. {_ONLY_LISTED}, and without prices.", "short", q.COST),
        _stat(
            "Not finite",
            "Steps whose loss or gradient was not finite, in the time shown.",
            "none",
            q.NOT_FINITE,
            thresholds=_SOME_BAD,
            decimals=0,
        ),
        _stat(
            "Replicas drifted",
            "Whether replicas were found to hold different weights: they must be equal to the bit.",
            "none",
            q.DRIFTED,
            texts={0: ("no", "green"), 1: ("yes", "red")},
        ),
        Labels("What is trained", "Of the run: the same after every restart.", q.RUN_INFO, 14),
        Labels("Versions", "Of the processes. Two rows: the workers run different images.", q.BUILD_INFO, 10),
    ),
)

_NAMESPACE = Variable("namespace", "Namespace", q.ALL_NAMESPACES)

A_RUN = Dashboard(
    RUN_UID,
    "catdog: a run",
    "One run, over all its restarts: how far it is, how fast, and where the time goes.",
    (_NAMESPACE, Variable("run", "Run", q.ALL_RUNS), Variable("rank", "Rank", q.ALL_RANKS, several=True)),
    (Annotation("Alerts", q.FIRING, "{{severity}}"),),
    (_OVERVIEW, PROGRESS, SPEED, WASTE, INPUT, CHECKPOINTS, WORKERS),
    (("All runs of the namespace", f"/d/{RUNS_UID}?{_KEPT}"),),
)

_TABLE = Table(
    "Runs",
    "The runs that Prometheus has seen in the time shown; with `catdog list -o prometheus` exported, also those that "
    "it has not. A run's name leads to its dashboard. GPU-hours are empty without GPUs; cost is empty without that "
    "export, or without prices; time left is empty for runs that are not training.",
    "run",
    f"/d/{RUN_UID}?{_KEPT}&var-run=${{__value.text}}&${{__url_time_range}}",
    (
        Column("State", q.RUNS_STATE, "none", texts=STATE_TEXTS),
        Column("Progress", q.RUNS_PROGRESS, "percentunit", decimals=0),
        Column("Time left", q.RUNS_TIME_LEFT, "s", decimals=1),
        Column("Accuracy on valid", q.RUNS_ACCURACY, "percentunit", decimals=1),
        Column("Goodput", q.RUNS_GOODPUT, "percentunit", thresholds=_SHARE_GOOD, decimals=0),
        Column("Restarts", q.RUNS_RESTARTS, "none", thresholds=((1.0, "orange"),)),
        Column("GPU-hours", q.RUNS_GPU_HOURS, "h", decimals=1),
        Column("Cost", q.RUNS_COST, "short", decimals=2),
    ),
)

RUNS = Dashboard(
    RUNS_UID,
    "catdog: runs of a namespace",
    "All runs of a namespace, one row each, with a link to the run's own dashboard.",
    (_NAMESPACE,),
    (Annotation("Alerts", q.FIRING_IN_NAMESPACE, "{{run}}, {{severity}}"),),
    (
        Row(
            "Now",
            (
                _stat("Runs that train", "Now.", "none", q.NAMESPACE_RUNNING, decimals=0, now=True),
                _stat("Workers", "That are scraped now.", "none", q.NAMESPACE_WORKERS, decimals=0, now=True),
                Panel(
                    "Alerts that fire",
                    "By name. No alert: 0.",
                    "none",
                    (Target(q.NAMESPACE_ALERTS, "{{alertname}}"),),
                    "stat",
                    width=16,
                    height=4,
                    thresholds=_SOME_BAD,
                    decimals=0,
                    now=True,
                ),
                _TABLE,
            ),
        ),
        Row(
            "Over time",
            (
                Panel(
                    "Progress",
                    "Steps done, of all steps of the run.",
                    "percentunit",
                    (Target(q.NAMESPACE_PROGRESS, "{{run}}"),),
                    minimum=0,
                    maximum=1,
                ),
                Panel(
                    "Pictures",
                    "Trained on, by all workers of a run.",
                    "suffix: /s",
                    (Target(q.NAMESPACE_EXAMPLES, "{{run}}"),),
                    minimum=0,
                ),
                Panel(
                    "Goodput",
                    "Share of all time of a run so far that was productive.",
                    "percentunit",
                    (Target(q.NAMESPACE_GOODPUT, "{{run}}"),),
                    minimum=0,
                    maximum=1,
                ),
                Panel(
                    "Where the time of all runs went",
                    "The ledgers of the runs in the table, added up; stopped is left out.",
                    "s",
                    (Target(q.NAMESPACE_WASTE, "{{category}}"),),
                    "bargauge",
                    width=24,
                    height=9,
                    minimum=0,
                    decimals=1,
                    colours=COLOURS,
                ),
            ),
        ),
    ),
)

DASHBOARDS = (A_RUN, RUNS)

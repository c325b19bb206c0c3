"""Rows of a run's dashboard: how far training is, how fast, and where the time goes."""

from monitoring import queries as q
from monitoring.grafana import Panel, Row, Target

COLOURS = {
    "step": "green",
    "evaluation": "light-green",
    "input": "yellow",
    "checkpoint": "purple",
    "waiting": "orange",
    "starting": "light-blue",
    "decode": "blue",
    "compile": "dark-blue",
    "restore": "light-purple",
    "export": "semi-dark-blue",
    "lost": "red",
    "down": "dark-red",
    "stopped": "gray",
}
"""Of the categories of the ledger: green is productive, red is lost."""

PROGRESS = Row(
    "Progress",
    (
        Panel(
            "Steps",
            "Done, and kept by the last checkpoint. After a failure, the run goes on from there.",
            "short",
            (Target(q.STEP, "done"), Target(q.CHECKPOINT_STEP, "in a checkpoint"), Target(q.TOTAL_STEPS, "of the run")),
            minimum=0,
        ),
        Panel(
            "Loss",
            "Mean of the epoch so far (train), and of the last validation (valid).",
            "short",
            (Target(q.LOSS, "{{split}}"),),
        ),
        Panel(
            "Accuracy",
            "As the loss. Balanced accuracy and F1 are of the exported model: they appear when the run ends.",
            "percentunit",
            (
                Target(q.ACCURACY, "{{split}}"),
                Target(q.BALANCED_ACCURACY, "{{split}}, balanced"),
                Target(q.MACRO_F1, "{{split}}, macro F1"),
            ),
        ),
        Panel(
            "Learning rate", "Of the last step.", "sci", (Target(q.LEARNING_RATE, "learning rate"),), width=12, height=6
        ),
        Panel(
            "Gradient norm",
            "Of the last step, before clipping. A rise by powers of ten comes before a loss that is not finite.",
            "short",
            (Target(q.GRADIENT_NORM, "gradient norm"),),
            width=12,
            height=6,
        ),
    ),
)

SPEED = Row(
    "Speed",
    (
        Panel(
            "Pictures",
            "Trained on, by all workers together.",
            "suffix: /s",
            (Target(q.EXAMPLES, "pictures"),),
            minimum=0,
        ),
        Panel("Steps", "Per second.", "suffix: /s", (Target(q.STEPS, "steps"),), minimum=0),
        Panel(
            "Duration of a step",
            "Median and 95th percentile, by rank. Workers wait for each other in every step, so ranks hardly differ.",
            "s",
            (Target(q.STEP_SECONDS_HALF, "rank {{rank}}, median"), Target(q.STEP_SECONDS_95, "rank {{rank}}, 95 %")),
            minimum=0,
        ),
        Panel(
            "Parts of a step",
            "Mean. Input: blocked until a batch was ready. Compute: the rest, the collective and its wait for other "
            "workers included; only a profile (--profile) tells those apart.",
            "s",
            (Target(q.STEP_PHASES, "{{phase}}"),),
            width=12,
            minimum=0,
            stacked=True,
        ),
        Panel(
            "A worker's own part of a step",
            "Without waiting for others: who is slow.",
            "s",
            (Target(q.OWN_STEP_SECONDS, "rank {{worker}}"),),
            width=12,
            minimum=0,
        ),
    ),
)

WASTE = Row(
    "Waste",
    (
        Panel(
            "Where the time went",
            "The ledger: every second since the first start is in one category. Step and evaluation are productive; "
            "stopped is the time until a person started it again, and does not count.",
            "s",
            (Target(q.LEDGER, "{{category}}"),),
            "bargauge",
            height=9,
            minimum=0,
            decimals=1,
            colours=COLOURS,
        ),
        Panel(
            "What rank 0 does",
            "Share of its time by category. While it is down there is nothing.",
            "percentunit",
            (Target(q.TIME_SHARES, "{{category}}"),),
            height=9,
            minimum=0,
            maximum=1,
            stacked=True,
            colours=COLOURS,
        ),
        Panel(
            "Goodput",
            "Share of all time so far that was productive. It begins low, with decoding and compiling.",
            "percentunit",
            (Target(q.GOODPUT, "goodput"),),
            width=4,
            height=9,
            minimum=0,
            maximum=1,
        ),
        Panel(
            "Lost steps, restarts",
            "Steps that had to be done again after failures. Level in a run without failures.",
            "none",
            (Target(q.LOST_STEPS, "lost steps"), Target(q.RESTARTS, "restarts")),
            width=4,
            height=9,
            minimum=0,
        ),
    ),
)

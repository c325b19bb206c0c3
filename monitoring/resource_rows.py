"""Rows of a run's dashboard: what training depends on, which is input, storage, checkpoints and workers."""

from monitoring import queries as q
from monitoring.grafana import Panel, Row, Target

INPUT = Row(
    "Input and storage",
    (
        Panel(
            "Waiting for input",
            "Share of a step, by rank. Above 40 % for long, CatdogInputBound fires.",
            "percentunit",
            (Target(q.INPUT_SHARE, "rank {{rank}}"),),
            thresholds=((0.4, "red"),),
            minimum=0,
            maximum=1,
        ),
        Panel(
            "Pictures that cannot be used",
            "By split, and by reason where this process has decoded them; rejected.json in the run folder names them.",
            "none",
            (Target(q.REJECTED, "{{split}}"), Target(q.REJECTED_BY_REASON, "{{reason}}")),
            minimum=0,
            decimals=0,
        ),
        Panel(
            "Retries",
            "Calls to storage that were repeated, by reason. Empty while there are none.",
            "ops",
            (Target(q.STORAGE_RETRIES, "{{reason}}"),),
            minimum=0,
        ),
        Panel("Calls to storage", "By operation.", "ops", (Target(q.STORAGE_REQUESTS, "{{operation}}"),), minimum=0),
        Panel(
            "Bytes to and from storage", "By operation.", "Bps", (Target(q.STORAGE_BYTES, "{{operation}}"),), minimum=0
        ),
        Panel(
            "Duration of a call",
            "95th percentile with its retries, by operation. Gaps: none was made.",
            "s",
            (Target(q.STORAGE_SECONDS_95, "{{operation}}"),),
            minimum=0,
        ),
    ),
)

CHECKPOINTS = Row(
    "Checkpoints",
    (
        Panel(
            "Age of the last checkpoint",
            "A failure loses what came after it. Nothing before the first of an attempt.",
            "s",
            (Target(q.CHECKPOINT_AGE, "age"),),
            thresholds=((7200.0, "red"),),
            minimum=0,
        ),
        Panel(
            "Steps at risk", "Done, and in no checkpoint yet.", "short", (Target(q.STEPS_AT_RISK, "steps"),), minimum=0
        ),
        Panel(
            "Written in an hour",
            "Checkpoints to resume from, and the best weights.",
            "none",
            (Target(q.CHECKPOINTS, "{{kind}}"),),
            minimum=0,
        ),
        Panel(
            "Time to write one",
            "Mean of an hour. It is done in the background, and no step waits.",
            "s",
            (Target(q.CHECKPOINT_SECONDS, "{{kind}}"),),
            minimum=0,
        ),
        Panel(
            "Size of one",
            "Mean of an hour, of the tensors.",
            "bytes",
            (Target(q.CHECKPOINT_SIZE, "{{kind}}"),),
            minimum=0,
        ),
        Panel(
            "Failed and refused",
            "Writes that failed in the last hour, and damaged checkpoints that were skipped at the start. All 0 as it "
            "should be.",
            "none",
            (Target(q.CHECKPOINT_FAILURES, "failed: {{kind}}"), Target(q.CHECKPOINTS_REFUSED, "refused")),
            minimum=0,
            decimals=0,
        ),
    ),
)

WORKERS = Row(
    "Workers",
    (
        Panel(
            "Workers",
            "As many as rank 0 expects and hears, itself included, and as many as Prometheus scrapes.",
            "none",
            (Target(q.WORKERS, "{{state}}"), Target(q.SCRAPED, "scraped")),
            minimum=0,
            decimals=0,
        ),
        Panel(
            "Stragglers",
            "A worker's own part of a step, as a multiple of the median of all. Above 1.5, and where that is more than "
            "a tenth of a step, CatdogStraggler fires.",
            "suffix: ×",
            (Target(q.STRAGGLERS, "rank {{worker}}"),),
            thresholds=((1.5, "red"),),
            minimum=0,
        ),
        Panel(
            "Since the last step",
            "By rank. Nothing before the first step of a process.",
            "s",
            (Target(q.SINCE_LAST_STEP, "rank {{rank}}"),),
            minimum=0,
        ),
        Panel(
            "Memory",
            "Of each process, and the limit of its container where there is one.",
            "bytes",
            (Target(q.MEMORY, "rank {{rank}}"), Target(q.MEMORY_LIMIT, "limit")),
            width=12,
            minimum=0,
        ),
        Panel(
            "GPU memory of TensorFlow",
            "In use, and the most so far. Empty without GPUs.",
            "bytes",
            (
                Target(q.GPU_MEMORY, "rank {{rank}}, GPU {{gpu}}"),
                Target(q.GPU_MEMORY_PEAK, "rank {{rank}}, GPU {{gpu}}, peak"),
            ),
            width=12,
            minimum=0,
        ),
        Panel(
            "GPU utilisation",
            "Share of the time in which a kernel ran. Empty without GPUs, or without DCGM's exporter.",
            "percent",
            (Target(q.GPU_UTILISATION, "rank {{rank}}, GPU {{gpu}}"),),
            width=12,
            minimum=0,
            maximum=100,
        ),
        Panel(
            "GPU memory in all",
            "Held on the device, in MiB. Empty without GPUs, or without DCGM's exporter.",
            "mbytes",
            (Target(q.GPU_MEMORY_USED, "rank {{rank}}, GPU {{gpu}}"),),
            width=12,
            minimum=0,
        ),
    ),
)

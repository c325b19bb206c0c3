"""Words that tools outside rely on, each typed here and nowhere else: docs/contracts.md says what is in the files.

Standard library only: the command line uses them too.
"""

from enum import StrEnum

# Files and folders of the run folder, as paths in it.
CONFIG = "config.json"
STATE = "state.json"
METRICS = "metrics.jsonl"
SUMMARY = "summary.json"
REJECTED = "rejected.json"
LEASE = "lease.json"
REPORT = "report.html"
CHECKPOINTS = "checkpoints"
BEST = "best"
MODEL = "model"
KERAS_MODEL, SAVED_MODEL = f"{MODEL}/model.keras", f"{MODEL}/saved_model"
SERVED_VERSION = f"{SAVED_MODEL}/1"
"""The same again, as model servers want it: SAVED_MODEL is their base path, and this the model's version."""
LABELS, MODEL_CARD = f"{MODEL}/labels.json", f"{MODEL}/MODEL_CARD.md"
FIGURES = {name: f"figures/{name}.png" for name in ("curves", "augmentation", "confusion", "mistakes")}
"""File by the figure's name."""
TENSORBOARD = "tensorboard"

MANIFEST = "MANIFEST.json"
"""In the folder of each checkpoint, BEST among them."""


class State(StrEnum):
    """`state` in STATE: where a run stands, by its own account."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"


# Environment variables of the trainer, and who writes them.

# Who trains with whom. `catdog train --workers N` writes the list and each rank, the manifest the template and, as it
# cannot know it, no rank: the job controller's JOB_COMPLETION_INDEX is that. Read by trainer.workers.topology.
ENV_RANK = "CATDOG_RANK"
ENV_HOSTS = "CATDOG_HOSTS"
ENV_HOST_TEMPLATE = "CATDOG_HOST_TEMPLATE"
ENV_WORKERS = "CATDOG_WORKERS"
HOST_INDEX = "{index}"
"""What stands in ENV_HOST_TEMPLATE for a worker's rank."""

# How many workers share this machine. Written by `catdog train --workers N`, read by trainer.process.container.
ENV_LOCAL_WORKERS = "CATDOG_LOCAL_WORKERS"

# Which run this is, and which attempt at it: the sum of both counts. The manifest takes them from the pod; the lease
# reads them, to tell an attempt that is over from one that lives.
ENV_RUN_UID = "CATDOG_RUN_UID"
ENV_ATTEMPT = "CATDOG_ATTEMPT"
ENV_ATTEMPT_UNCOUNTED = "CATDOG_ATTEMPT_UNCOUNTED"

# Seconds that a worker which ends with 75 waits before it does, or until a SIGTERM. Written by the manifest, read by
# `python -m trainer train`.
ENV_PEER_LOST_WAIT = "CATDOG_PEER_LOST_WAIT"

# Bytes that files in the temporary folder may take before the pod is evicted; empty: no limit. Written by the manifest,
# read by trainer.process.container.
ENV_DISK_LIMIT = "CATDOG_DISK_LIMIT"

# The process whose end ends this one. Written by whatever starts `python -m trainer` here, the command line or a gang's
# first process; read by trainer.process.orphan.
ENV_PARENT = "CATDOG_PARENT"

# The git commit of the source. The Dockerfile writes it into the image, trainer.process.versions reads it.
ENV_REVISION = "CATDOG_REVISION"

# Where the cause of an end is told, in place of TERMINATION_LOG: tests write it, trainer.folder.attempt reads it.
ENV_TERMINATION_LOG = "CATDOG_TERMINATION_LOG"
TERMINATION_LOG = "/dev/termination-log"
"""The file that Kubernetes reads it from; the manifest says so."""

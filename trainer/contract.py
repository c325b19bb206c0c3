"""Names that outside tools rely on, each defined only here; docs/contracts.md describes the files' contents.

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
ATTEMPT = "attempt.json"
"""The attempt that began last, in Kubernetes: from it, the next one knows whether it came to nothing."""
REPORT = "report.html"
CHECKPOINTS = "checkpoints"
BEST = "best"
FROZEN = "frozen"
"""What a run on a pre-trained network never changes; checkpoints and BEST name its file."""
FEATURES, FEATURES_RECORD = "features", "features.json"
"""Features of the pictures until the run has finished; what they were computed of, and their SHA-256."""
MODEL = "model"
KERAS_MODEL, SAVED_MODEL = f"{MODEL}/model.keras", f"{MODEL}/saved_model"
SERVED_VERSION = f"{SAVED_MODEL}/1"
"""The same again, as model servers want it: SAVED_MODEL is their base path, and this the model's version."""
CONVERTED = {"litert": f"{MODEL}/model.tflite", "onnx": f"{MODEL}/model.onnx"}
"""Format of `catdog export` → file."""
PIXELS = f"{MODEL}/pixels.json"
"""Beside these: what the pixels are that they take."""
LABELS, MODEL_CARD = f"{MODEL}/labels.json", f"{MODEL}/MODEL_CARD.md"
FIGURES = {name: f"figures/{name}.png" for name in ("curves", "augmentation", "confusion", "mistakes")}
"""Figure name → file."""
TENSORBOARD = "tensorboard"
PROFILE = "profile.json"
"""With --profile: the parts of a step; the trace that it comes from is below TENSORBOARD."""
TRACKING = "mlflow.json"
"""With --track: the MLflow server, and the id of the run there."""

WEIGHTS_CARD = "weights.json"
"""In a folder of pre-trained weights: what they are; without it, there are none."""

SPOKEN = "catdog.progress"
"""First word of a line in rank 0's log, before state.json in one line: for users without rights on storage."""

MANIFEST = "MANIFEST.json"
"""In each checkpoint's folder, including BEST."""

HEALTH_PATH = "/healthz"
"""On the port of the metrics: answered while the process is alive."""


class State(StrEnum):
    """`state` in STATE: a run's state, as the run itself reports it."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"


# Environment variables of the trainer, and who writes them.

# The workers that train together. `catdog train --workers N` writes the list and each rank. The manifest writes the
# template but no rank, which is the job controller's JOB_COMPLETION_INDEX. Read by trainer.workers.topology.
ENV_RANK = "CATDOG_RANK"
ENV_HOSTS = "CATDOG_HOSTS"
ENV_HOST_TEMPLATE = "CATDOG_HOST_TEMPLATE"
ENV_WORKERS = "CATDOG_WORKERS"
HOST_INDEX = "{index}"
"""The placeholder for a worker's rank in ENV_HOST_TEMPLATE."""

# What the workers of a gang prove to each other to know; shown nowhere. `catdog train --workers N` makes one for each
# run, the manifest refers to the platform's Secret. Read by trainer.workers.handshake.
ENV_SECRET = "CATDOG_GANG_SECRET"

# How many workers share this machine. Written by `catdog train --workers N`, read by trainer.process.container.
ENV_LOCAL_WORKERS = "CATDOG_LOCAL_WORKERS"

# The run, and the attempt at it, which is the sum of both counts. The manifest takes them from the pod; the lease reads
# them to distinguish a finished attempt from a live one.
ENV_RUN_UID = "CATDOG_RUN_UID"
ENV_ATTEMPT = "CATDOG_ATTEMPT"
ENV_ATTEMPT_UNCOUNTED = "CATDOG_ATTEMPT_UNCOUNTED"

# Seconds that a worker waits before it exits with 75, unless SIGTERM comes first. Written by the manifest, read by
# `python -m trainer train`.
ENV_PEER_LOST_WAIT = "CATDOG_PEER_LOST_WAIT"

# Seconds without an answer to the liveness probe after which a SIGTERM is taken for the probe's. Written by the
# manifest, read by trainer.main.
ENV_LIVENESS_SECONDS = "CATDOG_LIVENESS_SECONDS"

# Bytes that files in the temporary folder may take before the pod is evicted; empty: no limit. Written by the manifest,
# read by trainer.process.container.
ENV_DISK_LIMIT = "CATDOG_DISK_LIMIT"

# The process whose exit stops this one. Written by whatever starts `python -m trainer` here, the command line or a
# gang's first process; read by trainer.process.orphan.
ENV_PARENT = "CATDOG_PARENT"

# The git commit of the source. The Dockerfile writes it into the image, trainer.process.versions reads it.
ENV_REVISION = "CATDOG_REVISION"

# The file for the cause of an exit, in place of TERMINATION_LOG: tests set it, trainer.folder.attempt reads it.
ENV_TERMINATION_LOG = "CATDOG_TERMINATION_LOG"
TERMINATION_LOG = "/dev/termination-log"
"""The file from which Kubernetes reads the cause; the manifest names it."""

"""The commands of `catdog`: the name, the module and the line in `catdog --help` of each.

A module is imported when its command is used. Each has a function `command`, whose docstring starts with the same line.
"""

from collections.abc import Mapping
from dataclasses import dataclass

HERE, CLUSTER = "On this machine", "On Kubernetes"


@dataclass(frozen=True)
class Entry:
    """A command: its module, the first line of its help, the heading that it is listed under."""

    module: str
    help: str
    panel: str = HERE


@dataclass(frozen=True)
class Group:
    """Several commands under one name."""

    help: str
    commands: Mapping[str, Entry]
    panel: str = HERE


DATA = Group(
    "Prepare data sets: import, check, pack.",
    {
        "import": Entry(
            "k8s.commands.data_import",
            "Split pictures into train, valid and test, check every one, and store them with an index.",
        ),
        "check": Entry(
            "k8s.commands.data_check",
            "Read every picture of a data set: counts, balance, unreadable, damaged, duplicate pictures, other files.",
        ),
        "pack": Entry(
            "k8s.commands.data_pack",
            "Write a data set as a few large shards (TFRecord), which train like the loose pictures, and read faster.",
        ),
    },
)

WEIGHTS = Group(
    "Weights of pre-trained networks: list, fetch, check.",
    {
        "list": Entry("k8s.commands.weights_list", "List the pre-trained networks and where their weights come from."),
        "fetch": Entry("k8s.commands.weights_fetch", "Store the weights of a network in a folder or bucket."),
        "check": Entry("k8s.commands.weights_check", "Verify stored weights: hash, and every tensor's name and shape."),
    },
)

SUBMIT = Entry("k8s.commands.submit", "Train on Kubernetes.", CLUSTER)

COMMANDS: Mapping[str, Entry | Group] = {
    "train": Entry(
        "k8s.commands.train",
        "Train on this machine, without Kubernetes: one device, several, or [bold]--workers N[/bold] processes.",
    ),
    "evaluate": Entry("k8s.commands.evaluate", "Compute accuracy, loss and confusion of a run's exported model."),
    "predict": Entry("k8s.commands.predict", "Predict class and probability of pictures with a run's exported model."),
    "export": Entry("k8s.commands.export", "Write a run's network as LiteRT or ONNX, tried in its runtime first."),
    "report": Entry(
        "k8s.commands.report",
        "Write the HTML report of a run in any state, and open it if there is a browser.",
    ),
    "compare": Entry(
        "k8s.commands.compare", "Show what differs between runs beside what came out of them; also as one HTML page."
    ),
    "data": DATA,
    "weights": WEIGHTS,
    "submit": SUBMIT,
    "list": Entry("k8s.commands.list", "List runs in the cluster and below the platform's runs URI.", CLUSTER),
    "status": Entry("k8s.commands.status", "Show a run: phase, progress, workers, restarts, result.", CLUSTER),
    "logs": Entry(
        "k8s.commands.logs",
        "Show the logs of all workers, prefixed with their rank; with -f the exit code is the run's result.",
        CLUSTER,
    ),
    "wait": Entry(
        "k8s.commands.wait",
        "Wait until a run finishes; the exit code is its result: 0 succeeded, 1 not, 124 after --timeout.",
        CLUSTER,
    ),
    "why": Entry("k8s.commands.why", "Explain why a run waits or has failed: cause, evidence, next command.", CLUSTER),
    "cancel": Entry("k8s.commands.cancel", "Stop a run after it saves a checkpoint.", CLUSTER),
    "resume": Entry("k8s.commands.resume", "Resume a run from its last checkpoint, on any number of GPUs.", CLUSTER),
    "delete": Entry(
        "k8s.commands.delete", "Delete a run's objects from the cluster; its folder stays, unless --folder.", CLUSTER
    ),
    "doctor": Entry(
        "k8s.commands.doctor",
        "Check cluster, permissions and chart, and write a bundle for a bug report, without secrets.",
        CLUSTER,
    ),
}

"""The commands of `catdog`: what each is called, its module, and its line in `catdog --help`.

A module is imported when its command is used. Each has a function `command`, whose docstring begins with the same line.
"""

from collections.abc import Mapping
from dataclasses import dataclass

HERE, CLUSTER = "Here", "On Kubernetes"


@dataclass(frozen=True)
class Entry:
    """A command: the module that has it, the first line of its help, the heading that it stands under."""

    module: str
    help: str
    panel: str = HERE


@dataclass(frozen=True)
class Group:
    """Several commands under one word."""

    help: str
    commands: Mapping[str, Entry]
    panel: str = HERE


DATA = Group(
    "Prepares data sets: import, check, pack.",
    {
        "import": Entry(
            "k8s.commands.data_import",
            "Split pictures into train, valid and test, check every one, and store them with an index.",
        ),
        "check": Entry(
            "k8s.commands.data_check",
            "Read every picture of a data set: counts, balance, unreadable, damaged and duplicate pictures, odd files.",
        ),
        "pack": Entry(
            "k8s.commands.data_pack",
            "Write a data set as a few large shards (TFRecord), which train as the loose pictures do, and read faster.",
        ),
    },
)

SUBMIT = Entry("k8s.commands.submit", "Train on Kubernetes.", CLUSTER)

COMMANDS: Mapping[str, Entry | Group] = {
    "train": Entry(
        "k8s.commands.train",
        "Train here, without Kubernetes: one device, several, or [bold]--workers N[/bold] processes.",
    ),
    "evaluate": Entry("k8s.commands.evaluate", "Accuracy, loss and confusion of a run's exported model."),
    "predict": Entry("k8s.commands.predict", "Class and probability of pictures, by a run's exported model."),
    "report": Entry(
        "k8s.commands.report",
        "Write the HTML report of a run, whatever state it is in, and open it where there is a browser.",
    ),
    "data": DATA,
    "submit": SUBMIT,
    "list": Entry("k8s.commands.list", "Runs in the cluster and below the platform's runs URI.", CLUSTER),
    "status": Entry("k8s.commands.status", "Where a run stands: phase, progress, workers, restarts, result.", CLUSTER),
    "logs": Entry(
        "k8s.commands.logs",
        "Logs of all workers, each line with its rank in front; with -f the exit code is the run's result.",
        CLUSTER,
    ),
    "wait": Entry(
        "k8s.commands.wait",
        "Wait until a run has ended; the exit code is its result: 0 succeeded, 1 not, 124 after --timeout.",
        CLUSTER,
    ),
    "why": Entry("k8s.commands.why", "Why a run waits or has failed: cause, evidence, next command.", CLUSTER),
    "cancel": Entry("k8s.commands.cancel", "Stop a run with a saved checkpoint.", CLUSTER),
    "resume": Entry(
        "k8s.commands.resume", "Go on with a run from its last checkpoint, on any number of GPUs.", CLUSTER
    ),
    "delete": Entry(
        "k8s.commands.delete", "Delete a run's objects from the cluster; its folder stays, unless --folder.", CLUSTER
    ),
    "doctor": Entry(
        "k8s.commands.doctor",
        "Check cluster, rights and chart, and write a bundle for a bug report, without secrets.",
        CLUSTER,
    ),
}

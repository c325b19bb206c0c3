"""Exit codes, and the exception that carries one from where a failure is detected to the exit of the process.

The numbers follow sysexits.h where it has a suitable one. Kubernetes reads them: the manifest's podFailurePolicy is
built from `NEVER_RETRIED`.
"""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the trainer and of the commands that start it."""

    DONE = 0
    USAGE = 2
    BAD_OPTION = 64
    BAD_DATA = 65
    INPUT_MISSING = 66
    RENDEZVOUS_FAILED = 69
    BUG = 70
    RUN_REFUSED = 73
    STORAGE_FAILED = 74
    PEER_LOST = 75
    STALLED = 76
    NO_PERMISSION = 77
    NO_ACCELERATOR = 78
    NO_PROGRESS = 79
    DIVERGED = 80
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141
    TERMINATED = 143


MEANING: dict[Exit, str] = {
    Exit.DONE: "done",
    Exit.USAGE: "usage",
    Exit.BAD_OPTION: "an option's value is out of bounds",
    Exit.BAD_DATA: "bad data: too many rejected images, or wrong classes",
    Exit.INPUT_MISSING: "an input is missing",
    Exit.RENDEZVOUS_FAILED: "rendezvous failed: a worker did not join",
    Exit.BUG: "a bug in catdog, or a device that computes wrongly",
    Exit.RUN_REFUSED: "the run folder belongs to another configuration or data set, or to a live run",
    Exit.STORAGE_FAILED: "storage failed after retries",
    Exit.PEER_LOST: "another worker was lost; the cause is in its log",
    Exit.STALLED: "no step finished in time",
    Exit.NO_PERMISSION: "no permission on storage",
    Exit.NO_ACCELERATOR: "an accelerator was requested but none is available",
    Exit.NO_PROGRESS: "no progress",
    Exit.DIVERGED: "the loss was not finite again after one rollback",
    Exit.INTERRUPTED: "stopped by Ctrl-C, state saved",
    Exit.OUTPUT_CLOSED: "whoever read the output left before its end",
    Exit.TERMINATED: "stopped by SIGTERM or SIGHUP, state saved",
}

# A retry cannot fix these: the same command on the same input fails the same way.
NEVER_RETRIED: tuple[Exit, ...] = (
    Exit.USAGE,
    Exit.BAD_OPTION,
    Exit.BAD_DATA,
    Exit.INPUT_MISSING,
    Exit.RUN_REFUSED,
    Exit.NO_PERMISSION,
    Exit.NO_ACCELERATOR,
    Exit.NO_PROGRESS,
    Exit.DIVERGED,
)


class ExitError(Exception):
    """A failure with a known cause: one line for people, one code for machines."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = Exit(code)
        self.message = message

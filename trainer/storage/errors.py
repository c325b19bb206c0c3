"""Storage errors; each carries a one-line message and the exit code of the process."""

from trainer.exits import Exit, ExitError


class StorageMissing(ExitError):
    """The object, or the bucket, does not exist."""

    def __init__(self, message: str) -> None:
        super().__init__(Exit.INPUT_MISSING, message)


class StorageDenied(ExitError):
    """These credentials, or this user, are not allowed to do that."""

    def __init__(self, message: str) -> None:
        super().__init__(Exit.NO_PERMISSION, message)


class StorageFailed(ExitError):
    """The operation failed, after retries where they can help."""

    def __init__(self, message: str) -> None:
        super().__init__(Exit.STORAGE_FAILED, message)


class PreconditionFailed(StorageFailed):
    """Another writer was first: the object is not at the generation that the caller named."""


class BadName(ExitError):
    """An invalid object name: it would leave the root, or a file system or a bucket cannot hold it."""

    def __init__(self, message: str) -> None:
        super().__init__(Exit.BAD_DATA, message)

"""Opens a storage: what a URI names, and which kind of storage that is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trainer.exits import Exit, ExitError
from trainer.storage.base import Storage
from trainer.storage.local import LocalStorage
from trainer.storage.measured import Call, Measured
from trainer.storage.retry import RetryEvent, RetryPolicy


@dataclass(frozen=True)
class Listener:
    """Who is told of calls to a storage, from the thread that makes them: of each retry before its wait, and of each
    call when it has ended."""

    on_retry: Callable[[RetryEvent], None] | None = None
    on_call: Callable[[Call], None] | None = None


SILENT = Listener()


def open_storage(
    uri: str, *, concurrency: int = 64, listener: Listener = SILENT, retry: RetryPolicy | None = None
) -> Storage:
    """Opens a path, `file://` URI or `gs://bucket/prefix`; makes no request and creates nothing.

    `concurrency` is how many calls can run at once (connections kept).
    Raises `ExitError` 64 for another kind of URI, `StorageDenied` without credentials.
    """
    opened = _opened(uri, concurrency, listener, retry)
    return opened if listener.on_call is None else Measured(opened, listener.on_call)


def _opened(uri: str, concurrency: int, listener: Listener, retry: RetryPolicy | None) -> Storage:
    scheme, separator, rest = uri.partition("://")
    if separator and scheme == "gs":
        from trainer.storage.gcs import connect  # here: google.cloud takes half a second, which a local run can save

        bucket, _, prefix = rest.partition("/")
        return connect(
            bucket, prefix, concurrency=concurrency, on_retry=listener.on_retry, policy=retry or RetryPolicy()
        )
    if separator and scheme == "file":
        return LocalStorage(_path_of(uri))
    if separator and scheme.isalnum():
        raise ExitError(
            Exit.BAD_OPTION, f"{uri}: unknown kind of storage; use a path, file:///path or gs://bucket/prefix"
        )
    if not uri or "\0" in uri:
        raise ExitError(Exit.BAD_OPTION, f"{uri!r}: not a path; use a path, file:///path or gs://bucket/prefix")
    return LocalStorage(Path(uri))


def _path_of(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise ExitError(Exit.BAD_OPTION, f"{uri}: a file URI has three slashes, as in file:///data/cats")
    path = unquote(uri[len("file://") + len(parts.netloc) :])
    if "\0" in path:
        raise ExitError(Exit.BAD_OPTION, f"{uri}: a path cannot contain a NUL byte")
    return Path(path)

"""Where a run's pictures come from: the named data set, or the drawn demo set."""

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainer.data.data_set import DataSet
from trainer.data.demo import write_demo
from trainer.data.downloads import open_downloads
from trainer.data.drawing.draw import DEMO_VERSION
from trainer.data.reading import CONCURRENCY, Contents, Read, reader
from trainer.data.rules import AS_IT_IS, Rules
from trainer.data.split import list_data_set
from trainer.process import temporary
from trainer.storage.opening import SILENT, Listener, open_storage
from trainer.storage.retry import MIB


@dataclass(frozen=True)
class Source:
    """A listed data set and how to read its pictures. `demo`: drawn, not photographs."""

    data: DataSet
    read: Read
    demo: bool


def counted_by(source: Source, counted: Callable[[Contents], Contents]) -> Source:
    """The same source, of which what it reads goes through `counted`."""
    return dataclasses.replace(source, read=lambda examples: counted(source.read(examples)))


def demo_folder() -> Path:
    """Where the demo set is kept between runs."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "catdog" / f"demo-{DEMO_VERSION}"


def _demo() -> Path:
    folder = demo_folder()
    advice = "free some room there, choose another folder with the environment variable XDG_CACHE_HOME, or say --data"
    with temporary.explained("the demo set cannot be drawn there", folder, advice):
        return write_demo(folder)


def open_source(
    uri: str,
    *,
    rules: Rules = AS_IT_IS,
    cache_dir: str = "",
    cache_disk: int = 0,
    listener: Listener = SILENT,
) -> Source:
    """List the data set at `uri` by the rules, or draw the demo set when it is empty.

    Pictures read from a bucket are kept in `cache_dir`, at most `cache_disk` MiB (0: see `open_downloads`). `listener`
    is told of each call to storage, and of a retry for each damaged picture that is fetched again.

    Raises:
        ExitError: 66 when it is not there, 65 when it is not a data set, 74 or 77 from storage.
    """
    storage = open_storage(uri or str(_demo()), concurrency=CONCURRENCY, listener=listener)
    data = list_data_set(storage, rules if uri else AS_IT_IS)
    downloads = None
    if storage.uri.startswith("gs://"):
        downloads = open_downloads(Path(cache_dir) if cache_dir else None, data.fingerprint, cache_disk * MIB)
    return Source(data, reader(storage, downloads=downloads, on_retry=listener.on_retry), demo=not uri)

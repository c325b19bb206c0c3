"""Where a run's pictures come from: the data set that was named, or the drawn demo set."""

import os
from dataclasses import dataclass
from pathlib import Path

from trainer.data.cache import Read
from trainer.data.demo import DEMO_VERSION, write_demo
from trainer.data.split import DataSet, Example, list_data_set
from trainer.storage.base import open_storage


@dataclass(frozen=True)
class Source:
    """A listed data set and how to read one of its pictures. `demo`: drawn, not photographs."""

    data: DataSet
    read: Read
    demo: bool


def demo_folder() -> Path:
    """Where the demo set is kept between runs."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "catdog" / f"demo-{DEMO_VERSION}"


def open_source(uri: str) -> Source:
    """List the data set at `uri`, or draw the demo set when it is empty.

    Raises:
        ExitError: 66 when it is not there, 65 when it is not a data set, 74 or 77 from storage.
    """
    storage = open_storage(uri or str(write_demo(demo_folder())))

    def read(example: Example) -> bytes:
        return storage.read(example.name)

    return Source(list_data_set(storage), read, demo=not uri)

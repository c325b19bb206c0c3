"""Keeps what C++ libraries write to standard error by themselves from the terminal, unless something failed."""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unless_it_fails() -> Iterator[None]:
    """What is written to file descriptor 2 meanwhile is shown only if an exception comes out."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        except BaseException:
            written.seek(0)
            os.write(kept, written.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def import_tensorflow() -> None:
    """Import tensorflow without its first lines: logged before absl is initialised, so no level of logging stops them.

    Raises:
        ImportError: and then the lines are shown.
    """
    with unless_it_fails():
        importlib.import_module("tensorflow")

"""Imports TensorFlow without the lines that its C++ libraries write to standard error at import."""

import importlib
import os
import sys
import tempfile


def import_tensorflow() -> None:
    """Import tensorflow; what it wrote to file descriptor 2 meanwhile is shown only if the import fails.

    TF_CPP_MIN_LOG_LEVEL does not reach these lines: they are logged before absl is initialised.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
        except BaseException:
            written.seek(0)
            os.write(kept, written.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)

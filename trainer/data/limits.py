"""How large a picture's file may be, wherever one is read: train, check, import and predict say the same."""

from trainer.storage.retry import MIB
from trainer.words import mebibytes

LARGEST_FILE = 256 * MIB
"""A PNG of 64 million pixels that does not shrink at all has 192 MB."""


def size_fault(size: int) -> str:
    """Why a file of so many bytes cannot be used, in a few words; empty where it can."""
    return f"larger than {mebibytes(LARGEST_FILE)}" if size > LARGEST_FILE else ""

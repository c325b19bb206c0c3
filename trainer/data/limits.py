"""What a picture may be: the limits that import, check, training and the exported model have in common."""

from trainer.storage.retry import MIB

LARGEST_PICTURE = 256 * MIB
"""Bytes of an encoded picture. Any 8-bit picture within MAX_PIXELS fits, however badly it is compressed."""

TOO_LARGE = "larger than"
"""How the reason for refusing a larger one begins."""

MAX_PIXELS = 64_000_000
"""Pixels of a picture that is decoded as it is: what guards memory."""

MAX_SCALED_PIXELS = 512_000_000
"""Pixels of a JPEG that can be scaled down while it is decoded, row by row."""

MAX_SCANS = 100
"""Scans of a progressive JPEG: each is a pass over the whole picture, and may cost a few bytes only."""

"""How Cloud Storage encodes an object's checksum, generation and content type."""

import base64
import mimetypes

from trainer.storage.errors import PreconditionFailed


def crc32c_number(field: str) -> int:
    """A crc32c in Cloud Storage's form, base64 of the big-endian number: https://datatracker.ietf.org/doc/html/rfc4960"""
    return int.from_bytes(base64.b64decode(field), "big")


def crc32c_field(number: int) -> str:
    """The inverse of `crc32c_number`."""
    return base64.b64encode(number.to_bytes(4, "big")).decode()


def generation_number(token: str | None) -> int | None:
    """The generation as a number, 0 for no object. Raises `PreconditionFailed` for a token that is not a bucket's."""
    if token is None:
        return None
    if token and not token.isdecimal():
        raise PreconditionFailed(f"{token!r} is not a generation of an object in a bucket")
    return int(token or 0)


def content_type(name: str) -> str:
    """The media type for the name's extension."""
    kind, encoding = mimetypes.guess_type(name, strict=False)
    return kind if kind and not encoding else "application/octet-stream"

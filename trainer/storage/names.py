"""Valid object names: those that every storage can hold and that stay below its root."""

import os

from trainer.storage.errors import BadName

NAME_LIMIT = 1024
"""Longest object name in bytes of UTF-8: https://cloud.google.com/storage/docs/objects#naming"""

TEMPORARY_PREFIX = ".catdog-tmp-"
LOCK_NAME = ".catdog-lock"
"""Name parts reserved by `local`; no storage accepts them, so that a run folder can be copied anywhere."""


def check_name(name: str, *, where: str) -> str:
    """Return `name` if every storage can hold it and it stays below the root, else raise `BadName`.

    `where` is the storage's URI, for the message.
    """
    fault = _fault(name)
    if fault:
        raise BadName(f"{where}: cannot hold an object named {_shown(name)}: {fault}")
    return name


def _fault(name: str) -> str | None:
    if not name:
        return "the name is empty"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "the name is not valid Unicode"
    if size > NAME_LIMIT:
        return f"the name has {size:,} bytes, more than {NAME_LIMIT:,}"
    if any(character in name for character in "\0\r\n"):
        return "the name contains a NUL byte or a line break"
    for part in name.split("/"):
        if not part:
            return "the name starts or ends with a slash or has two in a row"
        if part in (os.curdir, os.pardir):
            return f"the name has {part!r} as a part"
        if part == LOCK_NAME or part.startswith(TEMPORARY_PREFIX):
            return f"{part!r} is reserved by catdog"
    return None


def _shown(name: str) -> str:
    shown = ascii(name) if len(name) <= 120 else ascii(name[:100]) + "…"
    return shown if name.isascii() or len(name) > 120 or not name.isprintable() else f"{name!r}"

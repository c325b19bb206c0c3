"""Holds one upload in front of storage, so that a fault comes at an exact moment of a run."""

import asyncio
import re
import threading
from collections.abc import Callable
from urllib.parse import parse_qs, unquote, urlsplit

_NAME = re.compile(rb'"name": ?"([^"]+)"')


def uploaded(first: str, body: bytes) -> str:
    """The name of the object that a request uploads; empty for another request.

    It is in the body's first part, or in the query: https://cloud.google.com/storage/docs/json_api/v1/objects/insert
    """
    method, path, _ = first.split(" ", 2)
    if method != "POST" or "/upload/" not in path:
        return ""
    if named := parse_qs(urlsplit(path).query).get("name"):
        return unquote(named[0])
    found = _NAME.search(body[:2000])
    return found[1].decode() if found else ""


class Gate:
    """A proxy's `before`: the first upload whose name is wanted stays here until the test lets it go on."""

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self.reached = threading.Event()
        self._wanted, self._open, self._dropped = wanted, threading.Event(), False

    async def __call__(self, first: str, body: bytes) -> None:
        if self.reached.is_set() or not self._wanted(uploaded(first, body)):
            return
        self.reached.set()
        while not self._open.is_set():
            await asyncio.sleep(0.01)
        if self._dropped:
            raise ConnectionResetError("dropped at the gate")

    def open(self, dropped: bool = False) -> None:
        """Let the upload go on, or drop it: whoever sent it is gone."""
        self._dropped = self._dropped or dropped
        self._open.set()

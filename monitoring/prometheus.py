"""Asks a Prometheus what Grafana would ask it: queries with variables filled in, over the time shown."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

POINTS = 240
TIMEOUT_SECONDS = 30.0


class Unanswered(Exception):
    """Prometheus cannot be reached, or refuses a query; the message says which."""


@dataclass(frozen=True)
class Series:
    """Labels, and Unix times with values."""

    labels: Mapping[str, str]
    times: tuple[float, ...]
    values: tuple[float, ...]


def filled(query: str, variables: Mapping[str, str], range_seconds: int, rate_seconds: int) -> str:
    """A query as Grafana sends it: `$name` replaced, the longest names first."""
    known = {**variables, "__range": f"{range_seconds}s", "__rate_interval": f"{rate_seconds}s"}
    for name in sorted(known, key=len, reverse=True):
        query = query.replace(f"${name}", known[name])
    return query


@dataclass(frozen=True)
class Prometheus:
    """A server at `url`, asked for the last `minutes`; it scrapes every `scrape_seconds`."""

    url: str
    variables: Mapping[str, str]
    minutes: int = 60
    scrape_seconds: int = 15
    until: float = field(default_factory=time.time)

    @property
    def step(self) -> int:
        """Seconds between two points."""
        return max(1, self.minutes * 60 // POINTS)

    def over_time(self, query: str) -> list[Series]:
        """Every series of a query over the time shown. Raises Unanswered."""
        asked = {"start": self.until - self.minutes * 60, "end": self.until, "step": self.step}
        return [_series(one["metric"], one["values"]) for one in self._ask("query_range", query, asked)]

    def now(self, query: str) -> list[Series]:
        """Every series of a query at the end of the time shown, with one value. Raises Unanswered."""
        return [_series(one["metric"], [one["value"]]) for one in self._ask("query", query, {"time": self.until})]

    def _ask(self, path: str, query: str, asked: Mapping[str, float]) -> list[dict[str, Any]]:
        rate = max(4 * self.scrape_seconds, self.step)
        text = filled(query, self.variables, self.minutes * 60, rate)
        form = urllib.parse.urlencode({"query": text, **asked}).encode()
        try:
            with urllib.request.urlopen(f"{self.url.rstrip('/')}/api/v1/{path}", form, TIMEOUT_SECONDS) as answer:
                result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
                return result
        except urllib.error.HTTPError as error:
            raise Unanswered(f"{self.url} refuses {text!r}: {error.read().decode(errors='replace')[:500]}") from error
        except (OSError, ValueError, KeyError) as error:
            raise Unanswered(f"{self.url} does not answer as Prometheus does: {error}") from error


def _series(labels: Mapping[str, str], points: list[list[Any]]) -> Series:
    return Series(labels, tuple(float(at) for at, _ in points), tuple(float(value) for _, value in points))

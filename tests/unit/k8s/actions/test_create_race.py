"""Several submits of one name at the same moment, in any order of their requests: one wins, the others leave nothing.

The requests of all clients are let through one at a time, in an order that hypothesis chooses, between steps of the
controllers: deletions take effect later, a JobSet gets its Service, a claim may expire.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from k8s.actions import create as creating
from k8s.actions.create import create
from k8s.api.client import Cluster
from k8s.exits import Cli, CliError
from tests.unit.k8s.actions.test_submit import prepared
from tests.unit.k8s.api.api_server import Configuration
from tests.unit.k8s.manifest.cases import NEITHER

SHAPES = (prepared(1), prepared(2), prepared(2, served=NEITHER))
JOBS, SERVICES = "/apis/batch/v1/namespaces/ml/jobs", "/api/v1/namespaces/ml/services"
SETS = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/ml/jobsets"
Object = dict[str, Any]


@dataclass
class Answer:
    status: int
    data: bytes

    @property
    def headers(self) -> "Answer":
        return self

    def getlist(self, name: str) -> list[str]:
        return []


@dataclass
class Store:
    """The objects by path, and what controllers do with them."""

    objects: dict[str, Object] = field(default_factory=dict)
    created: int = 0

    def handle(self, method: str, path: str, body: Any) -> tuple[int, Object]:
        if method == "POST":
            where = f"{path}/{body['metadata']['name']}"
            if where in self.objects:
                return 409, {"reason": "AlreadyExists", "message": "already exists"}
            self.created += 1
            self.objects[where] = {**body, "metadata": {**body["metadata"], "uid": f"u{self.created}"}}
            return 201, self.objects[where]
        if path not in self.objects:
            return 404, {"message": "not found"}
        if method == "DELETE":
            if body["preconditions"]["uid"] != self.objects[path]["metadata"]["uid"]:
                return 409, {"message": "another uid"}
            if body["propagationPolicy"] == "Background":
                return 200, self.objects.pop(path)
            self.objects[path]["metadata"]["deletionTimestamp"] = "now"
        return 200, self.objects[path]

    def steps(self, *, expiring: bool) -> list[Callable[[], object]]:
        """What controllers may do next."""
        made: list[Callable[[], object]] = []
        for path, one in self.objects.items():
            metadata = one["metadata"]
            owners = {owner["uid"] for owner in metadata.get("ownerReferences", ())}
            gone = owners and not owners & {other["metadata"]["uid"] for other in self.objects.values()}
            owned = [other for other in self.objects.values() if metadata["uid"] in owners_of(other)]
            claim = one["kind"] == "Job" and one["spec"]["completions"] == 0
            if gone or ("deletionTimestamp" in metadata and not (one["kind"] == "JobSet" and owned)):
                made.append(lambda path=path: self.objects.pop(path))
            elif "deletionTimestamp" in metadata:
                made.append(lambda: self.objects.pop(f"{SERVICES}/r"))  # what a JobSet owns goes before it
            elif claim and expiring:
                made.append(lambda path=path: self.objects.pop(path))
            elif one["kind"] == "JobSet" and f"{SERVICES}/r" not in self.objects:
                service = {"kind": "Service", "metadata": {"name": "r", "ownerReferences": [{"uid": metadata["uid"]}]}}
                made.append(lambda service=service: self.handle("POST", SERVICES, service))
        return made


def owners_of(one: Object) -> set[str]:
    return {str(owner["uid"]) for owner in one["metadata"].get("ownerReferences", ())}


class Turns:
    """Lets one request of one client through at a time."""

    def __init__(self, clients: int) -> None:
        self._changed = threading.Condition()
        self._clients = clients
        self._waiting: set[int] = set()
        self._done = 0
        self._turn: int | None = None

    def take(self, client: int) -> None:
        with self._changed:
            self._waiting.add(client)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._turn == client, 20)

    def end(self, client: int, *, finished: bool = False) -> None:
        with self._changed:
            if finished:
                self._done += 1
            else:
                self._turn = None
                self._waiting.discard(client)
            self._changed.notify_all()

    def ready(self) -> list[int]:
        """The clients that wait for their turn, once all that have not finished do."""
        with self._changed:
            quiet = lambda: self._turn is None and len(self._waiting) + self._done == self._clients  # noqa: E731
            assert self._changed.wait_for(quiet, 20)
            return sorted(self._waiting)

    def give(self, client: int) -> None:
        with self._changed:
            self._turn = client
            self._changed.notify_all()


@dataclass
class Pool:
    """A client's connection to the store."""

    store: Store
    turns: Turns
    client: int

    def request(self, method: str, url: str, *, body: bytes | None, **more: Any) -> Answer:
        self.turns.take(self.client)
        try:
            status, found = self.store.handle(method, urlsplit(url).path, None if body is None else json.loads(body))
            return Answer(status, json.dumps(found).encode())
        finally:
            self.turns.end(self.client)


def race(shapes: list[int], order: list[int], *, expiring: bool) -> tuple[Store, list[Object], list[CliError]]:
    store, turns = Store(), Turns(len(shapes))
    won: list[Object] = []
    lost: list[CliError] = []

    def submit(client: int, shape: int) -> None:
        cluster = Cluster(Pool(store, turns, client), Configuration("http://api"), "ml")
        try:
            won.append(dict(create(cluster, SHAPES[shape])))
        except CliError as error:
            lost.append(error)
        finally:
            turns.end(client, finished=True)

    threads = [threading.Thread(target=submit, args=one, daemon=True) for one in enumerate(shapes)]
    for thread in threads:
        thread.start()
    left = iter(order)
    while ready := turns.ready():
        choices: list[Callable[[], object]] = [lambda one=one: turns.give(one) for one in ready]
        choices += store.steps(expiring=expiring)
        number = next(left, None)
        if number is None:  # fair from here on
            for step in store.steps(expiring=False):
                step()
            number = 0
        choices[number % len(choices)]() if number else turns.give(ready[0])
    for thread in threads:
        thread.join(20)
    while steps := store.steps(expiring=True):
        steps[0]()
    return store, won, lost


@pytest.fixture(autouse=True, scope="module")
def no_pauses() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(creating, "POLL_SECONDS", 0.0)
        yield


SUBMITS = st.lists(st.integers(0, len(SHAPES) - 1), min_size=2, max_size=4)
ORDER = st.lists(st.integers(0, 11), max_size=60)


def check_ends(store: Store, won: list[Object], lost: list[CliError], clients: int) -> None:
    assert len(won) + len(lost) == clients
    assert len(won) <= 1
    assert {error.code for error in lost} <= {Cli.USAGE}
    assert all("the name is taken" in error.message for error in lost)
    tops = [one for path, one in store.objects.items() if not path.startswith(SERVICES)]
    assert [one["metadata"]["uid"] for one in tops] == [one["metadata"]["uid"] for one in won]
    assert all(owners_of(one) <= {top["metadata"]["uid"] for top in tops} for one in store.objects.values())


@settings(max_examples=150, deadline=None)
@given(SUBMITS, ORDER)
def test_exactly_one_submit_wins_and_the_others_leave_nothing(shapes: list[int], order: list[int]) -> None:
    store, won, lost = race(shapes, order, expiring=False)
    check_ends(store, won, lost, len(shapes))
    assert len(won) == 1


@settings(max_examples=150, deadline=None)
@example([1, 0], [0, 2, 1, 1, 0])  # the claim expires, the Job is created and sees nothing, then the JobSet is created
@given(SUBMITS, ORDER)
def test_never_two_win_even_if_claims_expire_at_once(shapes: list[int], order: list[int]) -> None:
    check_ends(*race(shapes, order, expiring=True), len(shapes))

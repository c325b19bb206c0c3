"""The protocol of the run folder against writes that are lost, late, doubled and in another order (a model).

Attempts take the folder, renew, write and die, each as the trainer does it, on a bucket in memory.
"""

import dataclasses
import json
from contextlib import suppress
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.unit.trainer.folder.late_storage import OUTCOMES, Bucket, Client
from trainer.contract import LEASE, MANIFEST, METRICS, STATE
from trainer.exits import Exit
from trainer.folder import files
from trainer.folder import lease as leases
from trainer.folder.files import RunState
from trainer.folder.held import Held, again_if_late
from trainer.folder.lease import Holder, Lost
from trainer.storage.errors import StorageFailed
from trainer.training import checkpoint
from trainer.training.checkpoint import Snapshot
from trainer.training.state import LoopState

BEST = f"best/{MANIFEST}"
MANY = 1000
"""More than one attempt writes; what an attempt writes is its order × MANY + how many it wrote before."""


def number_in(name: str, data: bytes) -> int:
    """What was written: the number that goes up."""
    if name == METRICS:
        return int(json.loads(data.splitlines()[-1])["epoch"])
    return int(json.loads(data)["step"])


class Attempt:
    """A process that has the lease, or believes so. `order` says which acquired later."""

    def __init__(self, client: Any, held: Held, order: int) -> None:
        self.client, self.held, self.order = client, held, order
        self.number = order * MANY
        self.awake = True

    def next(self) -> int:
        self.number += 1
        return self.number

    def enter(self) -> None:
        self.write_state()
        again_if_late(lambda: checkpoint.touch(self.client, "best", self.held.confirm))

    def write_state(self) -> None:
        holder = self.held.holder
        state = RunState("running", step=self.next(), attempt=holder.term, writer=holder.uid)
        files.write_state(self.held, state)

    def write_metrics(self) -> None:
        files.write_metrics(self.held, [{"epoch": self.next()}])

    def save_best(self) -> None:
        saved = Snapshot(LoopState(self.next()), {"weights": {"a": np.array(self.number)}})

        def save() -> None:
            left = checkpoint.write(self.client, "best", saved, confirm=self.held.confirm)
            checkpoint.sweep(self.client, left)

        again_if_late(save)


ACTIONS = ("renew", "confirm", "write_state", "write_metrics", "save_best")
one_fault = st.builds(lambda at, fault: ["ok"] * at + [fault], st.integers(0, 4), st.sampled_from(OUTCOMES))
mostly_ok = st.lists(st.sampled_from(("ok",) * 8 + OUTCOMES), max_size=9)
outcomes = st.one_of(st.just([]), one_fault, one_fault, mostly_ok)


class Folder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bucket = Bucket(self.stored)
        self.attempts: list[Attempt] = []
        self.takers: list[str] = []  # uids in lease.json, in the order of its changes; "" where it was removed
        self.newest: dict[str, int] = {}
        self.touched = 0  # order of the latest attempt that has touched BEST
        self.orders = self.counted = 0

    def stored(self, name: str, data: bytes | None) -> None:
        """Called with everything that is stored."""
        if name == LEASE:
            uid = "" if data is None else json.loads(data)["uid"]
            if not self.takers or self.takers[-1] != uid:
                self.takers.append(uid)
        elif name in (STATE, METRICS, BEST):
            assert data is not None
            number = number_in(name, data)
            before = self.newest.get(name, 0)
            assert number >= before, f"{name} went back to {number} from {before}"
            if name == BEST and number > before:
                assert number // MANY >= self.touched, f"{name} is {number} of an attempt before {self.touched}"
            self.newest[name] = number

    def intruded(self, attempt: Attempt) -> bool:
        """Whether another one took the lease after this attempt did, or removed it."""
        return self.takers[-1] != attempt.held.holder.uid

    def do(self, attempt: Attempt, action: str) -> None:
        """One action; an attempt that fails for good, or has lost the folder, ends."""
        intruded = self.intruded(attempt)
        method: Any = getattr(attempt.held if action in ("renew", "confirm", "release") else attempt, action)
        try:
            method()
        except Lost as error:
            self.may_stop(attempt, error)
            self.attempts.remove(attempt)
        except StorageFailed:
            if action == "enter":
                self.attempts.remove(attempt)
        else:
            if action == "enter" and BEST in self.bucket.objects:  # else the attempt's first best replaces any
                self.touched = max(self.touched, attempt.order)
            assert not intruded or action not in ("renew", "confirm"), "believes to have the folder"

    def may_stop(self, attempt: Attempt, error: Lost) -> None:
        assert self.intruded(attempt), f"nobody else was there, but: {error.message}"
        assert error.code == Exit.PEER_LOST, "it is the same run"

    def holder(self, days: int) -> Holder:
        """A process on a machine of its own, whose clock is some days off."""
        self.counted += 1
        uid = f"uid-{self.counted}"
        return Holder(uid, "run", 0, f"host of {uid}", f"boot of {uid}", 1, "1", 1e9 + days * 86_400)

    def start(self, client: Any, me: Holder, asleep: bool) -> Attempt | None:
        """Take the folder, while the attempts that are awake renew their lease every ten seconds."""
        looks = 0

        def wait(_: float) -> None:
            nonlocal looks
            looks += 1
            for other in [one for one in self.attempts if one.awake and not asleep and looks % 2]:
                other.client.outcomes.clear()
                self.do(other, "renew")

        live = [] if asleep else [one for one in self.attempts if one.awake and not self.intruded(one)]
        try:
            told = files.read_state(client)
            lease = leases.acquire(client, me, told.attempt if told else 0, wait)
        except (Lost, StorageFailed):
            return None
        later = [one for one in live if one.held.holder.attempt >= me.attempt]
        assert not later, f"{later[0].held.holder.uid} was alive and renewed its lease"
        assert all(lease.holder.term >= one.held.holder.term for one in self.attempts)
        self.orders += 1
        attempt = Attempt(client, Held(client, lease), self.orders)
        self.attempts.append(attempt)
        return attempt

    @precondition(lambda self: len(self.attempts) < 3)
    @rule(outcomes=outcomes, days=st.integers(-1, 1), asleep=st.booleans(), entering=outcomes)
    def starts(self, outcomes: list[str], days: int, asleep: bool, entering: list[str]) -> None:
        started = self.start(Client(self.bucket, list(outcomes)), self.holder(days), asleep)
        if started is not None:
            started.client.outcomes = list(entering)
            self.do(started, "enter")

    @precondition(lambda self: self.attempts)
    @rule(which=st.integers(0, 3), action=st.sampled_from(ACTIONS), outcomes=outcomes)
    def acts(self, which: int, action: str, outcomes: list[str]) -> None:
        attempt = self.attempts[which % len(self.attempts)]
        attempt.client.outcomes = list(outcomes)
        self.do(attempt, action)

    @precondition(lambda self: self.attempts)
    @rule(which=st.integers(0, 3), action=st.sampled_from(ACTIONS), calls=st.integers(0, 6), outcomes=outcomes)
    def is_stopped_in_the_middle_while_another_takes_over(
        self, which: int, action: str, calls: int, outcomes: list[str]
    ) -> None:
        """As with SIGSTOP, or a machine that sleeps: the later attempt begins to write meanwhile."""
        attempt = self.attempts[which % len(self.attempts)]

        def take_over() -> None:
            me = dataclasses.replace(self.holder(0), attempt=attempt.held.holder.attempt + 1)
            later = self.start(Client(self.bucket), me, asleep=True)
            assert later is not None
            for action in ("enter", "write_metrics", "save_best"):
                self.do(later, action)

        attempt.client.outcomes = list(outcomes)
        attempt.client.interrupt = (calls, take_over)
        self.do(attempt, action)
        attempt.client.interrupt = None

    @precondition(lambda self: self.bucket.late)
    @rule(which=st.integers(0, 3), again=st.booleans())
    def arrives(self, which: int, again: bool) -> None:
        at = which % len(self.bucket.late)
        change = self.bucket.late[at] if again else self.bucket.late.pop(at)
        with suppress(StorageFailed):
            self.bucket.apply(change)

    @precondition(lambda self: self.attempts)
    @rule(which=st.integers(0, 3), outcomes=st.lists(st.sampled_from(("gone", "late", "unanswered")), max_size=3))
    def renews_through_an_outage(self, which: int, outcomes: list[str]) -> None:
        attempt = self.attempts[which % len(self.attempts)]
        for outcome in [*outcomes, "ok"]:
            if attempt in self.attempts:
                attempt.client.outcomes = [outcome]
                self.do(attempt, "renew")

    @precondition(lambda self: self.attempts)
    @rule(which=st.integers(0, 3), outcomes=outcomes)
    def saves_best(self, which: int, outcomes: list[str]) -> None:
        self.acts(which, "save_best", outcomes)

    @precondition(lambda self: self.attempts)
    @rule(which=st.integers(0, 3), how=st.sampled_from(("sleeps", "wakes", "is killed", "ends")), outcomes=outcomes)
    def rests_or_leaves(self, which: int, how: str, outcomes: list[str]) -> None:
        attempt = self.attempts[which % len(self.attempts)]
        attempt.awake = how == "wakes"
        if how == "ends":
            attempt.client.outcomes = list(outcomes)
            self.do(attempt, "write_state")
            self.do(attempt, "release")
        if how in ("is killed", "ends") and attempt in self.attempts:
            self.attempts.remove(attempt)

    def teardown(self) -> None:
        """Whatever has happened: when all is quiet the next attempt gets the folder, and what it writes stays."""
        self.attempts.clear()
        last = self.start(Client(self.bucket), self.holder(0), asleep=True)
        assert last is not None
        last.enter()
        last.write_metrics()
        last.save_best()
        while self.bucket.late:
            with suppress(StorageFailed):
                self.bucket.apply(self.bucket.late.pop())
        last.write_state()
        self.do(last, "renew")
        assert {name: self.newest[name] // MANY for name in (STATE, METRICS, BEST)} == dict.fromkeys(
            (STATE, METRICS, BEST), last.order
        )
        checkpoint.read(last.client, "best")


Folder.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestLateWrites = Folder.TestCase

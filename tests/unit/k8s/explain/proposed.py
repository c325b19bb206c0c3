"""Every command that `why` proposes, for tests that hold them against the chart's Role and run them.

They come from the observations of the other tests: each state of the table, and each case of `why`.
"""

import dataclasses
from collections.abc import Iterator

from k8s.explain.command import Command, commands_in
from k8s.explain.observation import Observation
from k8s.explain.states import TABLE
from k8s.explain.why import explain
from tests.unit.k8s.explain.test_states import MAKE
from tests.unit.k8s.explain.test_why import CASES

TYPED = ("-n", "ml", "--context", "east")


def observations() -> Iterator[Observation]:
    """What was seen, as a user saw it who typed namespace and context; of runs that started, and of others."""
    cases = [snapshot for snapshot, *_ in CASES.values()]
    for one in (*cases, *(MAKE[row.field](row.value) for row in TABLE)):
        for resumable in (True, False, None):
            yield dataclasses.replace(one, typed=TYPED, resumable=resumable)


def commands() -> list[Command]:
    """Each proposed command once."""
    found: dict[Command, None] = {}
    for seen in observations():
        for cause in explain(seen):
            found |= dict.fromkeys(commands_in(cause.then))
    return list(found)

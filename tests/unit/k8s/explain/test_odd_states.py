"""Whatever a run folder's files say, a run in the cluster, or only in its folder, is shown and explained."""

from dataclasses import replace
from io import StringIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from k8s.explain.cause import as_text
from k8s.explain.cost import Prices
from k8s.explain.observation import Observation
from k8s.explain.why import explain
from k8s.terminal import show
from k8s.terminal.exposition import exposition
from k8s.terminal.follow import ending
from k8s.terminal.picture import picture
from tests import odd
from tests.unit.k8s.explain.sightings import NOW, ago, condition, pod, top
from tests.unit.k8s.explain.worked import LEDGER, WORK

STATE = {
    "state": "running",
    "reason": "",
    "exit_code": 70,
    "rank": 0,
    "epoch": 1,
    "step": 2,
    "total_steps": 30,
    "restarts": 1,
    "updated": ago(5),
    "attempt": 1,
    "writer": "u",
    "lost": [1],
    "lost_since": ago(3),
    "slow": {"rank": 1, "times": 3.5},
    "workers": 2,
    "workers_seen": 1,
    **WORK,
}
SUMMARY = {
    "best_epoch": 3,
    "valid": {"accuracy": 0.5, "loss": 1.0},
    "test": {"accuracy": 0.5, "loss": 1.0},
    "wall_seconds": 4.0,
    "ledger": LEDGER["seconds"],
    "lost_steps": 3,
    "gpus": 2,
}
RUNNING = {"running": {"startedAt": ago(100)}}
PRICES = Prices(1e9, 1e-9, "EUR")


def drawn(facts: Any, width: int) -> str:
    console = Console(width=width, file=StringIO())
    console.print(picture(facts, width))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


objects = st.dictionaries(st.text(max_size=9), odd.values, max_size=3)


@settings(max_examples=300, deadline=None)
@given(
    objects | odd.changed(STATE).filter(lambda one: isinstance(one, dict)),
    objects | odd.changed(SUMMARY).filter(lambda one: isinstance(one, dict)),
    st.sampled_from(["object", "pods", "nothing"]),
    st.sampled_from(["running", "failed", "preempted", "succeeded", "cancelled", None]),
)
def test_a_run_is_shown_whatever_its_files_say(state: Any, summary: Any, there: str, known: str | None) -> None:
    if known is not None:
        state = {**state, "state": known}
    seen = Observation(
        name="run",
        now=NOW,
        state=state,
        top=None if there == "nothing" else top(),
        pods=[pod(rank, phase="Running", state=RUNNING) for rank in range(2)] if there == "pods" else [],
    )
    assert as_text(explain(seen))
    facts = show.status(seen, "gs://b/r", summary, PRICES)
    assert show.status_text("gs://b/r", facts)
    assert show.line(facts)
    assert drawn(facts, 80)
    assert drawn(facts, 20)
    row = show.row(seen, "gs://b/r", PRICES)
    assert show.table([row], show.WIDE)
    assert list(text_string_to_metric_families(exposition([row], {"gs://b/r": summary}, "ml")))
    assert show.as_json(facts)
    assert show.outcome(seen, summary)
    for each in (seen, replace(seen, top=top(condition("Completed")))):
        assert ending(each, summary)[1]

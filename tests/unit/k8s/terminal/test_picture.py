"""The live view, as it looks in a terminal without colours."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from k8s.explain.cost import Prices
from k8s.explain.observation import Observation, of_folder
from k8s.terminal import show
from k8s.terminal.picture import picture, sparkline
from tests.unit.k8s.explain.sightings import (
    NOW,
    condition,
    ended,
    event,
    pod,
    running,
    seen,
    state,
    top,
    waiting,
)
from tests.unit.k8s.explain.worked import WORK

PULLED = event("Pulled", "Container image is already on the machine")
TRAINS = seen(top(), running(0), running(1), state=state(step=820, **WORK), events=[PULLED])

WIDE = """\
run  running, training
progress  epoch 2, step 820 of 1,890
          ━━━━━━━━━━━━━━━━━━━━━━━━━━━╸                                     43.4%
loss      0.4312  █▇▇▆▆▄▃▃▂▂▂▁▁
speed     812 examples/s
step      own part of it: rank 0 52 ms, rank 1 61 ms
ETA       1 h 10 min
goodput   88.9% of 1 h 13 min; decoding 2.7%, done again 2.1%, starting 1.4%
          (140 steps done again)
cost      4.81 GPU-hours (12.01 EUR) so far, 4.68 (11.69 EUR) to finish, 0.10
          (0.25 EUR) lost to failures
workers   2 of 2 run
heartbeat 5 s ago
event     Pod/run-w-0-0-abcde (5 s ago) Pulled: Container image is already on
          the machine
"""
NARROW = """\
run  running, training
progress  epoch 2, step 820 of 1,890
          ━━━━━━━━━━               43.4%
loss      0.4312  █▇▇▆▆▄▃▃▂▂▂▁▁
speed     812 examples/s
step      own part of it: rank 0 52 ms,
          rank 1 61 ms
ETA       1 h 10 min
goodput   88.9% of 1 h 13 min; decoding
          2.7%, done again 2.1%,
          starting 1.4% (140 steps done
          again)
cost      4.81 GPU-hours (12.01 EUR) so
          far, 4.68 (11.69 EUR) to
          finish, 0.10 (0.25 EUR) lost
          to failures
workers   2 of 2 run
heartbeat 5 s ago
event     Pod/run-w-0-0-abcde (5 s ago)
          Pulled: Container image is
          already on the machine
"""
WAITS = """\
run  starting
workers   1 of 2 run; rank 0 ErrImagePull
why       image registry.example/catdog:1 cannot be pulled: the pull failed
            rank 0 (run-w-0-0-abcde on node-1): ErrImagePull: no such
            next: kubectl describe pod run-w-0-0-abcde
trouble   the API server is away; retrying
"""
OLDER = """\
run  running
progress  epoch 2, step 120 of 1,890
          ━━━━                                                              6.3%
workers   2 of 2 run
heartbeat 5 s ago
"""
DONE = """\
run  succeeded
progress  epoch 2, step 1,890 of 1,890
          ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 100.0%
loss      0.4312  █▇▇▆▆▄▃▃▂▂▂▁▁
goodput   88.9% of 1 h 13 min; decoding 2.7%, done again 2.1%, starting 1.4%
          (140 steps done again)
cost      4.81 GPU-hours so far, 0.10 lost to failures
result    test accuracy 83.1%, loss 0.4000, best epoch 7
"""


def drawn(one: Observation, width: int = 80, prices: Prices = Prices(2.5, 0, "EUR"), **more: Any) -> str:  # noqa: B008
    facts = show.status(one, "gs://m/runs/run", more.pop("summary", None), prices)
    console = Console(width=width, file=StringIO(), color_system=None, legacy_windows=False)
    console.print(picture(facts, width, **more))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line) <= width for line in text.splitlines())
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def test_a_run_that_trains() -> None:
    assert drawn(TRAINS) == WIDE
    assert drawn(TRAINS, 40) == NARROW


def test_a_run_that_waits_says_why_and_what_may_be_old_is_said() -> None:
    waits = seen(top(), waiting("ErrImagePull", "no such"), running(1))
    assert drawn(waits, trouble="the API server is away; retrying") == WAITS


def test_a_run_of_an_older_version() -> None:
    assert drawn(seen(top(), running(0), running(1), state=state())) == OLDER


def test_a_run_that_has_succeeded_has_its_result_and_no_time_left() -> None:
    done = seen(top(condition("Completed")), ended(0, reason="Completed"), state=state("succeeded", step=1890, **WORK))
    result = {"best_epoch": 7, "test": {"accuracy": 0.8312, "loss": 0.4}}
    assert drawn(done, prices=Prices(), summary=result) == DONE


def test_of_many_workers_the_slowest_are_shown() -> None:
    many = {str(rank): 0.05 + rank / 1000 for rank in range(64)}
    text = " ".join(drawn(seen(top(), running(0), running(1), state=state(**{**WORK, "step_seconds": many}))).split())
    assert "own part of it: median 82 ms, slowest rank 63 113 ms, rank 62 112 ms, rank 61 111 ms ETA" in text


def test_of_many_workers_that_wait_a_few_are_shown() -> None:
    pods = [running(rank) for rank in range(58)] + [pod(rank) for rank in range(58, 64)]
    text = " ".join(drawn(seen(None, *pods, state=state())).split())
    assert "58 of 64 run; rank 58 Pending, rank 59 Pending, rank 60 Pending, rank 61 Pending, and 2 more" in text


def test_where_only_ascii_can_be_shown_nothing_else_is() -> None:
    facts = show.status(of_folder("run", state(**WORK), NOW), "runs/run", None)
    console = Console(width=80, file=StringIO(), color_system=None)
    parts = picture(facts, 80, ascii_only=True)
    text = "".join(
        segment.text for segment in console.render(parts, console.options.update(width=80)) if "━" not in segment.text
    )
    assert text.isascii()
    assert "0.4312 (was 0.6900)" in text


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\nb", "[bold]x[/bold]", "\u202eabc"])
def test_names_of_others_do_nothing_to_the_terminal(name: str) -> None:
    text = drawn(of_folder(name, state(activity=name), NOW)) + drawn(of_folder(name, state("failed", reason=name), NOW))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]" in text or "[bold]" not in name


def test_a_sparkline_goes_from_its_lowest_to_its_highest() -> None:
    assert sparkline([0.0, 7.0, 3.0]) == "▁█▄"
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([-1e12, 1e12]) == "▁█"

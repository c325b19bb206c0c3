from collections.abc import Callable
from typing import Any

import pytest

from k8s.api.errors import ApiError, unreachable
from k8s.exits import Cli, CliError
from k8s.explain.observation import Observation
from k8s.terminal import follow as following
from k8s.terminal import logs
from k8s.terminal.follow import Narrator, ending, follow
from k8s.terminal.logs import Cursor, prefixed
from tests.unit.k8s.api.api_server import Api, serve
from tests.unit.k8s.explain.sightings import condition, ended, running, seen, state, top, waiting

DONE = seen(top(condition("Completed")), ended(0), state=state("succeeded"))
TRAINS = seen(top(), running(0), running(1), state=state())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(logs, "LOG_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(following, "EXPLAIN_AFTER_SECONDS", 0.0)


class TestCursor:
    LINES = (
        "2026-11-23T12:00:00.5Z a",
        "2026-11-23T12:00:00.5Z b",
        "2026-11-23T12:00:00.51Z c",
        "2026-11-23T12:00:02Z d",
    )

    def test_lines_are_given_once_even_if_the_log_is_reopened(self) -> None:
        for cut in range(len(self.LINES) + 1):
            cursor = Cursor()
            told = [cursor.take(line) for line in self.LINES[:cut]]
            cursor.reopen()
            again = [line for line in self.LINES if not cursor.since or line[:19] >= cursor.since[:19]]
            told += [cursor.take(line) for line in again]
            assert [line for line in told if line is not None] == ["a", "b", "c", "d"]

    def test_since_is_in_whole_seconds(self) -> None:
        cursor = Cursor()
        assert cursor.since == ""
        cursor.take("2026-11-23T12:00:00.999Z x")
        assert cursor.since == "2026-11-23T12:00:00Z"

    def test_fractions_sort_as_numbers(self) -> None:
        cursor = Cursor()
        assert cursor.take("2026-11-23T12:00:00.09Z x") == "x"
        assert cursor.take("2026-11-23T12:00:00.1Z y") == "y"
        assert cursor.take("2026-11-23T12:00:00.09Z x") is None

    def test_a_line_may_be_empty(self) -> None:
        assert Cursor().take("2026-11-23T12:00:00Z ") == ""


@pytest.mark.parametrize(("rank", "workers", "text"), [(0, 1, "x"), (None, 4, "x"), (3, 4, "[3] x"), (3, 11, "[ 3] x")])
def test_lines_carry_the_rank_where_there_are_several(rank: int | None, workers: int, text: str) -> None:
    assert prefixed(rank, workers, "x") == text


def look(*snapshots: Observation | ApiError) -> Callable[[bool], Observation]:
    left = list(snapshots)

    def observe(deep: bool) -> Observation:
        one = left[0] if deep or len(left) == 1 else left.pop(0)
        if isinstance(one, ApiError):
            raise one
        return one

    return observe


def watch(*snapshots: Observation | ApiError, **more: Any) -> list[str]:
    said: list[str] = []
    with serve(Api()) as cluster:
        follow(cluster, look(*snapshots), said.append, 2, **{"logs": False, **more})
    return said


def test_phases_and_reasons_for_waiting_are_reported_once_each() -> None:
    pending = seen(top(), waiting("ImagePullBackOff", "not found"), running(1))
    said = watch(pending, pending, TRAINS, TRAINS, DONE)
    assert said[0] == "catdog: run is starting"
    assert sum("cannot be pulled: there is no such image" in line for line in said) == 1
    assert "catdog: run is running: epoch 2, step 120 of 1,890" in said
    assert said[-1].startswith("catdog: run is running"), "`ending` reports the end"


def test_an_api_server_that_goes_away_is_waited_for() -> None:
    gone = unreachable("https://api", "refused")
    said = watch(TRAINS, gone, gone, DONE)
    assert [line for line in said if "api" in line.lower()] == [
        "catdog: the API server https://api cannot be reached (refused); check --context; retrying",
        "catdog: the API server can be reached again",
    ]


def test_a_refusal_ends_it() -> None:
    with pytest.raises(ApiError, match="no"):
        watch(TRAINS, ApiError(Cli.PREREQUISITE, "no", 403))


def test_timeout() -> None:
    with pytest.raises(CliError, match=r"--timeout: 0\.2 s have passed; the run continues") as caught:
        watch(TRAINS, timeout=0.2)
    assert caught.value.code == Cli.TIMED_OUT


def test_a_run_that_vanishes_without_a_trace_ends_it_but_not_at_once() -> None:
    assert watch(seen(), seen(), TRAINS, DONE) == ["catdog: run is running: epoch 2, step 120 of 1,890"]
    with pytest.raises(CliError, match="no longer in the cluster"):
        watch(TRAINS, seen())


def test_logs_of_all_workers_and_of_a_restarted_one_come_with_their_ranks() -> None:
    api = Api()
    first, second = running(0), running(1)
    again = {**ended(0, rank=1), "metadata": {**second["metadata"], "name": "again", "uid": "other"}}
    api.logs = {
        first["metadata"]["name"]: ["2026-11-23T12:00:00Z zero"],
        second["metadata"]["name"]: ["2026-11-23T12:00:00Z one"],
        "again": ["2026-11-23T12:00:09Z one again"],
    }
    last = seen(top(condition("Completed")), ended(0), again)
    said: list[str] = []
    with serve(api) as cluster:
        follow(
            cluster,
            look(seen(top(), first, second, state=state()), last),
            said.append,
            2,
            tell=Narrator(lambda _: None),
        )
    assert sorted(said) == ["[0] zero", "[1] one", "[1] one again"]


@pytest.mark.parametrize(
    ("snapshot", "summary", "code", "words"),
    [
        (
            DONE,
            {"test": {"accuracy": 0.8312}, "best_epoch": 7},
            Cli.OK,
            "run has succeeded: test accuracy 83.1%, best epoch 7",
        ),
        (
            DONE,
            {
                "labels": ["cats", "dogs", "none"],
                "test": {
                    "accuracy": 0.945,
                    "confusion": [[98, 2, 0], [4, 6, 0], [0, 0, 0]],
                    "recall": [0.98, 0.6, None],
                },
                "best_epoch": 7,
            },
            Cli.OK,
            "run has succeeded: test accuracy 94.5% (worst class: dogs 60.0% of 10), best epoch 7",
        ),
        (
            DONE,
            {"test": None, "valid": {"accuracy": 0.8}, "best_epoch": 7},
            Cli.OK,
            "run has succeeded: validation accuracy 80.0%, best epoch 7",
        ),
        (DONE, None, Cli.OK, "run has succeeded"),
        (
            seen(top(condition("Failed")), ended(66, "66: no data")),
            None,
            Cli.RUN_FAILED,
            "run has failed\nexit code 66, an input is missing (not retried): no data",
        ),
        (seen(state=state("cancelled")), None, Cli.RUN_FAILED, "run is cancelled"),
    ],
)
def test_how_a_run_ended(snapshot: Observation, summary: Any, code: Cli, words: str) -> None:
    found, text = ending(snapshot, summary)
    assert found == code
    assert words in text

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from k8s.api.errors import unreachable
from k8s.exits import Cli, CliError
from k8s.explain.observation import of_folder
from k8s.terminal import listing, screen, show
from k8s.terminal.listing import watch_drawn, watch_lines
from tests.unit.k8s.explain.sightings import NOW, state

A, B = (show.row(of_folder(name, state(), NOW), f"runs/{name}") for name in ("a", "b"))
LATER = {**A, "progress": "epoch 3, step 200 of 1,890", "age": "5m"}
OLDER = {**A, "age": "9m", "eta_seconds": 5.0}
AWAY = unreachable("https://api", "refused")
DENIED = CliError(Cli.PREREQUISITE, "no permission")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "POLL_SECONDS", 0.001)


def looks(*answers: Any) -> Callable[[], Any]:
    left = iter(answers)

    def look() -> Any:
        answer = next(left, KeyboardInterrupt())
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, tuple) else (answer, "")

    return look


def lines(*answers: Any) -> tuple[list[str], list[str]]:
    said: list[str] = []
    noted: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        watch_lines(looks(*answers), said.append, noted.append)
    return said, noted


def test_the_table_and_then_only_what_changes() -> None:
    said, _ = lines([A, B], [A, B], [OLDER, B], [LATER, B], [B])
    assert [line.split()[0] for line in said] == ["NAME", "a", "b", "a", "a"]
    assert "step 200" in said[3]
    assert said[4] == "a (runs/a) is gone"


def test_no_runs_is_said_once() -> None:
    assert lines([], [], [A])[0][0] == "no runs"
    assert [line.split()[0] for line in lines([], [], [A])[0]] == ["no", "a"]


def test_an_api_server_that_goes_away_is_waited_for() -> None:
    said, noted = lines([A], AWAY, AWAY, [A], AWAY, [LATER])
    assert len(noted) == 2
    assert noted[0].endswith("retrying")
    assert len(said) == 3


def test_folders_that_cannot_be_read_are_told_once() -> None:
    said, noted = lines(([A], "no permission"), ([A], "no permission"), [A], ([A], "no permission"))
    assert (len(said), noted) == (2, ["no permission", "no permission"])


def test_a_refusal_ends_it() -> None:
    for watch in (lambda look: watch_lines(look, print, print), watch_drawn):
        with pytest.raises(CliError, match="no permission"):
            watch(looks([A], DENIED))


def test_on_a_terminal_the_table_is_drawn_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=40, height=24, color_system=None)
    monkeypatch.setattr(screen, "Console", lambda **how: console)
    with pytest.raises(KeyboardInterrupt):
        watch_drawn(looks(AWAY, [A], AWAY, [LATER, B]))
    text = out.getvalue()
    assert "no runs" not in text
    assert "cannot be reached" in " ".join(text.split())
    last = text.rpartition("NAME")[2]
    assert [line.split()[0] for line in last.splitlines() if line.strip(" \x1b[?25hlAKJ")][-2:] == ["a", "b"]

"""What is drawn on a terminal, by whoever follows a run."""

from io import StringIO

import pytest
from rich.console import Console

from k8s.api.errors import unreachable
from k8s.explain.cost import Prices
from k8s.terminal import follow as following
from k8s.terminal import lines, screen
from k8s.terminal.screen import drawing, follow_drawn
from tests.unit.k8s.api.api_server import Api, serve
from tests.unit.k8s.explain.sightings import condition, ended, running, seen, state, top, waiting
from tests.unit.k8s.explain.worked import WORK
from tests.unit.k8s.terminal.test_follow import look

DONE = seen(top(condition("Completed")), ended(0), state=state("succeeded", **WORK))
TRAINS = seen(top(), running(0), running(1), state=state(**WORK))
ERASE = "\x1b[2K"


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    file = StringIO()
    console = Console(file=file, force_terminal=True, width=80, height=24, color_system=None)
    monkeypatch.setattr(screen, "Console", lambda **how: console)
    return file


def pictures(out: StringIO) -> list[str]:
    """What was drawn, one after another."""
    return [part.strip("\r\n\x1b[1A") for part in out.getvalue().split(ERASE) if part.strip("\r\n\x1b[1A")]


def test_it_is_drawn_again_in_its_place_and_the_last_stays_with_the_result(out: StringIO) -> None:
    draw = drawing("gs://m/r", Prices(1, 1), lambda: {"test": {"accuracy": 0.5, "loss": 1.0}, "best_epoch": 1})
    follow_drawn(None, look(TRAINS, TRAINS, DONE), 2, draw)
    found = pictures(out)
    assert "run  running, training" in found[0]
    assert "accuracy" not in found[0]
    assert "run  succeeded" in found[-1]
    assert "test accuracy 50.0%" in found[-1]


def test_an_api_server_that_goes_away_is_told_below_what_was_seen_last(out: StringIO) -> None:
    gone = unreachable("https://api", "refused")
    follow_drawn(None, look(gone, TRAINS, gone, gone, DONE), 2, drawing("gs://m/r", Prices()))
    found = pictures(out)
    assert "cannot be reached" in found[0]
    assert any("step 120" in one and "cannot be reached" in one for one in found)
    assert "cannot be reached" not in found[-1]


def test_what_a_run_waits_for_is_looked_at_closely_after_a_while(
    out: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "EXPLAIN_AFTER_SECONDS", 0.0)
    pending = seen(top(), waiting("ImagePullBackOff", "not found"), running(1))
    deep: list[bool] = []
    observe = look(pending, pending, DONE)

    def watched(closely: bool) -> object:
        deep.append(closely)
        return observe(closely)

    follow_drawn(None, watched, 2, drawing("", Prices()))  # type: ignore[arg-type]
    assert True in deep
    assert any("there is no such image" in " ".join(one.split()) for one in pictures(out))


def test_logs_scroll_above_and_the_picture_goes(out: StringIO) -> None:
    api = Api()
    first, second = running(0), running(1)
    api.logs = {
        first["metadata"]["name"]: ["2026-11-23T12:00:00Z zero \x1b[31m[bold]"],
        second["metadata"]["name"]: ["2026-11-23T12:00:00Z one"],
    }
    trains = seen(top(), first, second, state=state(**WORK))
    with serve(api) as cluster:
        follow_drawn(cluster, look(trains, trains, DONE), 2, drawing("", Prices()))
    text = out.getvalue()
    assert "[0] zero \\u001b[31m[bold]\n" in text
    assert "[1] one\n" in text
    assert text.index("[1] one\n") < text.rindex("run  running, training")
    assert ERASE in text[text.rindex("run  succeeded") :]


def test_a_terminal_that_can_draw_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert not lines.can_redraw()
    monkeypatch.setattr("sys.stdout", Terminal())
    assert lines.can_redraw()
    for term in ("dumb", "", "unknown"):
        monkeypatch.setenv("TERM", term)
        assert not lines.can_redraw()

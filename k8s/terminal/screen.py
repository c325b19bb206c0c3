"""A live view on a terminal: what is watched is drawn again in its place, and lines of logs scroll above it."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.segment import SegmentLines
from rich.text import Text

from k8s.api.client import Cluster
from k8s.explain.cost import Prices
from k8s.explain.observation import Observation
from k8s.explain.phase import ENDED, Phase, phase_of
from k8s.terminal import show
from k8s.terminal.follow import Closely, Observe, Waits, follow
from k8s.terminal.picture import picture
from trainer.words import in_a_line

Draw = Callable[[Observation, Console, str], RenderableType]
"""What is shown of an observation on this console; the text is why it may be old, or empty."""
Summary = Mapping[str, Any] | None


class Screen:
    """Draws inside its block. With `leave`, what it drew last stays."""

    def __init__(self, *, leave: bool) -> None:
        self.console = Console(highlight=False, markup=False, emoji=False)
        # Other output is not caught: remarks may go elsewhere than to this terminal.
        self._live = Live(
            console=self.console,
            auto_refresh=False,
            transient=not leave,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> "Screen":
        self._live.start()
        return self

    def show(self, what: RenderableType) -> None:
        """Draw this in place of what was drawn before."""
        # Laid out once: each line that scrolls by draws it again.
        self._live.update(SegmentLines(self.console.render_lines(what, pad=False), new_lines=True), refresh=True)

    def say(self, lines: str) -> None:
        """Print lines above it."""
        for line in lines.split("\n"):
            self.console.print(Text(in_a_line(line)), soft_wrap=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


class Watching:
    """Tells of a run by drawing it (a `k8s.terminal.follow.Teller`)."""

    def __init__(self, screen: Screen, draw: Draw) -> None:
        self._screen, self._draw = screen, draw
        self._waits = Waits()
        self._last: Observation | None = None

    def phase(self, seen: Observation, phase: Phase | None, look: Closely) -> None:
        """Draw it; if it has waited for long, with the reason."""
        self._last = (look() if self._waits.in_phase(phase) else None) or seen
        self._show("")

    def trouble(self, message: str) -> None:
        """Draw what was seen last, and why it may be old."""
        self._show(f"{message}; retrying")

    def recovered(self) -> None:
        """The next `phase` draws it without trouble."""

    def _show(self, trouble: str) -> None:
        if self._last is None:
            self._screen.show(Text(in_a_line(trouble)))
        else:
            self._screen.show(self._draw(self._last, self._screen.console, trouble))


def follow_drawn(
    cluster: Cluster | None,
    observe: Observe,
    workers: int,
    draw: Draw,
    *,
    rank: int | None = None,
    timeout: float | None = None,
) -> Observation:
    """`k8s.terminal.follow.follow`, drawn. With a cluster it is below the logs, and goes at the end; else it stays."""
    with Screen(leave=cluster is None) as screen:
        watching = Watching(screen, draw)
        logs = cluster is not None
        return follow(cluster, observe, screen.say, workers, logs=logs, tell=watching, rank=rank, timeout=timeout)


def drawing(uri: str, prices: Prices, summary: Callable[[], Summary] = lambda: None) -> Draw:
    """Draws the picture of a run; `summary` reads its summary.json, once it has ended."""

    def draw(seen: Observation, console: Console, trouble: str) -> RenderableType:
        found = summary() if phase_of(seen) in ENDED else None
        facts = show.status(seen, uri, found, prices)
        return picture(facts, console.width, ascii_only=console.options.ascii_only, trouble=trouble)

    return draw

"""Where `--track` sends a run besides its run folder: mlflow:URI, with the experiment after #."""

from dataclasses import dataclass
from urllib.parse import urldefrag, urlsplit

KIND = "mlflow:"
EXPERIMENT = "catdog"
FORM = "mlflow:http://HOST:PORT, or mlflow:http://HOST:PORT#EXPERIMENT"


@dataclass(frozen=True)
class Tracked:
    """An MLflow server, and the name of the experiment in it."""

    server: str
    experiment: str = EXPERIMENT


def tracker_fault(text: str) -> str:
    """What a value of `--track` must be, or empty if it is valid."""
    if not text:
        return ""
    server = urlsplit(text.removeprefix(KIND))
    if not text.startswith(KIND) or server.scheme not in ("http", "https") or not server.hostname:
        return FORM
    if server.username is not None or server.password is not None:
        return (
            "without a user or password, which config.json would show: "
            "give them as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    return ""


def read(text: str) -> Tracked | None:
    """What a valid value of `--track` says; None for none."""
    if not text:
        return None
    server, experiment = urldefrag(text.removeprefix(KIND))
    return Tracked(server.rstrip("/"), experiment or EXPERIMENT)

"""TensorFlow is configured once per process, before its first op: as by `--deterministic --devices 4`."""

import signal
import sys

import hypothesis
import pytest

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("catdog", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("catdog")


def pytest_configure() -> None:
    """Processes that tests start ignore what this one does: SIGHUP under nohup, SIGINT in a script's background."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _four_exact_cpus() -> None:
    if "tensorflow" not in sys.modules:  # no test that was collected needs it
        return
    from trainer.config import RunConfig
    from trainer.training.strategy import configure

    configure(RunConfig(deterministic=True, devices=4), {})

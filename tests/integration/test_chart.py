"""The chart's own test suites, by helm-unittest."""

import subprocess
from pathlib import Path

from tests.servers import go_binary

CHART = Path(__file__).parents[2] / "helm" / "catdog"
HELM_UNITTEST = "github.com/helm-unittest/helm-unittest/cmd/helm-unittest@v1.1.2"


def test_the_suites_of_the_chart_pass() -> None:
    done = subprocess.run([go_binary(HELM_UNITTEST), CHART], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 passed, 0 total" not in done.stdout

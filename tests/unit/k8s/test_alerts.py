import shutil
import subprocess
from pathlib import Path

import pytest

RULES = Path(__file__).parents[3] / "helm" / "catdog" / "rules" / "catdog.yaml"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Prometheus) is not installed")
def test_alerts_fire_for_their_cause_and_for_nothing_else(tmp_path: Path) -> None:
    tests = tmp_path / "alerts.yaml"
    # promtool cannot repeat these two as it does numbers.
    words = {"RULES]": f"{RULES}]", "NANS'": "NaN " * 300 + "'", "INFS'": "+Inf " * 300 + "'"}
    text = (Path(__file__).parent / "alerts.yaml").read_text()
    for word, instead in words.items():
        text = text.replace(word, instead)
    tests.write_text(text)
    done = subprocess.run(["promtool", "test", "rules", str(tests)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr

import subprocess
from pathlib import Path

RULES = Path(__file__).parents[2] / "helm" / "catdog" / "rules" / "catdog.yaml"


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

from pathlib import Path

from trainer import contract
from trainer.contract import State

DOCUMENT = (Path(__file__).parents[3] / "docs" / "contracts.md").read_text()


def test_names_are_those_of_the_contract() -> None:
    names = contract.CONFIG, contract.STATE, contract.METRICS, contract.SUMMARY, contract.REPORT
    assert names == ("config.json", "state.json", "metrics.jsonl", "summary.json", "report.html")


def test_states_are_those_of_the_contract() -> None:
    assert f'"state": "{"|".join(State)}"' in DOCUMENT

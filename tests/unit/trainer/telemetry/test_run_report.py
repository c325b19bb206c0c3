from pathlib import Path

import pytest

from trainer.config import RunConfig
from trainer.folder import files
from trainer.folder.files import Record
from trainer.storage.opening import open_storage
from trainer.telemetry.run_report import write_report


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"cats": 0.625, "dogs": 2.5}, "cats 0.625, dogs 2.5"),
        ({str(i): i + 0.5 for i in range(100)}, "0.5 to 99.5, by class in config.json"),
        (None, "none"),
    ],
)
def test_the_weights_that_were_trained_with_are_told(
    weights: dict[str, float] | None, told: str, tmp_path: Path
) -> None:
    run = open_storage(str(tmp_path))
    config = RunConfig(class_weights="none" if weights is None else "balanced")
    files.write_record(run, Record(config, "0" * 16, {}, "", 1, weights))
    write_report(run)
    assert told in (tmp_path / "report.html").read_text()

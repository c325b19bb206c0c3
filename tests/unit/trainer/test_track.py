import pytest

from trainer.config import from_mapping
from trainer.exits import Exit, ExitError
from trainer.telemetry import mlflow_run
from trainer.track import FORM, Tracked, read


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("mlflow:http://mlflow:5000", Tracked("http://mlflow:5000", "catdog")),
        ("mlflow:https://host/path/", Tracked("https://host/path", "catdog")),
        ("mlflow:http://mlflow:5000#cats and dogs", Tracked("http://mlflow:5000", "cats and dogs")),
    ],
)
def test_the_server_and_the_experiment_are_read(text: str, found: Tracked | None) -> None:
    assert read(from_mapping({"track": text}).track) == found


@pytest.mark.parametrize("text", ["http://mlflow:5000", "mlflow:", "mlflow:mlflow:5000", "mlflow:file:///x", "wandb:x"])
def test_what_is_no_address_of_a_server_is_64(text: str) -> None:
    with pytest.raises(ExitError, match="--track") as caught:
        from_mapping({"track": text})
    assert caught.value.code == Exit.BAD_OPTION
    assert FORM in str(caught.value)


def test_a_password_in_the_address_is_refused_since_the_run_folder_would_show_it() -> None:
    with pytest.raises(ExitError, match="MLFLOW_TRACKING_TOKEN") as caught:
        from_mapping({"track": "mlflow:http://me:secret@mlflow:5000"})
    assert caught.value.code == Exit.BAD_OPTION


def test_track_without_mlflow_is_64_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_run.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExitError, match=r"pip install 'catdog-trainer\[mlflow\]'") as caught:
        mlflow_run.require(from_mapping({"track": "mlflow:http://mlflow:5000"}))
    assert caught.value.code == Exit.BAD_OPTION
    mlflow_run.require(from_mapping({}))

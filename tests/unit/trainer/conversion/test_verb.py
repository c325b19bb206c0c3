"""`catdog export` on run folders, in the real runtimes; and the script of docs/how-to that feeds them."""

import io
import json
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.pictures import jpeg
from tests.unit.trainer.data.odd_pictures import odd_pictures, turned
from trainer.config import PRETRAINED, RESIZES, RunConfig
from trainer.contract import BEST, CONVERTED, SUMMARY
from trainer.contract import PIXELS as PIXELS_SAID
from trainer.conversion import onnx
from trainer.conversion.verb import TOLERANCE, export
from trainer.data.decode import PixelPath, pixels
from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.folder.files import Record
from trainer.models.registry import MODELS, build_for_export
from trainer.requests import ExportRequest
from trainer.storage.opening import open_storage
from trainer.tensors import Array, Model
from trainer.training import checkpoint
from trainer.training.checkpoint import Snapshot
from trainer.training.state import LoopState

REPOSITORY = Path(__file__).parents[4]
SIZE = 128
PIXELS = np.random.default_rng(1).uniform(0, 255, (3, SIZE, SIZE, 3)).astype(np.float32)


def finished(folder: Path, model: str, labels: list[str], **options: Any) -> Model:
    """A run folder with all that export reads, and its network."""
    run, network = open_storage(str(folder)), build_for_export(model, SIZE, len(labels), 0.5)
    weights = {f"{layer.name}/{v.name}": v.numpy() for layer in network.layers for v in layer.weights}
    checkpoint.write(run, BEST, Snapshot(LoopState(), {"weights": weights}))
    config = RunConfig(model=model, image_size=SIZE, dropout=0.5, **options)
    files.write_record(run, Record(config, "", {}, "", 1))
    files.write_labels(run, labels)
    return network


def by_litert(path: Path) -> Array:
    interpreter = Interpreter(str(path))
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], PIXELS.shape)
    return np.asarray(interpreter.get_signature_runner()(pixels=PIXELS)["probabilities"])


def by_onnx(path: Path) -> Array:
    return np.asarray(onnxruntime.InferenceSession(path).run(["probabilities"], {"pixels": PIXELS})[0])


RUNTIMES: Mapping[str, Callable[[Path], Array]] = {"litert": by_litert, "onnx": by_onnx}


TWO, THREE = ["cat", "dog"], ["ant", "bee", "cow"]
# Of the pre-trained, which are slow, the smallest: the others have more of the same blocks.
CASES = [(model, labels) for model in MODELS if model not in PRETRAINED for labels in (TWO, THREE)]
CASES += [(PRETRAINED[0], TWO)]


@pytest.mark.parametrize("form", list(CONVERTED))
@pytest.mark.parametrize(("model", "labels"), CASES)
def test_the_runtime_gives_the_probabilities_of_the_run(
    form: str, model: str, labels: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = finished(tmp_path, model, labels)
    assert export(ExportRequest(str(tmp_path), form)) == Exit.DONE
    np.testing.assert_allclose(
        RUNTIMES[form](tmp_path / CONVERTED[form]), network(PIXELS, training=False).numpy(), atol=1e-6
    )
    told = capfd.readouterr()
    assert told.out.splitlines()[0] == str(tmp_path / CONVERTED[form])
    assert told.err == ""


@pytest.mark.parametrize("form", list(CONVERTED))
@pytest.mark.parametrize("labels", [["cat", "dog"], ["ant", "bee", "cow"]], ids=["2", "3"])
def test_the_runtime_gives_the_calibrated_probabilities_of_a_calibrated_run(
    form: str, labels: list[str], tmp_path: Path
) -> None:
    plain = finished(tmp_path, "small", labels)(PIXELS, training=False).numpy().astype(np.float64)
    files.write_json(open_storage(str(tmp_path)), SUMMARY, {"calibration": {"temperature": 0.25}})
    assert export(ExportRequest(str(tmp_path), form)) == Exit.DONE
    powers = plain**4  # the same as four times the logits
    expected = powers / powers.sum(axis=1, keepdims=True)
    assert np.abs(expected - plain).max() > 1e-3
    np.testing.assert_allclose(RUNTIMES[form](tmp_path / CONVERTED[form]), expected, atol=1e-5)


def test_a_converted_network_that_answers_otherwise_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(tmp_path, "small", ["cat", "dog"])
    run = onnx.run
    monkeypatch.setattr(onnx, "run", lambda path, pixels: run(path, pixels) + 2 * TOLERANCE)
    with pytest.raises(
        ExitError, match=r"differ from this one's by 0\.002, more than 0\.001; nothing was stored"
    ) as no:
        export(ExportRequest(str(tmp_path), "onnx"))
    assert no.value.code == Exit.BUG
    assert not (tmp_path / CONVERTED["onnx"]).exists()


def test_what_is_no_finished_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExitError, match="not a run folder") as empty:
        export(ExportRequest(str(tmp_path), "onnx"))
    finished(tmp_path, "small", ["cat", "dog"])
    (tmp_path / "model/labels.json").unlink()
    with pytest.raises(ExitError) as unfinished:
        export(ExportRequest(str(tmp_path), "onnx"))
    with pytest.raises(ExitError, match="--format is 'coreml'; it must be one of litert, onnx") as form:
        export(ExportRequest(str(tmp_path), "coreml"))
    assert [caught.value.code for caught in (empty, unfinished, form)] == [
        Exit.INPUT_MISSING,
        Exit.INPUT_MISSING,
        Exit.BAD_OPTION,
    ]


def test_damaged_weights_are_no_bug(tmp_path: Path) -> None:
    finished(tmp_path, "small", ["cat", "dog"])
    (file,) = (tmp_path / BEST).glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ExitError, match="best cannot be read back") as caught:
        export(ExportRequest(str(tmp_path), "litert"))
    assert caught.value.code == Exit.STORAGE_FAILED


def script_pixels(encoded: bytes, *values: Any, **taken: Any) -> Array:
    spec = spec_from_file_location("classify", REPOSITORY / "docs/how-to/classify.py")
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    return np.asarray(script.pixels(io.BytesIO(encoded), *values, **taken))


@pytest.mark.parametrize("size", [24, 64, 180])
@pytest.mark.parametrize("resize", RESIZES)
def test_the_script_makes_the_pixels_of_training(resize: str, size: int) -> None:
    for seed in range(10):
        expected = pixels(jpeg(seed), PixelPath(2, size, resize))
        np.testing.assert_array_equal(script_pixels(jpeg(seed), size, resize), expected)


@pytest.mark.parametrize("size", [24, 64])
@pytest.mark.parametrize("resize", RESIZES)
def test_the_script_antialiases_as_training_does(resize: str, size: int) -> None:
    for seed in range(10):
        made = script_pixels(jpeg(seed, 90, 61), size, resize, True)
        different = np.abs(made - pixels(jpeg(seed, 90, 61), PixelPath(2, size, resize, True)))
        assert different.max() <= 1  # where the sums of floats are on two sides of a half
        assert (different > 0).mean() < 0.001


def test_what_the_export_says_of_its_pixels_is_what_the_script_takes(tmp_path: Path) -> None:
    finished(tmp_path, "small", ["cat", "dog"], resize="pad", antialias=True, pixel_path=1)
    export(ExportRequest(str(tmp_path), "onnx"))
    taken = json.loads((tmp_path / PIXELS_SAID).read_text())
    assert taken == {"pixel_path": 1, "size": SIZE, "resize": "pad", "antialias": True}
    encoded = turned()[max(turned())]
    made, expected = script_pixels(encoded, **taken), pixels(encoded, PixelPath(1, SIZE, "pad", True))
    assert np.abs(made - expected).mean() <= 1
    with pytest.raises(ValueError, match="'stretch' is not known to this script"):
        script_pixels(encoded, 24, "stretch")


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("name", [*odd_pictures(), *turned()])
@pytest.mark.parametrize("resize", RESIZES)
def test_the_script_makes_almost_the_pixels_of_training_from_odd_pictures(resize: str, name: str) -> None:
    encoded = {**odd_pictures(), **turned()}[name]
    assert np.abs(script_pixels(encoded, 32, resize) - pixels(encoded, PixelPath(2, 32, resize))).mean() <= 1

import keras
import numpy as np
import pytest

from trainer.backbones.registry import BACKBONES
from trainer.config import NETWORKS, PRETRAINED
from trainer.exits import Exit, ExitError
from trainer.models.randomness import RowDropout
from trainer.models.registry import MODELS, build_for_export, build_for_training, outputs_for


def parameters(model: str, size: int, classes: int) -> int:
    return int(build_for_training(model, size, classes, 0.5).count_params())


def variables(model: keras.Model) -> dict[str, tuple[int, ...]]:
    return {f"{layer.name}/{v.name}": tuple(v.shape) for layer in model.layers for v in layer.trainable_variables}


@pytest.mark.parametrize(
    ("model", "size", "classes", "count"),
    [
        ("article", 180, 2, 991_041),
        ("article", 180, 3, 1_016_131),
        ("small", 64, 2, 79_073),
        ("small", 180, 2, 79_073),
        ("small", 64, 5, 79_461),
    ],
)
def test_parameters(model: str, size: int, classes: int, count: int) -> None:
    assert parameters(model, size, classes) == count


def test_every_network_that_can_be_asked_for_is_there() -> None:
    assert set(MODELS) == set(NETWORKS)


@pytest.mark.parametrize(("model", "smallest"), NETWORKS.items())
def test_networks_take_pictures_as_small_as_they_say_and_no_smaller(model: str, smallest: int) -> None:
    assert build_for_training(model, smallest, 2, 0.5).output_shape == (None, 1)
    if smallest > 16 and model not in PRETRAINED:  # those take any, and say from where on it makes sense
        with pytest.raises(ValueError, match=r"."):
            build_for_training(model, smallest - 1, 2, 0.5)


def test_pre_trained_networks_are_those_with_a_backbone() -> None:
    assert tuple(BACKBONES) == PRETRAINED


def test_two_classes_have_one_logit_and_more_have_one_each() -> None:
    assert [outputs_for(classes) for classes in (2, 3, 1000)] == [1, 3, 1000]
    assert build_for_training("small", 32, 2, 0.0).output_shape == (None, 1)
    assert build_for_training("small", 32, 7, 0.0).output_shape == (None, 7)


ARTICLE = [
    *("pixels", "rescale", "conv1", "pool1", "conv2", "pool2", "conv3", "pool3", "conv4", "pool4", "conv5"),
    *("flatten", "dropout", "logits"),
]
SMALL = [
    *("pixels", "rescale", "conv1", "pool1", "conv2", "pool2", "conv3", "pool3", "conv4", "pool4"),
    *("maximum", "dropout", "logits"),
]


@pytest.mark.parametrize(("model", "names"), [("article", ARTICLE), ("small", SMALL)])
def test_layers_have_fixed_names_since_checkpoints_are_named_after_them(model: str, names: list[str]) -> None:
    for _ in range(2):  # Keras numbers names anew within a process; these are given
        assert [layer.name for layer in build_for_training(model, 96, 2, 0.5).layers] == names


def test_the_articles_network() -> None:
    shapes = variables(build_for_training("article", 180, 2, 0.5))
    assert shapes["conv1/kernel"] == (3, 3, 3, 32)
    assert [shapes[f"conv{i}/bias"] for i in range(1, 6)] == [(32,), (64,), (128,), (256,), (256,)]
    assert shapes["logits/kernel"] == (7 * 7 * 256, 1)


def test_without_dropout_there_is_no_such_layer() -> None:
    assert "dropout" not in [layer.name for layer in build_for_training("article", 96, 2, 0.0).layers]
    assert "dropout" not in [layer.name for layer in build_for_export("article", 96, 2, 0.0).layers]


def test_training_drops_rows_of_our_own_kind_and_the_exported_network_has_only_keras_layers() -> None:
    ours = {layer.name: layer for layer in build_for_training("article", 96, 2, 0.5).layers}
    assert isinstance(ours["dropout"], RowDropout)
    for classes in (2, 5):
        exported = build_for_export("article", 96, classes, 0.5)
        assert all(type(layer).__module__.startswith("keras.") for layer in exported.layers)
        assert exported.get_layer("dropout").rate == 0.5


@pytest.mark.parametrize("classes", [2, 4])
def test_the_exported_network_gives_the_probabilities_of_the_trained_one(classes: int) -> None:
    trained, exported = (make("small", 32, classes, 0.5) for make in (build_for_training, build_for_export))
    assert variables(exported) == variables(trained)
    random = np.random.default_rng(0)
    exported.set_weights([random.normal(scale=0.3, size=w.shape) for w in trained.get_weights()])
    trained.set_weights(exported.get_weights())
    pixels = random.integers(0, 256, (6, 32, 32, 3)).astype(np.float32)
    logits = trained(pixels).numpy().astype(np.float64)
    if classes == 2:
        second = 1 / (1 + np.exp(-logits[:, 0]))
        expected = np.stack([1 - second, second], axis=1)
    else:
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        expected = powers / powers.sum(axis=1, keepdims=True)
    result = exported(pixels).numpy()
    assert result.dtype == np.float32
    assert result == pytest.approx(expected, abs=1e-5)
    assert result.sum(axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 4])
def test_without_a_temperature_the_exported_network_has_no_such_layer(classes: int) -> None:
    plain, one, other = (
        [layer.name for layer in build_for_export("small", 32, classes, 0.0, *temperature).layers]
        for temperature in ((), (1.0,), (1.5,))
    )
    assert plain == one
    assert set(other) - set(plain) == {"temperature"}


@pytest.mark.parametrize("model", MODELS)
def test_no_layer_mixes_examples_of_a_batch(model: str) -> None:
    network = build_for_training(model, 96, 3, 0.5)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3)).astype(np.float32)
    together = network(pixels, training=True).numpy()
    others = pixels.copy()
    others[1:] = 0
    assert network(others, training=True).numpy()[0] == pytest.approx(together[0], rel=1e-5, abs=1e-6)


def test_logits_stay_in_float32_under_mixed_precision() -> None:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        network = build_for_training("small", 32, 2, 0.5)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert network.get_layer("conv1").compute_dtype == "bfloat16"
    assert network.get_layer("rescale").compute_dtype == "float32"
    assert network.get_layer("logits").compute_dtype == "float32"
    assert network.output.dtype == "float32"
    assert {v.dtype for v in network.trainable_variables} == {"float32"}


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(
        ExitError, match="--model is 'resnet'; it must be one of article, efficientnet-lite0, efficientnet-lite1, "
    ) as caught:
        build_for_training("resnet", 64, 2, 0.0)
    assert caught.value.code == Exit.BAD_OPTION

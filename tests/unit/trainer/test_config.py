import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import NETWORKS, PRETRAINED, RunConfig, build, check, from_mapping
from trainer.exits import Exit, ExitError
from trainer.fields import Option, bounds, flag, options
from trainer.requests import SCHEMA, EvaluateRequest, PredictRequest, ReportRequest, from_json, to_json

TYPES = {field.name: field.type for field in dataclasses.fields(RunConfig)}


def numbers(option: Option, kind: type) -> st.SearchStrategy[Any]:
    low = option.above if option.low is None else option.low
    high = option.below if option.high is None else option.high
    if kind is int:
        return st.integers(int(low or 0), int(high) if high is not None else 10**15)
    above, below = option.above is not None, option.below is not None
    return st.floats(low, high, exclude_min=above, exclude_max=below, allow_nan=False, allow_infinity=False)


def valid_values(name: str) -> st.SearchStrategy[Any]:
    option = options(RunConfig)[name]
    if option.choices:
        return st.sampled_from(option.choices)
    if name == "stall_timeout":
        return st.just("auto") | st.floats(0, 1e9).map(str)
    if name == "track":
        return st.sampled_from(["", "mlflow:http://mlflow:5000", "mlflow:https://host/mlflow#pets"])
    if TYPES[name] is bool:
        return st.booleans()
    return st.text(max_size=30) if TYPES[name] is str else numbers(option, TYPES[name])


def without_conflicts(config: RunConfig) -> RunConfig:
    if config.model not in PRETRAINED:
        return dataclasses.replace(config, weights="", unfreeze="")
    if not config.unfreeze:
        return dataclasses.replace(config, rotation=0.0, zoom=0.0)
    return dataclasses.replace(config, head_epochs=config.epochs - 1)


configs = (
    st.builds(RunConfig, **{name: valid_values(name) for name in TYPES})
    .filter(lambda config: config.image_size >= NETWORKS[config.model])
    .map(without_conflicts)
)


def refused(name: str, value: Any) -> str:
    with pytest.raises(ExitError) as caught:
        from_mapping({name: value})
    assert caught.value.code == Exit.BAD_OPTION
    assert "\n" not in caught.value.message
    return caught.value.message


@given(configs)
def test_every_valid_configuration_survives_json(config: RunConfig) -> None:
    check(config)
    assert from_json(to_json(config), RunConfig) == config


@pytest.mark.parametrize(
    "request_",
    [
        EvaluateRequest("runs/a", "data", "json"),
        PredictRequest("gs://b/a", ("x.jpg", "y.png")),
        ReportRequest("runs/é"),
    ],
)
def test_requests_survive_json(request_: EvaluateRequest | PredictRequest | ReportRequest) -> None:
    assert from_json(to_json(request_), type(request_)) == request_


def test_the_document_says_its_schema_and_others_may_add_keys() -> None:
    document = json.loads(to_json(RunConfig(seed=7)))
    assert document["schema"] == SCHEMA
    assert from_json(json.dumps({**document, "revision": "abc"}), RunConfig).seed == 7


def test_fields_that_are_left_out_have_their_defaults() -> None:
    assert from_json(json.dumps({"schema": SCHEMA, "config": {"seed": 3}}), RunConfig) == RunConfig(seed=3)


def test_integers_stand_for_floats() -> None:
    config = from_mapping({"learning_rate": 1, "dropout": 0})
    assert (config.learning_rate, config.dropout) == (1.0, 0.0)
    assert type(config.learning_rate) is float


def beyond(name: str) -> list[tuple[Any, str]]:
    option = options(RunConfig)[name]
    step: Any = 1 if TYPES[name] is int else 1e-6
    cases: list[tuple[Any, str]] = []
    if option.low is not None:
        cases.append((TYPES[name](option.low) - step, "at least"))
    if option.above is not None:
        cases.append((TYPES[name](option.above), "above"))
    if option.high is not None:
        high = TYPES[name](option.high)
        cases.append((high + step * max(1, high), "at most"))
    if option.below is not None:
        cases.append((TYPES[name](option.below), "below"))
    return cases


BEYOND = [(name, value, words) for name in TYPES for value, words in beyond(name)]


@pytest.mark.parametrize(("name", "value", "words"), BEYOND)
def test_every_bound_is_refused_by_name(name: str, value: Any, words: str) -> None:
    message = refused(name, value)
    assert message.startswith(f"{flag(name)} is {value}; it must be ")
    assert words in message


@pytest.mark.parametrize("name", [name for name in TYPES if TYPES[name] in (int, float)])
def test_every_number_is_bounded_below_and_its_bounds_themselves_are_taken(name: str) -> None:
    option = options(RunConfig)[name]
    assert option.low is not None or option.above is not None
    for limit in (option.low, option.high):
        if limit is not None:
            value = TYPES[name](limit)
            assert getattr(from_mapping({"model": "small", name: value}), name) == value


@pytest.mark.parametrize("name", [name for name in TYPES if TYPES[name] is float])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(name: str, value: float) -> None:
    assert refused(name, value).startswith(f"{flag(name)} is {value}; it must be ")


@pytest.mark.parametrize("name", ["epochs", "learning_rate", "clip_norm"])
def test_an_absurdly_long_number_is_refused_like_any_other(name: str) -> None:
    assert refused(name, 10**400).startswith(flag(name))


@pytest.mark.parametrize("name", [name for name, option in options(RunConfig).items() if option.choices])
def test_every_choice_is_checked(name: str) -> None:
    for choice in options(RunConfig)[name].choices:
        assert getattr(from_mapping({name: choice}), name) == choice
    message = refused(name, "nonsense")
    assert message == f"{flag(name)} is 'nonsense'; it must be one of {', '.join(options(RunConfig)[name].choices)}"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rotation": 0.1}, "--rotation and --zoom are for --unfreeze"),
        ({"zoom": 0.1}, "--rotation and --zoom are for --unfreeze"),
        ({"unfreeze": "head", "epochs": 5, "head_epochs": 5}, "--epochs 5 leaves none after --head-epochs 5"),
    ],
)
def test_what_would_do_nothing_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ExitError, match=words):
        from_mapping({"model": "efficientnet-lite0", **values})


@pytest.mark.parametrize("name", ["weights", "unfreeze"])
def test_what_is_for_pre_trained_networks_is_refused_for_others(name: str) -> None:
    assert refused(name, "x").startswith(f"{flag(name)} is for pre-trained networks (efficientnet-lite0, ")
    assert getattr(from_mapping({name: "x", "model": "efficientnet-lite1", "head_epochs": 0}), name) == "x"


@pytest.mark.parametrize(("model", "smallest"), NETWORKS.items())
def test_a_picture_too_small_for_the_network_is_refused(model: str, smallest: int) -> None:
    assert from_mapping({"model": model, "image_size": smallest}).image_size == smallest
    if smallest > options(RunConfig)["image_size"].low:
        with pytest.raises(
            ExitError, match=f"--image-size is {smallest - 1}; --model {model} needs at least"
        ) as caught:
            from_mapping({"model": model, "image_size": smallest - 1})
        assert caught.value.code == Exit.BAD_OPTION


@pytest.mark.parametrize("name", sorted(TYPES))
@pytest.mark.parametrize("value", [None, [], {}, "1", 1.5, True])
def test_every_wrong_type_is_refused(name: str, value: Any) -> None:
    if type(value) is not TYPES[name] and (name, value) != ("stall_timeout", 1.5):  # seconds, or auto
        assert refused(name, value).startswith(f"{flag(name)} is {value!r}; it must be ")


@pytest.mark.parametrize("images", ["abc", ["a.jpg", 3], {"a.jpg": 1}, None])
def test_pictures_that_are_no_list_of_names_are_refused(images: Any) -> None:
    with pytest.raises(ExitError, match="--images") as caught:
        build(PredictRequest, {"run": "runs/a", "images": images})
    assert caught.value.code == Exit.BAD_OPTION


def test_an_unknown_field_is_refused_by_name() -> None:
    assert "'epoch'" in refused("epoch", 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ('{"schema": 1}', "must be an object"),
        ('{"schema": 1, "config": []}', "must be an object"),
        ('{"config": {}}', "schema None"),
        ('{"schema": 99, "config": {}}', "schema 99"),
    ],
)
def test_other_documents_are_refused(text: str, words: str) -> None:
    with pytest.raises(ExitError, match=words) as caught:
        from_json(text, RunConfig)
    assert caught.value.code == Exit.BAD_OPTION


def test_a_request_without_what_it_needs_is_refused() -> None:
    with pytest.raises(ExitError, match=r"incomplete.*data") as caught:
        build(EvaluateRequest, {"run": "runs/a"})
    assert caught.value.code == Exit.BAD_OPTION


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_field_explains_itself(name: str) -> None:
    option = options(RunConfig)[name]
    assert option.help
    assert option.help.endswith(".")
    assert option.group


def test_options_are_the_fields_in_order() -> None:
    assert list(options(RunConfig)) == list(TYPES)


def test_a_flag_is_the_field_with_dashes() -> None:
    assert flag("image_size") == "--image-size"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (Option(""), ""),
        (Option("", low=1, high=1_048_576), "at least 1 and at most 1,048,576"),
        (Option("", above=0, below=0.5), "above 0 and below 0.5"),
    ],
)
def test_bounds_are_told_exactly(option: Option, words: str) -> None:
    assert bounds(option) == words


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig().seed = 1  # type: ignore[misc]

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from k8s.actions import folders, submit
from k8s.actions.submit import Asked, Prepared, again, prepare
from k8s.exits import Cli, CliError
from k8s.manifest.spec import Served
from k8s.manifest.text import to_yaml
from k8s.planning.capacity import NodeSpace
from k8s.settings.overlay import Overlay
from k8s.settings.platform import Gpu, Platform
from tests.unit.k8s.manifest.cases import EVERYTHING, JOBSET, PLATFORM
from trainer.config import RunConfig
from trainer.exits import ExitError
from trainer.recipes import RECIPES
from trainer.requests import to_json

NOW = datetime(2026, 11, 23, 22, 13, 1, tzinfo=UTC)
SUBMITTED = ("data", "run", "accelerator", "metrics_port", "rendezvous_timeout")
"""What submit adds to a recipe for one worker without GPUs."""


def unseen(selector: Any, tolerations: Any) -> tuple[None, list[str]]:
    return None, []


def prepared(
    gpus: int = 4, platform: Platform = PLATFORM, name: str = "r", served: Served = JOBSET, **values: Any
) -> Prepared:
    return prepare(Asked(values, gpus, values.pop("workers", None), name=name), platform, served, unseen, NOW)


def test_the_configuration_says_what_the_plan_and_the_platform_say() -> None:
    config = prepared(4, replace(PLATFORM, gpus_per_node=2)).spec.config
    assert (config.workers, config.devices, config.accelerator) == (2, 2, "gpu")
    assert (config.data, config.run) == (PLATFORM.data, f"{PLATFORM.runs}/r")
    assert (config.metrics_port, config.rendezvous_timeout) == (8080, 1200.0)


def test_flags_win() -> None:
    config = prepared(
        0, data="gs://mine/d", run="gs://mine/r", metrics_port=0, rendezvous_timeout=5.0, epochs=3, workers=2
    ).spec.config
    assert (config.data, config.run, config.metrics_port, config.rendezvous_timeout, config.epochs) == (
        "gs://mine/d",
        "gs://mine/r",
        0,
        5.0,
        3,
    )
    assert (config.workers, config.accelerator) == (2, "cpu")


def test_an_empty_data_uri_is_the_demo_set_and_is_noted() -> None:
    made = prepared(0, data="")
    assert made.spec.config.data == ""
    assert any("drawn demo set" in note for note in made.notes)


def test_a_run_to_start_from_is_found_by_its_name() -> None:
    assert prepared(init_from="before").spec.config.init_from == f"{PLATFORM.runs}/before"
    assert prepared(init_from="gs://other/before").spec.config.init_from == "gs://other/before"


def test_the_name_is_recipe_and_time() -> None:
    assert prepared(name="", recipe="augmented").spec.name == "augmented-20261123-221301"


def test_without_a_recipe_it_is_the_platforms_and_the_notes_say_so() -> None:
    for platform, recipe in ((PLATFORM, "transfer"), (replace(PLATFORM, recipe="augmented"), "augmented")):
        made = prepared(0, platform, name="")
        assert made.spec.config == replace(
            RECIPES[recipe](), **{name: getattr(made.spec.config, name) for name in SUBMITTED}
        )
        assert made.spec.name == f"{recipe}-20261123-221301"
        assert f"recipe {recipe} (the platform's default; --recipe overrides it)" in made.notes
    chosen = prepared(0, replace(PLATFORM, recipe="augmented"), recipe="baseline")
    assert chosen.spec.config.recipe == "baseline"
    assert not [note for note in chosen.notes if "recipe" in note]


def test_the_platforms_weights_are_for_pre_trained_networks_without_their_own() -> None:
    platform = replace(PLATFORM, weights="gs://models/weights/lite0")
    assert prepared(0, platform).spec.config.weights == "gs://models/weights/lite0"
    assert prepared(0, platform, weights="gs://mine/lite0").spec.config.weights == "gs://mine/lite0"
    assert prepared(0, platform, weights="").spec.config.weights == ""  # those in the image
    assert prepared(0, platform, recipe="baseline").spec.config.weights == ""
    assert prepared(0, platform, model="small").spec.config.weights == ""
    assert prepared(0, platform, init_from="before").spec.config.weights == ""  # they come from there
    assert prepared(0).spec.config.weights == ""


def test_what_the_configuration_names_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("check_data", "check_weights", "check_runs"):
        monkeypatch.setattr(folders, name, lambda *facts, name=name: f"{name} {' '.join(facts)}")
    platform = replace(PLATFORM, weights="gs://models/weights/lite0")
    assert submit.check_uris(prepared(0, platform).spec.config) == [
        f"check_data {PLATFORM.data}",
        "check_weights gs://models/weights/lite0 efficientnet-lite0",
        f"check_runs {PLATFORM.runs}/r",
    ]
    assert len(submit.check_uris(prepared(0).spec.config)) == 2


def test_same_input_same_bytes() -> None:
    assert to_yaml(prepared().objects) == to_yaml(prepared().objects)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"platform": Platform(runs="gs://m/r")}, Cli.PREREQUISITE, "no container image"),
        ({"platform": replace(PLATFORM, runs="")}, Cli.PREREQUISITE, "no location for the run folder"),
        ({"data": "./pictures"}, Cli.USAGE, r"--data ./pictures: pods cannot see that folder"),
        ({"data": "/pictures"}, Cli.USAGE, "--data /pictures: pods cannot see"),
        ({"run": "runs/first"}, Cli.USAGE, "--run runs/first: pods cannot see"),
        ({"weights": "./lite0"}, Cli.USAGE, r"--weights ./lite0: pods cannot see that folder"),
        ({"platform": replace(PLATFORM, weights="/w/lite0")}, Cli.USAGE, "--weights /w/lite0: pods cannot see"),
        ({"init_from": "file:///x"}, Cli.USAGE, "--init-from file:///x"),
        (
            {"init_from": "before", "run": "gs://m/r", "platform": replace(PLATFORM, runs="")},
            Cli.PREREQUISITE,
            "--init-from before is a name",
        ),
        ({"accelerator": "cpu"}, Cli.USAGE, "--accelerator cpu contradicts --gpus 4"),
        ({"devices": 2}, Cli.USAGE, "--devices 2 contradicts"),
        ({"name": "Big"}, Cli.USAGE, "--name is 'Big'"),
    ],
)
def test_invalid_requests_are_refused(arguments: dict[str, Any], code: Cli, message: str) -> None:
    with pytest.raises(CliError, match=message) as caught:
        prepared(**arguments)
    assert caught.value.code == code


def test_folders_below_a_mount_are_seen() -> None:
    assert (
        prepared(0, replace(EVERYTHING, queue=""), data="file:///pictures/cats").spec.config.data
        == "file:///pictures/cats"
    )


def test_values_out_of_bounds_are_refused_by_the_configuration() -> None:
    with pytest.raises(ExitError, match="--dropout is 5"):
        prepared(dropout=5.0)


class TestAgain:
    BEFORE = RunConfig(
        recipe="augmented",
        run="gs://m/runs/r",
        data="",
        workers=2,
        devices=2,
        accelerator="gpu",
        epochs=9,
        metrics_port=8080,
        precision="mixed_bfloat16",
    )

    def top(self, config: RunConfig) -> dict[str, Any]:
        template = {"metadata": {"annotations": {"catdog.dev/config": to_json(config)}}}
        return {"kind": "Job", "metadata": {"name": "r"}, "spec": {"template": template}}

    def test_everything_stays_but_the_shape_is_planned_again(self) -> None:
        asked = again("r", "", self.top(self.BEFORE), None, None, {})
        assert (asked.gpus, asked.workers, asked.name) == (4, None, "r")
        made = prepare(asked, replace(PLATFORM, gpus_per_node=4), JOBSET, unseen, NOW).spec.config
        assert made == replace(self.BEFORE, workers=1, devices=4, rendezvous_timeout=self.BEFORE.rendezvous_timeout)

    def test_recipe_and_weights_stay_whatever_the_platform_says(self) -> None:
        platform = replace(PLATFORM, recipe="demo", weights="gs://models/weights/lite0")
        before = replace(self.BEFORE, recipe="transfer", model="efficientnet-lite0", image_size=224)
        made = prepare(again("r", "", self.top(before), None, None, {}), platform, JOBSET, unseen, NOW)
        assert (made.spec.config.recipe, made.spec.config.weights) == ("transfer", "")
        assert not [note for note in made.notes if "recipe" in note]
        assert made.spec.config == replace(
            before, **{name: getattr(made.spec.config, name) for name in ("workers", "devices", "rendezvous_timeout")}
        )

    def test_fewer_gpus_or_none(self) -> None:
        two = prepare(again("r", "", self.top(self.BEFORE), 2, None, {}), PLATFORM, JOBSET, unseen, NOW).spec.config
        assert (two.workers, two.devices, two.accelerator) == (2, 1, "gpu")
        none = prepare(again("r", "", self.top(self.BEFORE), 0, None, {}), PLATFORM, JOBSET, unseen, NOW).spec.config
        assert (none.workers, none.devices, none.accelerator) == (1, 0, "cpu")

    def test_cpu_workers_stay_as_many(self) -> None:
        before = replace(self.BEFORE, accelerator="cpu", workers=3, devices=0)
        made = prepare(
            again("r", "", self.top(before), None, None, {"epochs": 20}), PLATFORM, JOBSET, unseen, NOW
        ).spec.config
        assert made == replace(before, epochs=20)

    def test_the_run_folder_is_used_when_no_object_is_left(self, tmp_path: Any) -> None:
        (tmp_path / "config.json").write_text(
            json.dumps({"schema": 1, "config": asdict(self.BEFORE), "fingerprint": "x"})
        )
        assert again("r", str(tmp_path), None, None, None, {}).values["epochs"] == 9
        with pytest.raises(CliError, match=r"has no config\.json") as caught:
            again("r", str(tmp_path / "none"), None, None, None, {})
        assert caught.value.code == Cli.PREREQUISITE


def test_a_file_of_class_weights_goes_along_with_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "weights.csv").write_text("dogs,2\ncats,1\n")
    config = prepared(0, class_weights=str(tmp_path / "weights.csv")).spec.config
    assert config.class_weights == '{"cats": 1.0, "dogs": 2.0}'
    assert prepared(0, class_weights="balanced").spec.config.class_weights == "balanced"
    with pytest.raises(ExitError, match="no such file"):
        prepared(0, class_weights=str(tmp_path / "none.csv"))


def roomy(selector: Any, tolerations: Any) -> tuple[list[NodeSpace], list[str]]:
    has = {
        name: Decimal(64) * 2**30 for name in ("cpu", "memory", "ephemeral-storage", "nvidia.com/gpu", MIG, "rdma/hca")
    }
    return [NodeSpace("a", has, has), NodeSpace("b", has, has)], []


MIG = "nvidia.com/mig-1g.10gb"


@pytest.mark.parametrize("gpu", [Gpu(), Gpu(overlay=Overlay(host_network=True))])
def test_on_the_nodes_network_a_node_has_one_worker_and_the_notes_say_what_follows(gpu: Gpu) -> None:
    made = prepare(Asked({}, 4, 4, name="r"), replace(PLATFORM, gpu=gpu), JOBSET, roomy, NOW)
    on_host = gpu.overlay.host_network
    assert any("free now on the 2 matching nodes" in note for note in made.notes) is not on_host
    assert any("room for 2 of 4" in note for note in made.notes) is on_host
    assert (submit.ON_HOST in made.notes) is on_host


def test_a_mig_slice_is_a_worker_and_the_plan_says_so() -> None:
    platform = replace(PLATFORM, gpu=Gpu(resource=MIG))
    made = prepare(Asked({}, 4, name="r"), platform, JOBSET, roomy, NOW)
    assert (made.spec.workers, made.spec.gpus) == (4, 1)
    assert any("one worker, one slice" in note for note in made.notes)
    with pytest.raises(CliError, match="--gpus-per-node is 2, but a worker uses one slice"):
        prepare(Asked({}, 4, gpus_per_node=2, name="r"), platform, JOBSET, roomy, NOW)


def test_devices_of_the_overlay_are_counted_in_the_plan() -> None:
    platform = replace(PLATFORM, overlay=Overlay(resources={"rdma/other": "1"}))
    made = prepare(Asked({}, 2, name="r"), platform, JOBSET, roomy, NOW)
    assert any("does not fit" in note and "rdma/other 0" in note for note in made.notes)

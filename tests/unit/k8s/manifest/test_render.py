import json
from dataclasses import replace

import pytest

from k8s.exits import Cli, CliError
from k8s.manifest.render import render, shape_note
from k8s.manifest.spec import Served
from tests.unit.k8s.manifest.cases import BOTH, CASES, FOLDER, JOBSET, NEITHER, PLATFORM, rendered, spec


@pytest.mark.parametrize("name", CASES)
def test_objects_are_those_of_the_golden_file(name: str) -> None:
    assert rendered(name) == (FOLDER / f"{name}.yaml").read_text(), "python -m tests.unit.k8s.manifest.cases renews it"


def test_every_golden_file_has_a_case() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(CASES)


@pytest.mark.parametrize(
    ("workers", "shape", "served", "kinds"),
    [
        (1, "auto", JOBSET, ["Job"]),
        (1, "jobset", JOBSET, ["Job"]),
        (2, "auto", JOBSET, ["JobSet"]),
        (2, "jobset", JOBSET, ["JobSet"]),
        (2, "job", JOBSET, ["Job", "Service"]),
        (2, "auto", NEITHER, ["Job", "Service"]),
    ],
)
def test_shape(workers: int, shape: str, served: Served, kinds: list[str]) -> None:
    platform = replace(PLATFORM, shape=shape)
    run = spec("r", workers, 1)
    assert [one["kind"] for one in render(run, platform, served)] == kinds
    assert shape_note(run, platform, served).startswith({1: "one Job"}.get(workers, f"a {kinds[0]}"))


def test_a_job_set_that_is_requested_but_not_served_is_refused() -> None:
    with pytest.raises(CliError, match="JobSet is not installed") as caught:
        render(spec("r", 2, 1), replace(PLATFORM, shape="jobset"), NEITHER)
    assert caught.value.code == Cli.PREREQUISITE


class TestQueue:
    def test_label_and_suspend_are_on_the_top_object_only(self) -> None:
        for shape in ("jobset", "job"):
            objects = render(spec("q", 2, 1), replace(PLATFORM, queue="research", shape=shape), BOTH)
            assert objects[0]["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
            assert objects[0]["spec"]["suspend"] is True
            assert json.dumps(objects).count("kueue.x-k8s.io") == 1

    def test_nothing_of_it_is_rendered_without_a_queue(self) -> None:
        for served in (BOTH, NEITHER):
            text = json.dumps(render(spec("q", 2, 1), PLATFORM, served))
            assert "kueue" not in text
            assert "suspend" not in text

    def test_a_queue_without_kueue_is_refused(self) -> None:
        with pytest.raises(CliError, match="Kueue is not installed") as caught:
            render(spec("q", 1, 0), replace(PLATFORM, queue="research"), JOBSET)
        assert caught.value.code == Cli.PREREQUISITE

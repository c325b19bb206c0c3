import json

import pytest
import yaml

from k8s.manifest.render import render
from k8s.manifest.text import to_json_list, to_yaml
from tests.unit.k8s.manifest.cases import CASES


@pytest.mark.parametrize("name", CASES)
def test_yaml_and_json_hold_the_same_objects(name: str) -> None:
    objects = render(*CASES[name])
    assert list(yaml.safe_load_all(to_yaml(objects))) == objects
    assert json.loads(to_json_list(objects))["items"] == objects

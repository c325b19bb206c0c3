"""The chart and the code agree, as far as can be checked without Helm."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator

from k8s.settings.overlay import DNS_POLICIES, OWN_LABELS, OWN_PREFIXES, Overlay
from k8s.settings.platform import SCHEMA, Platform, key, of_mapping
from k8s.terminal.doctor import RIGHTS
from trainer.config import from_mapping
from trainer.fields import options

CHART = Path(__file__).parents[4] / "helm" / "catdog"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA_OF_VALUES = json.loads((CHART / "values.schema.json").read_text())
# Settings that are not a value of the same name.
ELSEWHERE = {"schema", "serviceAccount", "gangSecret", "nodesReadable"}


def test_the_config_map_has_every_setting_and_no_other() -> None:
    helpers = (CHART / "templates" / "_helpers.tpl").read_text()
    body = helpers[helpers.index('define "catdog.platform"') :].partition("{{- end }}")[0]
    assert re.findall(r"^(\w+):", body, re.MULTILINE) == ["schema", *map(key, options(Platform))]
    assert f"schema: {SCHEMA}\n" in body


def test_values_that_are_settings_have_the_defaults_of_the_code() -> None:
    values = {name: VALUES[name] for name in map(key, options(Platform)) if name not in ELSEWHERE}
    assert of_mapping(values, "values.yaml") == Platform()


def test_the_schema_knows_every_value_and_accepts_the_defaults() -> None:
    Draft7Validator.check_schema(SCHEMA_OF_VALUES)
    assert set(SCHEMA_OF_VALUES["properties"]) - {"global"} == set(VALUES)
    assert not list(Draft7Validator(SCHEMA_OF_VALUES).iter_errors(VALUES))


def test_the_schema_offers_the_choices_of_the_code() -> None:
    for name, option in options(Platform).items():
        if option.choices:
            assert SCHEMA_OF_VALUES["properties"][key(name)] == {"enum": list(option.choices)}


def test_the_schema_allows_of_the_overlay_what_the_code_allows() -> None:
    schema = SCHEMA_OF_VALUES["definitions"]["overlay"]
    assert list(schema["properties"]) == list(map(key, options(Overlay)))
    assert not schema["additionalProperties"]
    assert schema["properties"]["dnsPolicy"] == {"enum": list(DNS_POLICIES)}
    for name in (*OWN_LABELS, *(f"{prefix}x" for prefix in OWN_PREFIXES)):
        for part in ("labels", "annotations"):
            values = {**VALUES, "image": "i", "overlay": {part: {name: "x"}}}
            assert list(Draft7Validator(SCHEMA_OF_VALUES).iter_errors(values)), name
    for name in ("sidecar.istio.io/inject", "team", "kueue.x-k8s.io/podset-required-topology"):
        values = {**VALUES, "image": "i", "overlay": {"labels": {name: "x"}}, "gpu": {"overlay": {}}}
        assert not list(Draft7Validator(SCHEMA_OF_VALUES).iter_errors(values)), name


def test_every_value_is_documented() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r" *\w+: (?!$)", line):
            above = lines[number - 1].strip()
            assert above.startswith("#"), f"values.yaml, line {number + 1}: {line.strip()} has no comment above it"


def test_the_role_allows_what_the_commands_do() -> None:
    text = (CHART / "templates" / "rbac.yaml").read_text()
    rules = text[text.index("rules:") : text.index("{{- $subjects")]
    allowed = {
        (verb, group, resource)
        for rule in yaml.safe_load(rules)["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    for verb, group, resource, subresource in RIGHTS:
        assert (verb, group, f"{resource}/{subresource}" if subresource else resource) in allowed
    assert not any("secrets" in resource or "exec" in resource for _, _, resource in allowed)


def test_the_configuration_of_helm_test_is_one_that_the_trainer_reads() -> None:
    text = (CHART / "templates" / "tests" / "ten-steps.yaml").read_text()
    words = re.search(r"\$config := dict (.*?) \"run\"", text)
    assert words is not None
    parts = re.findall(r'"([^"]*)"|(\d+)', words[1])
    plain = [text if text else int(number) for text, number in parts]
    config = from_mapping(dict(zip(plain[::2], plain[1::2], strict=True)))
    assert (config.steps, config.accelerator, config.data) == (10, "cpu", "")

"""Objects as text that kubectl reads; the same objects give the same bytes."""

import json
from collections.abc import Sequence
from typing import Any

import yaml

from k8s.manifest.spec import Object


def to_yaml(objects: Sequence[Object]) -> str:
    """The objects as a YAML stream: keys sorted, multi-line text (the configuration) as a block."""
    return "".join("---\n" + yaml.dump(one, Dumper=_Dumper, allow_unicode=True, width=120) for one in objects)


def to_json_list(objects: Sequence[Object]) -> str:
    """The objects as one JSON List, as `kubectl` reads and prints it."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=1, sort_keys=True) + "\n"


class _Dumper(yaml.SafeDumper):
    """Writes multi-line text as a block."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write shared values out in full each time, as the API does."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)

"""A Prometheus of a test's own: it scrapes what the chart's PodMonitor selects, and evaluates the chart's alerts."""

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import api
from tests.cluster.layout import CONTROL_ADDRESS, CONTROL_NETNS, Layout
from tests.e2e.kit import REPOSITORY, Site, set_flags, until, values_of

PORT = 9190
MONITORED = "monitoring.coreos.com/v1"


@dataclass(frozen=True)
class Prometheus:
    """Where it answers."""

    url: str

    def query(self, expression: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """The series of an instant query, each with its labels and value."""
        asked = {"query": expression} | ({} if at is None else {"time": str(at)})
        found = self._ask("query", asked)
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        return [(dict(one["metric"]), float(one["value"][1])) for one in found["result"]]

    def value(self, expression: str) -> float:
        """The one value of an instant query."""
        [(_, value)] = self.query(expression)
        return value

    def fired(self) -> set[str]:
        """The names of the alerts that have fired so far."""
        series = self._ask("query", {"query": 'count_over_time(ALERTS{alertstate="firing"}[1h])'})["result"]
        return {one["metric"]["alertname"] for one in series}

    def faults(self) -> list[str]:
        """What is wrong with its rules, by its own word."""
        groups = self._ask("rules", {})["groups"]
        return [
            f"{rule['name']}: {rule['lastError']}"
            for group in groups
            for rule in group["rules"]
            if rule.get("lastError")
        ]

    def _ask(self, what: str, parameters: Mapping[str, str]) -> Any:
        address = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            return json.load(answer)["data"]


def rendered(site: Site, kind: str) -> dict[str, Any]:
    """An object of the chart as it is installed where the operator of Prometheus is."""
    flags = set_flags(values_of("localhost/any:1", site.bucket))
    chart = str(REPOSITORY / "helm" / "catdog")
    words = ("template", "catdog", chart, "--namespace", site.namespace, "--api-versions", f"{MONITORED}/{kind}")
    text = api.helm(site.cluster, *words, *flags)
    [found] = [one for one in yaml.safe_load_all(text) if one and one["kind"] == kind]
    return dict(found)


def scrape_configs(monitor: Mapping[str, Any], namespace: str, targets: Path, interval: str) -> list[dict[str, Any]]:
    """What the operator makes of a PodMonitor: its selector and its endpoints as relabelling."""
    made = []
    for endpoint in monitor["spec"]["podMetricsEndpoints"]:
        keep = {"__meta_kubernetes_namespace": namespace, "__meta_kubernetes_pod_container_port_name": endpoint["port"]}
        for name, value in monitor["spec"]["selector"]["matchLabels"].items():
            keep[f"__meta_kubernetes_pod_label_{_plain(name)}"] = value
        named = {"namespace": "namespace", "pod": "pod_name", "container": "pod_container_name"}
        made.append(
            {
                "job_name": f"{namespace}/{monitor['metadata']['name']}",
                "metrics_path": endpoint["path"],
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1s"}],
                "relabel_configs": [
                    *({"source_labels": [one], "regex": value, "action": "keep"} for one, value in keep.items()),
                    *(
                        {"source_labels": [f"__meta_kubernetes_{meta}"], "target_label": name}
                        for name, meta in named.items()
                    ),
                    *(
                        {"source_labels": one["sourceLabels"], "target_label": one["targetLabel"]}
                        for one in endpoint.get("relabelings", ())
                    ),
                ],
            }
        )
    return made


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


@contextmanager
def watching(
    site: Site, folder: Path, rules: Mapping[str, Any], interval: str, port: int = PORT
) -> Iterator[Prometheus]:
    """Scrape the runs of a namespace every `interval`, with these rules, for the duration of the block."""
    targets = Layout(site.cluster.state).config / "targets.json"
    (folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
    config = {
        "global": {"evaluation_interval": interval},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": scrape_configs(rendered(site, "PodMonitor"), site.namespace, targets, interval),
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [
            "nsenter", f"--net=/run/netns/{CONTROL_NETNS}", shutil.which("prometheus") or "prometheus",
            f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address={CONTROL_ADDRESS}:{port}", "--log.level=warn",
        ],
    )  # fmt: skip
    served = Prometheus(f"http://{CONTROL_ADDRESS}:{port}")
    try:
        until("Prometheus", lambda: _is_ready(served.url), 30)
        yield served
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        time.sleep(0.2)
        return False

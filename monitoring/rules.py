"""The alerts as rules that Prometheus reads, and as a table for docs/runbooks.md."""

from typing import Any

import yaml

from monitoring.alerts import ALERTS, Alert, Disturbance, expected
from monitoring.durations import expression, scaled

MADE = "# Made by `make monitoring` from monitoring/alerts.py; do not edit.\n"


def groups(scale: int = 1) -> dict[str, Any]:
    """What a PrometheusRule has as spec; every duration is divided by `scale`."""
    return {"groups": [{"name": "catdog", "rules": [_rule(alert, scale) for alert in ALERTS]}]}


def _rule(alert: Alert, scale: int) -> dict[str, Any]:
    annotations = {"summary": alert.summary, "description": alert.description, "runbook_url": alert.runbook}
    rule = {"alert": alert.name, "expr": expression(alert.condition, scale)}
    lasting = scaled(alert.lasting, scale)
    return {
        **rule,
        **({} if lasting == "0s" else {"for": lasting}),
        "labels": {"severity": str(alert.severity)},
        "annotations": annotations,
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def as_yaml(scale: int = 1) -> str:
    """A rule file."""
    made = yaml.dump(groups(scale), Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
    return MADE + made


def tables() -> str:
    """The alerts, and which disturbance fires which, as Markdown."""
    lines = ["| alert | severity | after | what has happened |", "|---|---|---|---|"]
    for alert in ALERTS:
        lasting = "at once" if alert.lasting == "0s" else alert.lasting
        summary = alert.summary.replace("{{ $labels.run }}", "RUN").replace("{{ $labels.namespace }}", "NS")
        summary = summary.replace("{{ $labels.rank }}", "R").replace("{{ $labels.worker }}", "R")
        for value in ("{{ $value | humanizePercentage }}", "{{ $value }}"):
            summary = summary.replace(value, "N")
        lines.append(f"| [{alert.name}](#{alert.name.lower()}) | {alert.severity} | {lasting} | {summary} |")
    lines += ["", "| disturbance | fires, with every duration divided by 30 | fires as installed |", "|---|---|---|"]
    for disturbance in Disturbance:
        names = ", ".join(f"`{alert.name}`" for alert in ALERTS if alert.name in expected(disturbance))
        lines.append(f"| {disturbance} | {names or 'none'} | none |")
    return "\n".join(lines) + "\n"

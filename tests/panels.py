"""Asks a Prometheus every query of a dashboard."""

from monitoring.grafana import Dashboard, Panel, Table, places
from monitoring.prometheus import Prometheus


def empty_panels(dashboard: Dashboard, source: Prometheus) -> list[tuple[str, str]]:
    """(title, description) of each panel, and of each column of a table, for which Prometheus has nothing."""
    found = []
    for cell, _ in places(dashboard.rows):
        if isinstance(cell, Panel):
            found += [(cell.title, cell.description) for one in cell.targets if not source.over_time(one.expr)]
        elif isinstance(cell, Table):
            found += [(one.title, cell.description) for one in cell.columns if not source.now(one.expr)]
        elif hasattr(cell, "expr") and not source.now(cell.expr):
            found.append((cell.title, cell.description))
    return found

"""`python -m monitoring`: write the files of the chart and of docs that are made from this package.

`python -m monitoring rules --scale N` prints the alerts with every duration divided by N, for tests of minutes.
`python -m monitoring pictures …` draws the dashboards from the data of a Prometheus, without Grafana.
"""

import argparse
import sys
from pathlib import Path

from monitoring import files, rules


def main() -> int:
    """Do what is asked; returns the exit code."""
    asked = _parser().parse_args()
    if asked.verb == "rules":
        print(rules.as_yaml(asked.scale), end="")
        return 0
    if asked.verb == "pictures":
        return _draw(asked)
    try:
        for path in files.write():
            print(path)
    except ValueError as error:
        print(f"monitoring: {error}", file=sys.stderr)
        return 65
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring", description=(__doc__ or "").splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    of_rules = verbs.add_parser("rules", help="print the alerts as a rule file")
    of_rules.add_argument("--scale", type=_positive, default=1, help="divide every duration by this (default: 1)")
    pictures = verbs.add_parser("pictures", help="draw both dashboards as PNG")
    pictures.add_argument("--prometheus", required=True, metavar="URL", help="such as http://127.0.0.1:9090")
    pictures.add_argument("--namespace", required=True, metavar="NS", help="the namespace of the runs")
    pictures.add_argument("--run", required=True, help="the run of the first dashboard")
    pictures.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the PNG files go")
    pictures.add_argument("--minutes", type=_positive, default=60, help="the time shown, up to now (default: 60)")
    pictures.add_argument(
        "--scrape-seconds", type=_positive, default=15, metavar="N", help="its scrape interval (default: 15)"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _draw(asked: argparse.Namespace) -> int:
    # Here: the other verbs need no matplotlib, which takes a second to import.
    from monitoring.pictures import draw
    from monitoring.prometheus import Prometheus, Unanswered

    asked.out.mkdir(parents=True, exist_ok=True)
    chosen = {"namespace": asked.namespace, "run": asked.run, "rank": ".*"}
    source = Prometheus(asked.prometheus, chosen, asked.minutes, asked.scrape_seconds)
    try:
        for path in draw(source, asked.out):
            print(path)
    except Unanswered as error:
        print(f"monitoring: {error}", file=sys.stderr)
        return 69
    return 0


if __name__ == "__main__":
    sys.exit(main())

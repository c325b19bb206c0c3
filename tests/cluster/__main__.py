"""`python3 -m tests.cluster up|down|status|gpus|build|load|packages|tools`: see README.md."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType

from tests.cluster import api, lifecycle, packages, programs
from tests.cluster.commands import CommandFailed
from tests.cluster.errors import ClusterError
from tests.cluster.layout import DEFAULT_STATE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.cluster", description="A real Kubernetes on this machine (Linux, root, Go)."
    )
    parser.add_argument(
        "--state", type=Path, help=f"state folder (default: that of the running cluster, else {DEFAULT_STATE})"
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start what is not running; print what to export")
    up.add_argument("--kueue", action="store_true", help="install Kueue too")
    down = verbs.add_parser("down", help="remove everything `up` made; keep logs and the build cache")
    down.add_argument("--purge", action="store_true", help="remove the state folder with its logs too")
    verbs.add_parser("status", help="show what is running")
    gpus = verbs.add_parser("gpus", help="advertise GPUs on a node (there is no device behind them)")
    gpus.add_argument("node")
    gpus.add_argument("count", type=int)
    build = verbs.add_parser("build", help="build a Dockerfile on a local base image and load it onto the nodes")
    build.add_argument("context", type=Path)
    build.add_argument("tag", help="localhost/NAME:TAG")
    build.add_argument("--build-arg", action="append", default=[], metavar="KEY=VALUE")
    build.add_argument("--volume", action="append", default=[], metavar="FROM:TO:ro", help="mounted during the build")
    load = verbs.add_parser("load", help="load an image archive onto the nodes")
    load.add_argument("archive", type=Path)
    verbs.add_parser("packages", help="install the Debian packages that are missing")
    verbs.add_parser("tools", help="build the programs that are missing, without starting anything")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    state = arguments.state or lifecycle.running_state() or DEFAULT_STATE
    match arguments.verb:
        case "up":
            _up(state, arguments.kueue)
        case "down":
            lifecycle.purge(state) if arguments.purge else lifecycle.down(state)
        case "status":
            print(lifecycle.status(state))
        case "gpus":
            api.set_gpus(api.existing(state), arguments.node, arguments.count)
        case "build":
            build_args = dict(pair.split("=", 1) for pair in arguments.build_arg)
            cluster = api.existing(state)
            api.load_image(
                cluster, api.build_image(arguments.context, arguments.tag, build_args, volumes=arguments.volume)
            )
        case "load":
            api.load_image(api.existing(state), arguments.archive)
        case "packages":
            packages.install()
        case "tools":
            for family in programs.FAMILIES:
                programs.build(family)


def _up(state: Path, kueue: bool) -> None:
    try:
        cluster = api.up(state, kueue=kueue)
    except KeyboardInterrupt:
        print("interrupted: taking the cluster down", file=sys.stderr)
        lifecycle.down(state)
        raise
    # Only shell lines on standard output, so that `eval "$(… up)"` works.
    print(f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")
    print(f"export PATH={':'.join(shlex.quote(str(folder)) for folder in cluster.program_folders)}:$PATH")
    print(f"# object storage: export STORAGE_EMULATOR_HOST={cluster.gcs_url}   Prometheus: {cluster.prometheus_url}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Exit codes: 0 done, 1 failed (one line says why), 2 usage, 130 interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _run(_parser().parse_args())
    except CommandFailed as error:
        print(error.output.rstrip(), file=sys.stderr)
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (ClusterError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

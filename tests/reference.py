"""The reference pages, made from the code: docs/reference, docs/metrics.md. `python -m tests.reference` renews them."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from k8s.cli import app, load
from k8s.commands.table import COMMANDS, Entry, Group
from k8s.explain import states
from k8s.labels import CONFIG_MAP
from k8s.settings.overlay import Overlay
from k8s.settings.platform import SCHEMA, Platform, key
from trainer.config import RunConfig
from trainer.fields import bounds, flag, options
from trainer.ledger import MEANING, PRODUCTIVE, Category
from trainer.recipes import DEFAULT, RECIPES
from trainer.telemetry.metric_table import METRICS

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
METRICS_PAGE = FOLDER.parent / "metrics.md"
MADE = "<!-- Made by `make reference`; do not edit. -->\n\n"


def pages() -> dict[str, str]:
    """Every page by the name of its file."""
    return {
        "commands.md": commands_page(),
        "options.md": options_page(),
        "settings.md": settings_page(),
        "why.md": why_page(),
    }


def metrics_page() -> str:
    """Every metric: its kind, what it tells of, its labels, what it means; then the categories of the ledger."""
    heads = ("metric", "kind", "of", "labels", "what it is")
    rows = [
        (f"`{name}`", str(one.kind), str(one.of), ", ".join(f"`{label}`" for label in one.labels), one.help)
        for name, one in METRICS.items()
    ]
    spent = [(f"`{one}`", MEANING[one], "yes" if one in PRODUCTIVE else "") for one in Category]
    return (
        MADE
        + _METRICS
        + _table(heads, rows)
        + _LEDGER
        + _table(("category", "what a second was spent on", "productive"), spent)
    )


_METRICS = """# Metrics

Every worker serves these at `/metrics`, on the port named `metrics`, from its first second on. The chart's PodMonitor
adds the labels `namespace`, `pod`, `run`, `rank` and `recipe`; no metric has one of these by itself.

Metrics of a *process* that are counters start at 0 with each process: use them in `rate()` and `increase()`. Those of
*the run* go on over restarts, and are told by rank 0: `max by (namespace, run) (catdog_step)`. Times are Unix times,
not ages: `time() - catdog_last_step_timestamp_seconds`. After a controlled end, well or not, a worker that was scraped
before serves one more scrape, for at most 30 s; not after SIGTERM, and a process that is killed or that its watchdog
ends says nothing more.

"""
_LEDGER = """
## The ledger

Each second since the first start is in exactly one category: in `catdog_run_wall_seconds`, in state.json (`ledger`), in
summary.json and in the report. It is the time of the thread that trains on rank 0, and survives restarts; what other
threads do meanwhile, such as uploads, takes no time of its own. Steps are *lost* if a heartbeat (every 10 s) knew of
them and the checkpoint that the next attempt begins with does not; what came after the last heartbeat is `down`.
Goodput is what was productive, divided by everything but `stopped`.

"""


def why_page() -> str:
    """The states that can hold a run, and the kind of answer that `catdog why` gives to each."""
    text = f"""{MADE}# What `catdog why` answers

Every state in which the cluster can hold a run, from the API fields of {states.VERSIONS}, and the `kind`
of the cause with which `catdog why RUN -o json` answers it. Exit codes of workers have kinds of their own
([contracts](../contracts.md)). A reason of another version is answered by the rule for its field, with the reason as
evidence.

"Nothing is wrong" (`running`) is said only if as many pods run as the run has workers, state.json says that it trains,
and its heartbeat is at most 90 s old. Where state.json cannot be read, the log of rank 0 takes its place.
"""
    for field in states.Field:
        rows = [row for row in states.TABLE if row.field is field]
        text += f"\n## {field}\n\n| state | means | kind |\n|---|---|---|\n"
        text += "".join(f"| {row.value} | {row.words} | `{row.kind}` |\n" for row in rows)
    return text


def commands_page() -> str:
    """Every command: what it does, an example, arguments and flags; options of a run have a page of their own."""
    root = typer.main.get_command(app)
    text = f"{MADE}# Commands\n\n{_flags(root.params)}"
    for words, entry in _entries(COMMANDS):
        command = load(words, entry)
        usage = " ".join(["catdog", words, *_usage(command.params)])
        text += f"\n## catdog {words}\n\n```\n{usage}\n```\n\n{_paragraphs(command.help)}\n\n{_flags(command.params)}"
    return text


def _entries(table: Mapping[str, Entry | Group], above: str = "") -> Iterator[tuple[str, Entry]]:
    for name, one in table.items():
        if isinstance(one, Group):
            yield from _entries(one.commands, f"{above}{name} ")
        else:
            yield above + name, one


def _usage(params: list[Any]) -> list[str]:
    arguments = [one.metavar or one.name.upper() for one in params if one.param_type_name == "argument"]
    needed = [f"{one.opts[-1]} {_metavar(one)}" for one in params if one.param_type_name == "option" and one.required]
    return [*arguments, *needed, "[OPTIONS]"]


def _metavar(one: Any) -> str:
    return str(one.metavar or one.name.upper())


def _flags(params: list[Any]) -> str:
    """Arguments and flags as a table, except those of RunConfig, which options.md has."""
    of_run = options(RunConfig)
    rows = []
    for one in params:
        if one.name == "help" or (one.name in of_run and one.rich_help_panel == of_run[one.name].group):
            continue
        if one.param_type_name == "argument":
            rows.append((f"`{_metavar(one)}`", one.help))
        else:
            names = ", ".join([*one.opts, *one.secondary_opts])
            rows.append((f"`{names}`", one.help))
    shown = _table(("argument or flag", "what it does"), rows) if rows else ""
    beside = any(one.name in of_run and one.rich_help_panel == of_run[one.name].group for one in params)
    more = "Every [option of a run](options.md) is a flag too.\n" if beside else ""
    return "\n".join(part for part in (shown, more) if part)


def _paragraphs(text: str | None) -> str:
    """A docstring as Markdown: its example as code."""
    parts = [" ".join(part.split()) for part in (text or "").split("\n\n")]
    shown = []
    for part in parts:
        head, _, example = part.partition("Example: ")
        shown.append(f"```\n{example}\n```" if example and not head else _plain(part))
    return "\n\n".join(shown)


def _plain(text: str) -> str:
    """rich's markup as Markdown."""
    for tag, mark in (("bold", "**"), ("dim", "")):
        text = text.replace(f"[{tag}]", mark).replace(f"[/{tag}]", mark)
    return text


def options_page() -> str:
    """Every field of RunConfig: flag, default, bounds, whether it is part of the run's identity."""
    text = (
        f"{MADE}# Options of a run\n\nEach is a flag of `catdog train`, `submit` and `resume`, and a field of "
        "config.json. Identity: a run folder refuses a command with a different value.\n\n"
        f"Defaults are those of the recipe `{DEFAULT}`, which is trained without `--recipe`, unless the "
        "[platform](settings.md) says otherwise. What differs between recipes:\n\n" + _recipes()
    )
    every = options(RunConfig)
    for group in dict.fromkeys(one.group for one in every.values()):
        rows = [
            (
                f"`{flag(name)}`",
                _shown(getattr(RECIPES[DEFAULT](), name)),
                _bounds(one),
                "yes" if one.identity else "",
                one.help,
            )
            for name, one in every.items()
            if one.group == group
        ]
        text += f"\n## {group}\n\n" + _table(("flag", "default", "values", "identity", "what it is"), rows)
    return text


def _recipes() -> str:
    """The options that a recipe changes, by recipe."""
    made = {name: make() for name, make in RECIPES.items()}
    rows = []
    for name in options(RunConfig):
        values = [getattr(one, name) for one in made.values()]
        if name != "recipe" and len(set(values)) > 1:
            rows.append((f"`{flag(name)}`", *map(_shown, values)))
    return _table(("flag", *(f"`{name}`" for name in made)), rows)


def _bounds(option: Any) -> str:
    words = ", ".join(f"`{choice}`" for choice in option.choices) or bounds(option)
    return f"{words} {option.unit}".strip()


def settings_page() -> str:
    """Every setting of the platform: key in the chart's values, default, whether it is a flag of submit."""
    heads = ("key", "default", "flag", "what it is")
    overlay = _settings(Overlay, Overlay(), "")
    return (
        MADE
        + _SETTINGS
        + _table(heads, list(_settings(Platform, Platform(), "")))
        + _OVERLAY
        + _table(("key", "what it is"), [(name, words) for name, _, _, words in overlay])
    )


_SETTINGS = f"""# Settings of the platform, and the profile

The same keys, in YAML, are in three places; later ones are over earlier ones:

1. **The platform**, for everybody in a namespace: values of the chart (`helm upgrade … --set KEY=VALUE`), which keeps
   them in the ConfigMap `{CONFIG_MAP}`.
2. **The profile**, for yourself: `$XDG_CONFIG_HOME/catdog/profile.yaml`, which is `~/.config/catdog/profile.yaml`
   unless that variable is set. It need not exist, and needs only what differs. Commands without a cluster read it
   too: `train` takes its recipe, and runs are looked for below its `runs`.
3. **Flags** of `catdog submit` and `resume`, where the table names one.

Mappings are merged by key: a profile with `nodeSelector: {{zone: a}}` adds one label to those of the platform.
Everything else, lists included, is replaced; an empty value (`queue: ""`, `tolerations: []`) is a value. Each place
is checked by itself: an unknown key, or a value of another kind, ends the command with 2 and one line that names the
place, the key and what is allowed. `schema: {SCHEMA}` may be said. `storageCidrs` is only of use in the chart's
values; `nodesReadable` is `rbac.nodes` there, and `serviceAccount` has a `name`.

"""
_OVERLAY = """
## The overlay

Keys of `overlay`, and of `gpu.overlay` for workers with GPUs, which is over it. They add to the pods, under what
catdog sets itself: there are no others. [Pods that fit your cluster](../how-to/pods.md) has examples.

"""


def _settings(kind: type[Any], default: Any, above: str) -> Iterator[tuple[str, ...]]:
    every = options(kind)
    for one in dataclasses.fields(kind):
        option, value = every[one.name], getattr(default, one.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, Overlay):  # it has a table of its own
            yield from _settings(type(value), value, f"{above}{key(one.name)}.")
            continue
        choices = f" One of {', '.join(filter(None, option.choices))}." if option.choices else ""
        name = f"`{flag(one.name)}`" if option.flag else ""
        yield f"`{above}{key(one.name)}`", _shown(value), name, option.help + choices


def _shown(value: Any) -> str:
    if value in ("", (), {}, Overlay()):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{value}`"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    cells = [" | ".join(_plain(str(cell)).replace("|", "\\|") for cell in line) for line in lines]
    return "".join(f"| {line} |\n" for line in cells)


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
    METRICS_PAGE.write_text(metrics_page())
    print(f"wrote {len(pages())} pages to {FOLDER}, and {METRICS_PAGE}")

"""The text of docs/reference_commands.md, from what `--help` says; `make_reference.py` writes it."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hcsim.cli.app import COMMANDS, options

NAMES = {str: "TEXT", float: "NUMBER", int: "INTEGER", Path: "PATH"}
HEAD = """# Every command and option

Made by `scripts/reference/make_reference.py` from the commands' own help. What they are for: [Commands](commands.md).
"""


def cell(text: str) -> str:
    """One table cell: no line breaks, bars that are text."""
    return " ".join(text.split()).replace("|", "\\|")


def is_argument(info: Any) -> bool:
    return isinstance(info, typer.models.ArgumentInfo)


def takes(kind: Any, info: Any) -> str:
    """What stands behind an option: nothing, one of a few words, or a kind of value."""
    kinds = [k for k in (typing.get_args(kind) or (kind,)) if k is not type(None)]
    several = [k for k in kinds if typing.get_origin(k) is list]
    kind = typing.get_args(several[0])[0] if several else kinds[0]
    more = ", several" if several or typing.get_origin(kind) is list else ""
    if kind is bool:
        return ""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{word.value}`" for word in kind) + more
    span = "".join(f" {w} {v:g}" for w, v in (("from", info.min), ("to", info.max)) if v is not None)
    return f"{info.metavar or NAMES.get(kind, kind.__name__)}{span}{more}"


def named(parameter: inspect.Parameter, info: Any, kind: Any) -> str:
    if is_argument(info):
        return f"`{info.metavar or parameter.name.upper()}`"
    plain = "--" + parameter.name.replace("_", "-")
    switch = f"{plain}/{plain.replace('--', '--no-', 1)}" if kind is bool else plain
    first = (info.default,) if isinstance(info.default, str) else ()  # where Annotated keeps the first spelling
    return ", ".join(
        f"`{o}`" for spelled in (*first, *(info.param_decls or ())) or (switch,) for o in spelled.split("/")
    )


def parameters(command: Callable[..., Any]) -> list[tuple[inspect.Parameter, Any, Any]]:
    """(parameter, its type, what typer is told of it), arguments first."""
    hints = typing.get_type_hints(command, include_extras=True)
    found = []
    for name, parameter in inspect.signature(command).parameters.items():
        if typing.get_origin(hints[name]) is Annotated:
            kind, info = typing.get_args(hints[name])[:2]
            found.append((parameter, kind, info))
    return sorted(found, key=lambda f: not is_argument(f[2]))


def table(command: Callable[..., Any]) -> str:
    rows = []
    for parameter, kind, info in parameters(command):
        value = parameter.default
        told = value is not parameter.empty and value is not None and not isinstance(value, bool)
        words = f"{info.help or ''}{f' Default: {value}.' if told else ''}"
        rows.append(f"| {named(parameter, info, kind)} | {cell(takes(kind, info))} | {cell(words)} |")
    return "\n".join(["| | takes | |", "|---|---|---|", *rows]) if rows else ""


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## With every command\n", "`-h`, `--help`: what the command does.\n", table(options), ""]
    for command in COMMANDS:
        needed = [
            info.metavar
            or f"{name.upper() if is_argument(info) else '--' + name.replace('_', '-') + ' ' + name.upper()}"
            for p, _, info in parameters(command)
            for name in (p.name,)
            if is_argument(info) or p.default is p.empty
        ]
        name = command.__name__
        parts += [f"## {name}\n", f"    hcsim {' '.join([name, *needed])}\n"]
        parts += [inspect.cleandoc(command.__doc__ or "") + "\n", table(command), ""]
    return "\n".join(parts).rstrip() + "\n"

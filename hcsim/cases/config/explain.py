"""Turns pydantic's findings into sentences an engineer can act on: file, line, key, unit, nearest key."""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from hcsim.util.suggest import did_you_mean

SUFFIXES = {
    "kwh": "kWh",
    "kw": "kW",
    "kva": "kVA",
    "kvar": "kvar",
    "mwh": "MWh",
    "mw": "MW",
    "wh": "Wh",
    "w": "W",
    "pu": "pu",
    "pct": "%",
    "percent": "%",
    "v": "V",
    "kv": "kV",
    "s": "s",
    "min": "min",
    "h": "h",
    "m": "m",
    "a": "A",
}
"""What the end of an unknown key asks for ("energy_mwh"); the units of known keys stand in their fields."""
SHARE = "share of"
SPELT = {"pu": "per unit", "%": "percent", "s": "seconds", "min": "minutes", "h": "hours"}


def explain(error: ValidationError, model: type[BaseModel], file: Path, text: str) -> str:
    """One sentence per fault, in the order of the file."""
    faults = []
    for found in error.errors():
        path = _keys(found["loc"], model)
        sentence = _sentence(found, path, model)
        line = _line_of(path, text)
        where = f"{file}{f', line {line}' if line else ''}"
        faults.append((line or 0, f"{where}: {sentence}"))
    ordered = dict.fromkeys(sentence for _, sentence in sorted(faults, key=lambda fault: fault[0]))
    return "\n".join(ordered)


def _sentence(found: Any, path: list[str], model: type[BaseModel]) -> str:
    kind, value, context = found["type"], found["input"], found.get("ctx", {})
    key, place = _quoted(path)
    if kind == "extra_forbidden":
        section = _model_at(path[:-1], model)
        near = did_you_mean(path[-1], list(section.model_fields))
        return f"unknown key {path[-1]!r}{place}. {near}{_unit_note(path[-1], section)}"
    if kind == "missing":
        is_section = len(path) == 1 and path[0] in ("pv", "bess", "paper")
        return f"{'section' if is_section else 'key'} {key} is missing{place}."
    if kind in ("value_error", "assertion_error"):
        inside = f"[{'.'.join(path)}] " if path else ""
        return f"{inside}{context.get('error', found['msg'])}."
    if isinstance(value, str) and "float" in kind + str(found["loc"]):
        unit = f" in {_unit_of(path, model)}" if _unit_of(path, model) else ""
        return f"{key}{place} is the text {value!r}: give a bare number{unit}, no quotes."
    if kind.startswith(("greater_than", "less_than")):
        return f"{key} = {value}{place} is out of range: {_range(context)}.{_scale_note(_unit_of(path, model), value)}"
    if kind == "literal_error":
        return f"{key} = {value!r}{place} is none of {context.get('expected', 'the words allowed')}."
    if kind in ("too_short", "tuple_type"):
        return f'{key}{place} must be a list with at least one name, for example ["18", "29"].'
    unit = f" (unit: {_unit_of(path, model)})" if _unit_of(path, model) else ""
    return f"{key} = {value!r}{place}: {found['msg'][0].lower()}{found['msg'][1:]}{unit}."


def _keys(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The TOML path of a fault: pydantic adds the tried member of a union, which the user never wrote."""
    path: list[str] = []
    here: type[BaseModel] | None = model
    for part in location:
        if here is None:
            break
        if isinstance(part, int):  # which table of a list of them
            continue
        path.append(str(part))
        field = here.model_fields.get(str(part))
        here = _inner(field.annotation) if field else None
    return path


def _model_at(path: list[str], model: type[BaseModel]) -> type[BaseModel]:
    for part in path:
        inner = _inner(model.model_fields[part].annotation)
        if inner is None:
            break
        model = inner
    return model


def _inner(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for member in typing.get_args(annotation):
            if (inner := _inner(member)) is not None:
                return inner
    if typing.get_origin(annotation) is tuple:
        return _inner(typing.get_args(annotation)[0])
    return None


def _quoted(path: list[str]) -> tuple[str, str]:
    if not path:
        return "the file", ""
    return path[-1], f" in [{'.'.join(path[:-1])}]" if len(path) > 1 else ""


def _line_of(path: list[str], text: str) -> int | None:
    """Line of a key, or of its section where the key is missing; 1-based."""
    section, section_line = "", None
    wanted = ".".join(path[:-1])
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
            section = header[1]
            if section == ".".join(path):
                return number
            section_line = number if section == wanted else section_line
        elif path and section == wanted and re.match(rf"\s*[\"']?{re.escape(path[-1])}[\"']?\s*=", line):
            return number
    return section_line


def _suffix(key: str) -> str:
    return key.rsplit("_", 1)[-1].lower()


def _unit_of(path: list[str], model: type[BaseModel]) -> str:
    """As the key's field has it; "" for a key without a unit or that no section has."""
    field = _model_at(path[:-1], model).model_fields.get(path[-1]) if path else None
    extra = field.json_schema_extra if field is not None else None
    unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
    return SPELT.get(unit, "a " + unit if unit.startswith(SHARE) else unit)


def _unit_note(key: str, model: type[BaseModel]) -> str:
    """The unit asked for, where the key is known in another unit ("energy_mwh" for "energy_kwh")."""
    stem = key.lower().removesuffix(_suffix(key))
    same = [k for k in model.model_fields if k.removesuffix(_suffix(k)) == stem and _suffix(k) in SUFFIXES]
    if _suffix(key) in SUFFIXES and same and stem:
        wanted = _unit_of([same[0]], model) or SUFFIXES[_suffix(same[0])]
        given = SUFFIXES[_suffix(key)]
        return f" The unit is {wanted}, not {SPELT.get(given, given)}: convert the number."
    return ""


def _range(context: dict[str, Any]) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return " and ".join(f"it must be {words[k]} {v:g}" for k, v in context.items() if k in words)


def _scale_note(unit: str, value: object) -> str:
    """What the number looks like, where it looks like another unit."""
    if not isinstance(value, int | float):
        return ""
    if unit.startswith("a " + SHARE) and 1 < value <= 100:
        return f" {value:g} looks like percent: it is a share, {value / 100:g}."
    if unit == SPELT["pu"] and 50 <= value <= 150:
        return f" {value:g} looks like percent: it is per unit, {value / 100:g}."
    if unit == SPELT["pu"] and value > 150:
        return f" {value:g} looks like volts: it is per unit of the nominal voltage, 1.0 is nominal."
    return ""

"""study.toml told from the sections themselves: the file that `hcsim init` writes, its JSON schema, the reference page.

Default, unit and sentence of every key stand in its pydantic field (`hcsim.cases.config`) and nowhere else.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hcsim.cases.config.study import StudyConfig

SCHEMA_FILE = "study.schema.json"
SCHEMA_LINE = f"#:schema ./{SCHEMA_FILE}"
"""First line of a study.toml: where editors (Taplo, Even Better TOML, tombi) find the schema to complete and check by.
https://taplo.tamasfe.dev/configuration/directives.html"""
LONGEST_LIST = 80

Values = Mapping[str, Any]


# -- the file ---------------------------------------------------------------------------------------------


def study_toml(values: Values, notes: Mapping[str, str] | None = None, heading: tuple[str, ...] = ()) -> str:
    """A study.toml with every key spelled out, its unit and its sentence beside it.

    Parameters
    ----------
    values
        Section -> key -> value, where it is another than the default. A section that may be left out ([pv], [bess],
        [paper], [planning]) is written where it is named here.
    notes
        "section.key" or "section" -> what is to be said of it on this feeder, beside the key's own sentence.
    heading
        Lines of comment on top.

    Returns
    -------
    str
        The text; keys without a default or a value are comments that show an example.
    """
    notes = notes or {}
    lines = [SCHEMA_LINE, *(f"# {line}".rstrip() for line in heading)]
    for name, field in StudyConfig.model_fields.items():
        model = section_of(field)
        if model is None and name != "assumptions":
            lines.append(_line(name, field, values.get(name, field.default), notes.get(name)))
    for name, field in StudyConfig.model_fields.items():
        model = section_of(field)
        if model is not None and (name in values or field.default is not None):
            lines += ["", *_section(name, model, values.get(name, {}), notes)]
    assumed = values.get("assumptions", {})
    lines += ["", f"[assumptions] # {sentence_of(StudyConfig.model_fields['assumptions'])}"]
    lines += [f"{key} = {toml_value(text)}" for key, text in assumed.items()]
    return "\n".join(lines) + "\n"


def _section(name: str, model: type[BaseModel], values: Values, notes: Mapping[str, str]) -> list[str]:
    lines = [f"[{name}] # {duty_of(model)}"]
    lines += [f"# {notes[name]}"] if name in notes else []
    for key, field in model.model_fields.items():
        note = notes.get(f"{name}.{key}")
        tables = tables_of(field)
        if tables is None:
            lines.append(_line(key, field, values.get(key, field.get_default()), note))
            continue
        lines += [f"# {sentence_of(field)}" + (f" {note}" if note else ""), f"# [[{name}.{key}]]"]
        lines += [
            "# " + _line(inner, about, about.get_default(), None).removeprefix("# ")
            for inner, about in tables.model_fields.items()
        ]
    return lines


def _line(key: str, field: FieldInfo, value: Any, note: str | None) -> str:
    said = " ".join(part for part in (sentence_of(field), note) if part)
    words = f"{unit_of(field)}; {said}" if unit_of(field) else said
    if value is None or value is ... or (field.is_required() and repr(value) == "PydanticUndefined"):
        example = (field.examples or ["..."])[0]
        return f"# {key} = {toml_value(example)} # {words}"
    return f"{key} = {toml_value(value)} # {words}"


def toml_value(value: Any) -> str:
    """A value as TOML has it; a long list of names goes over several lines.

    >>> toml_value([[0.92, 0.44]]), toml_value("off"), toml_value(True)
    ('[[0.92, 0.44]]', '"off"', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a TOML basic string escapes as JSON does
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(str(k), ensure_ascii=False)} = {toml_value(v)}" for k, v in value.items())
            + "}"
        )
    if isinstance(value, list | tuple):
        items = [toml_value(v) for v in value]
        flat = f"[{', '.join(items)}]"
        return flat if len(flat) <= LONGEST_LIST else "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    return repr(value)


# -- the sections as data ---------------------------------------------------------------------------------


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a field of another section is, if it is one."""
    return _model_in(field.annotation)


def tables_of(field: FieldInfo) -> type[BaseModel] | None:
    """What a list of tables ([[...]]) is made of, if a field is one."""
    if typing.get_origin(field.annotation) is tuple:
        return _model_in(typing.get_args(field.annotation)[0])
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next((m for m in map(_model_in, typing.get_args(annotation)) if m), None)
    return None


def sentence_of(field: FieldInfo) -> str:
    return field.description or ""


def unit_of(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def duty_of(model: type[BaseModel]) -> str:
    """The first paragraph of a section's docstring, on one line."""
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section of study.toml with its heading, "[limits]", "[[limits.bands]]", "[planning.storage]", in order."""

    def inside(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
        yield f"[{path}]", model
        for name, field in model.model_fields.items():
            here = f"{path}.{field.alias or name}"
            if (tables := tables_of(field)) is not None:
                yield f"[[{here}]]", tables
            elif (inner := section_of(field)) is not None:
                yield from inside(here, inner)

    for name, field in StudyConfig.model_fields.items():
        model = section_of(field)
        if model is not None:
            yield from inside(name, model)


# -- for editors ------------------------------------------------------------------------------------------


def study_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of study.toml, units in the descriptions, so that editors show them."""
    schema = StudyConfig.model_json_schema(by_alias=True)

    def tell_units(part: Any) -> None:
        if isinstance(part, dict):
            if isinstance(unit := part.pop("unit", None), str):
                part["description"] = f"{part.get('description', '')} Unit: {unit}.".strip()
            elif unit is not None:
                part["unit"] = unit
            for inner in part.values():
                tell_units(inner)
        elif isinstance(part, list):
            for inner in part:
                tell_units(inner)

    tell_units(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "study.toml of hcsim"}


def schema_text() -> str:
    """The schema as a file, as `hcsim schema` prints it."""
    return json.dumps(study_schema(), indent=2, ensure_ascii=False) + "\n"


# -- for readers ------------------------------------------------------------------------------------------

EXAMPLE: Values = {
    "title": "PV and batteries on IEEE 123",
    "pv": {"buses": ["18", "29", "51.1.3", "65", "83", "149"]},
    "bess": {"energy_kwh": 6000.0, "power_kw": 2250.0, "centralized_bus": "149"},
    "paper": {"source": "N. Shi et al., 2022", "none_kw": 3427.5},
    "assumptions": {"load_curve": "ours: ..."},
}


def reference_page() -> str:
    """docs/reference_study_toml.md: every key with default, unit and sentence; at the end a whole file."""
    lines = [
        "# study.toml, key by key",
        "",
        "Made by `scripts/reference/make_reference.py` from the sections' own fields. `hcsim schema` prints them for",
        "editors; `hcsim init` writes it beside the study.toml that it makes. A key without a default is required",
        "where its section stands. Unknown keys and wrong units are refused by name.",
        "",
    ]
    top = {name: field for name, field in StudyConfig.model_fields.items() if section_of(field) is None}
    lines += ["## At the top", "", *_table(top)]
    for heading, model in sections():
        fields = {
            field.alias or name: field
            for name, field in model.model_fields.items()
            if section_of(field) is None and tables_of(field) is None
        }
        lines += [f"## {heading}", "", duty_of(model), "", *(_table(fields) if fields else [])]
    lines += ["## A whole file", "", "```toml", study_toml(EXAMPLE).rstrip(), "```", ""]
    return "\n".join(lines)


def _table(fields: Mapping[str, FieldInfo]) -> list[str]:
    rows = ["| key | default | unit | |", "|---|---|---|---|"]
    for name, field in fields.items():
        default = "required" if field.is_required() else _default(field)
        cells = (f"`{name}`", default, unit_of(field), sentence_of(field))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*rows, ""]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None or value == {}:
        return "left out"
    return f"`{toml_value(value)}`"

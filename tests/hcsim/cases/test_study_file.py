"""One source for every key: file, schema and reference page say what the sections say, and agree with the reader."""

import json
import math
import tomllib
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hcsim.cases.case import load_case
from hcsim.cases.config.study import StudyConfig, parse_config
from hcsim.cases.study_file import (
    EXAMPLE,
    SCHEMA_LINE,
    reference_page,
    section_of,
    sections,
    study_schema,
    study_toml,
    tables_of,
    toml_value,
    unit_of,
)
from hcsim.cli.app import app
from hcsim.errors import ConfigError

ROOT = Path(__file__).parents[3]
CASES = [*sorted((ROOT / "dss_models").glob("*/study.toml")), *sorted((ROOT / "tests" / "cases").glob("*/study.toml"))]
UNITS_IN_NAMES = {"kw": "kW", "kwh": "kWh", "pu": "pu", "pct": "%", "s": "s", "a": "A", "mw": "MW"}


def fields():
    for heading, model in sections():
        for name, field in model.model_fields.items():
            if section_of(field) is None and tables_of(field) is None:
                yield pytest.param(name, field, id=f"{heading} {name}")


@pytest.mark.parametrize(("name", "field"), list(fields()))
def test_every_key_has_a_sentence_on_one_line_and_its_unit(name, field):
    assert field.description and field.description.endswith(".") and "\n" not in field.description
    suffix = name.rsplit("_", 1)[-1]
    per = "_per_" in name or name.startswith("om_")
    if suffix in UNITS_IN_NAMES and "_" in name and not per and not name.startswith("volt_"):
        unit = unit_of(field)
        assert unit == UNITS_IN_NAMES[suffix] or (suffix == "pu" and unit.startswith("share")), unit


@pytest.mark.parametrize("heading_model", list(sections()), ids=lambda p: p[0])
def test_every_section_says_what_it_is_for(heading_model):
    assert heading_model[1].__doc__ and heading_model[1].__doc__ != StudyConfig.__mro__[1].__doc__


def test_the_page_in_docs_is_the_one_that_the_fields_make():
    page = (ROOT / "docs" / "reference_study_toml.md").read_text(encoding="utf-8")
    assert page == reference_page(), "run scripts/reference/make_reference.py"


def test_a_file_of_defaults_is_read_as_defaults():
    found = parse_config(study_toml(EXAMPLE), Path("study.toml"))
    assert found == StudyConfig.model_validate(tomllib.loads(study_toml(EXAMPLE)))
    for name in ("limits", "simulation", "controls", "program", "solver", "certify", "inverters"):
        assert getattr(found, name) == getattr(StudyConfig(), name), name


def test_keys_that_are_comments_are_taken_when_uncommented(tmp_path):
    """What has no default is shown as a comment: with it, the file is still a study."""
    text = study_toml(EXAMPLE)
    shown = [line for line in text.splitlines() if line.startswith("# ") and ("= " in line or "[[" in line)]
    assert any("max_tap_operations" in line for line in shown) and "# [[limits.bands]]" in shown
    taken = "\n".join(line[2:] if line in shown else line for line in text.splitlines())
    found = parse_config(taken, tmp_path / "study.toml")
    assert found.certify.max_tap_operations == 20 and found.limits.bands[0].v_min_pu == 0.917


@pytest.mark.parametrize("file", CASES, ids=lambda f: f.parent.name)
def test_the_schema_takes_what_the_tool_takes(file):
    jsonschema.Draft202012Validator.check_schema(study_schema())
    jsonschema.validate(tomllib.loads(file.read_text(encoding="utf-8")), study_schema())


@pytest.mark.parametrize(
    "text",
    [
        "[limits]\nv_max = 1.05",
        "[limits]\nv_max_pu = 105.0",
        '[limits]\nv_max_pu = "1.05"',
        "[bess]\nenergy_kwh = 800.0",
        '[program]\nkind = "siting"',
        "[pv]\nbuses = []",
        "[[limits.bands]]\nkv_max = -1.0",
        "[solver]\nthreads = 0",
        "[inverters]\nvolt_var = [[0.9]]",
        "[planning.costs]\nlife_years = 0.0",
    ],
)
def test_the_schema_refuses_what_the_tool_refuses(text):
    """Of one key or section by itself; what takes two keys (v_min below v_max) only the tool sees."""
    with pytest.raises(ConfigError):
        parse_config(text, Path("study.toml"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), study_schema())


def test_schema_is_printed_as_json_and_nothing_else():
    done = CliRunner().invoke(app, ["schema"])
    assert done.exit_code == 0 and json.loads(done.stdout) == study_schema()
    energy = study_schema()["$defs"]["BessSection"]["properties"]["energy_kwh"]
    assert energy["description"].endswith("Unit: kWh.") and energy["exclusiveMinimum"] == 0.0


def test_init_points_editors_to_the_schema_beside_it(tmp_path):
    master = ROOT / "tests" / "cases" / "three_bus" / "Master.dss"
    done = CliRunner().invoke(app, ["init", str(master), "--out", str(tmp_path / "mine")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "mine" / "study.toml").read_text(encoding="utf-8")
    first = text.splitlines()[0]
    assert first == SCHEMA_LINE and first.startswith("#:schema ")
    schema = json.loads((tmp_path / "mine" / first.split(maxsplit=1)[1]).read_text(encoding="utf-8"))
    jsonschema.validate(tomllib.loads(text), schema)
    assert set(load_case(tmp_path / "mine").inputs) == {"study.toml", "profiles.csv", "study.schema.json"}


words = st.text(st.characters(exclude_categories=("Cs", "Cc")))
values = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), words, st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@given(values)
def test_any_value_comes_back_from_its_toml(value):
    again = tomllib.loads(f"key = {toml_value(value)}")["key"]
    assert again == value and (not isinstance(value, float) or math.copysign(1, again) == math.copysign(1, value))

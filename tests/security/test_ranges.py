"""Numbers that no feeder has are refused with their key or cell, before anything is computed with them."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hcsim.cases.config.study import parse_config
from hcsim.cli.app import app
from hcsim.errors import ConfigError
from hcsim.schedules.files import read_schedule

CASE = Path(__file__).parents[2] / "dss_models" / "ieee123"


@pytest.mark.parametrize("value", ["1e308", "1e20", "1e-300", "-1e20", "inf", "nan", "1e10", "-1"])
@pytest.mark.parametrize("key", ["energy_kwh", "power_kw", "eta_charge", "eta_discharge", "soc_max"])
def test_bess(key, value):
    keys = {"energy_kwh": "1.0", "power_kw": "1.0", "eta_charge": "0.9", "eta_discharge": "0.9", "soc_max": "0.9"}
    if key == "soc_max" and value == "1e-300":
        pytest.skip("refused together with soc_min")
    text = "[bess]\ncentralized_bus = 'a'\nunits = 1\ncandidate_buses = ['a']\n"
    text += "".join(f"{k} = {v}\n" for k, v in (keys | {key: value}).items())
    with pytest.raises(ConfigError, match=key):
        parse_config(text, Path("study.toml"))


@pytest.mark.parametrize("value", ["1e308", "1e20", "-1e20"])
@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("limits", "substation_min_kw"),
        ("limits", "regulator_min_kw"),
        ("limits", "v_max_pu"),
        ("limits", "loading_max_pu"),
        ("limits", "tap_operations_max"),
        ("simulation", "regulator_min_kw"),
        ("solver", "time_limit_s"),
        ("solver", "gap"),
        ("certify", "margin_kw"),
        ("certify", "time_limit_s"),
    ],
)
def test_other_sections(section, key, value):
    with pytest.raises(ConfigError, match=key):
        parse_config(f"[{section}]\n{key} = {value}\n", Path("study.toml"))


def numeric_keys(schema: dict) -> list[tuple[str, str, str]]:
    """Section, key and form of every value of study.toml that is a number or has numbers in it."""

    def kinds(node: dict) -> list[dict]:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].split("/")[-1]]
        return [kind for other in node["anyOf"] for kind in kinds(other)] if "anyOf" in node else [node]

    def numeric(node: dict) -> bool:
        return any(kind.get("type") in ("number", "integer") for kind in kinds(node))

    found = []
    for section, node in schema["properties"].items():
        for key, value in kinds(node)[0].get("properties", {}).items():
            for kind in kinds(value):
                if kind.get("type") in ("number", "integer"):
                    found.append((section, key, "{}"))
                elif kind.get("type") == "array" and numeric(kind.get("items", {})):
                    found.append((section, key, "[{}]"))
                elif isinstance(kind.get("additionalProperties"), dict) and numeric(kind["additionalProperties"]):
                    found.append((section, key, "{{ a = {} }}"))
    return list(dict.fromkeys(found))


NEEDED = {"pv": "buses = ['a']\n"}
"""Without which a section says nothing."""


def test_every_number_of_study_toml_has_a_range():
    shown = CliRunner().invoke(app, ["schema"])
    keys = numeric_keys(json.loads(shown.output))
    assert len(keys) > 50
    for section, key, form in keys:
        if section == "controls":  # names of controls, which may be written as numbers
            continue
        for value in ("1e308", "-1e308", "1e20", "-1e20", "nan", "inf", "-inf"):
            with pytest.raises(ConfigError, match=f"{key} = "):
                parse_config(
                    f"[{section}]\n{NEEDED.get(section, '')}{key} = {form.format(value)}\n", Path("study.toml")
                )


def test_lists_inside_each_other():
    with pytest.raises(ConfigError, match="not valid TOML"):
        parse_config("a = " + "[" * 100_000, Path("study.toml"))


@pytest.fixture(scope="module")
def schedule(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("schedule") / "s"
    args = ["optimize", str(CASE), "--program", "none", "--out", str(folder)]
    assert CliRunner().invoke(app, args).exit_code == 0
    return folder


@pytest.mark.parametrize(
    ("file", "column", "value"),
    [
        ("pv.csv", "capacity_kw", "1e308"),
        ("pv.csv", "capacity_kw", "1e20"),
        ("pv_dispatch.csv", "q_kvar", "-1e308"),
        ("pv_dispatch.csv", "p_kw", "1e300"),
    ],
)
def test_cells_of_a_schedule(file, column, value, schedule, tmp_path):
    folder = Path(shutil.copytree(schedule, tmp_path / "s"))
    lines = (folder / file).read_text().splitlines()
    cells = lines[1].split(",")
    cells[lines[0].split(",").index(column)] = value
    (folder / file).write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    with pytest.raises(ConfigError, match=f"{file}.*row 2, column {column}"):
        read_schedule(folder)


@pytest.mark.parametrize(("column", "value"), [("eta_charge", "1e-300"), ("energy_kwh", "1e308"), ("soc_max", "1e9")])
def test_batteries_of_a_schedule(column, value, schedule, tmp_path):
    folder = Path(shutil.copytree(schedule, tmp_path / "s"))
    columns = ("unit", "bus", "energy_kwh", "power_kw", "eta_charge", "eta_discharge", "soc_min", "soc_max")
    row = dict(zip(columns, ("u", "1", "10", "5", "0.9", "0.9", "0.1", "0.9"), strict=True))
    row[column] = value
    (folder / "bess_units.csv").write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    with pytest.raises(ConfigError, match=f"column {column}"):
        read_schedule(folder)


@pytest.mark.parametrize("step_h", ["0", "-1", "1e308", "1e999", "NaN", "true", "1" + "0" * 400])
def test_steps_of_a_schedule(step_h, schedule, tmp_path):
    folder = Path(shutil.copytree(schedule, tmp_path / "s"))
    text = (folder / "schedule.json").read_text()
    (folder / "schedule.json").write_text(text.replace('"step_h": 1.0', f'"step_h": {step_h}'))
    with pytest.raises(ConfigError, match="step_h"):
        read_schedule(folder)

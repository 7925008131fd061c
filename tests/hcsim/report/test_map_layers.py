"""Layers of a map: what is on them is what the results say, where a GIS finds it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from hcsim.cases.case import load_case
from hcsim.cli.app import app
from hcsim.errors import ConfigError
from hcsim.hosting.open_feeder import open_feeder
from hcsim.report.layers.tables import layers_of
from hcsim.report.layers.write import write_layers
from hcsim.schedules.files import write_schedule
from hcsim.util.files import write_parquet
from optim.data.schedule import BessUnit, Schedule

DEGREE_M = 111_319.49079327358
"""Of EPSG:3857 along the equator: the earth's radius of 6,378,137 m times pi / 180."""


@pytest.fixture(scope="module")
def network():
    return open_feeder(load_case("ieee33")).network


@pytest.fixture(scope="module")
def results(tmp_path_factory, network):
    """A nodal study, a schedule and a replay as their folders have them, made by hand."""
    folder = tmp_path_factory.mktemp("results")
    rows = []
    for bus, kw in (("18", 900.0), ("17", 1200.0), ("33", 700.0)):
        for criterion, size in (("overvoltage", kw), ("loading", 2 * kw)):
            rows.append((bus, "1.2.3", criterion, size, "18", "2", "12:00", criterion == "overvoltage"))
    names = ["bus", "phases", "criterion", "hc_kw", "binding_element", "binding_phase", "binding_hour", "smallest"]
    write_parquet(folder / "nodal.parquet", pd.DataFrame(rows, columns=names))
    times, zero = ("00:00", "01:00"), np.zeros((2, 1))
    schedule = Schedule(
        "mine",
        times,
        1.0,
        ("18.1", "18.2", "33.1"),
        np.array([10.0, 20.0, 0.0]),
        np.zeros((2, 3)),
        np.zeros((2, 3)),
        (BessUnit("b", "33", 40.0, 10.0, 0.95, 0.95, 0.1, 0.9),),
        ("33.1",),
        (0,),
        zero,
        zero,
        np.full((3, 1), 20.0),
    )
    write_schedule(schedule, folder / "schedules" / "mine")
    beyond = [
        ("overvoltage", "18", "1", 0, "00:00", 1.06, 1.05, "pu", True),
        ("overvoltage", "18", "1", 1, "01:00", 1.07, 1.05, "pu", False),
        ("loading", "Line.l17_18", "1", 1, "01:00", 1.2, 1.0, "pu", True),
    ]
    names = ["criterion", "element", "phase", "step", "time", "value", "limit", "unit", "existing"]
    write_parquet(folder / "replays" / "mine" / "free" / "violations.parquet", pd.DataFrame(beyond, columns=names))
    return folder


def by_name(network, *folders):
    return {layer.name: layer for layer in layers_of("ieee33", network, folders)}


def test_every_bus_and_every_line_is_there(network):
    found = by_name(network)
    assert set(found["buses"].table["bus"]) == {str(k) for k in range(1, 34)}
    assert found["buses"].table["load_kw"].sum() == pytest.approx(3715.0)  # Baran and Wu
    lines = found["lines"].table
    assert len(lines) == 32 and set(lines["to_bus"]) == {str(k) for k in range(2, 34)}
    ends = dict(zip(lines["to_bus"], found["lines"].shapes, strict=True))
    assert ends["18"] == (network.coordinates["17"], network.coordinates["18"])


def test_a_line_takes_what_its_weaker_end_takes(network, results):
    lines = by_name(network, results)["lines"].table.set_index("to_bus")
    assert lines.loc["18", "generation_kw"] == 900.0 and lines.loc["17", "generation_kw"] == 1200.0
    assert pd.isna(lines.loc["2", "generation_kw"])


def test_tables_say_what_the_results_say(network, results):
    found = by_name(network, results)
    nodal = found["nodal"].table.set_index("bus")
    assert nodal.loc["18", ["capacity_kw", "overvoltage_kw", "loading_kw"]].tolist() == [900.0, 900.0, 1800.0]
    assert nodal.loc["18", "kind"] == "generation" and nodal.loc["18", "binding_criterion"] == "overvoltage"
    sites = found["sites"].table.set_index("bus")
    assert sites.loc["18", ["phases", "pv_kw", "bess_kwh"]].tolist() == ["12", 30.0, 0.0]
    assert sites.loc["33", ["pv_kw", "bess_kw", "bess_kwh"]].tolist() == [0.0, 10.0, 40.0]
    at = found["violations"].table.set_index("element")
    assert at.loc["18", ["first", "last", "steps", "worst_value", "worst_at"]].tolist() == [
        "00:00",
        "01:00",
        2,
        1.07,
        "01:00",
    ]
    assert at.loc["18", "is_new"] and not at.loc["Line.l17_18", "is_new"]
    between = np.mean([network.coordinates[b] for b in ("17", "18")], axis=0)
    place = dict(zip(found["violations"].table["element"], found["violations"].shapes, strict=True))
    branch = next(b for b in network.branches if b.name.lower() == "line.l17_18")
    assert {network.nodes[n].split(".")[0] for n in (*branch.from_nodes, *branch.to_nodes)} == {"17", "18"}
    assert place["Line.l17_18"][0] == pytest.approx(tuple(between))


def test_without_a_system_there_is_no_geojson(network, results, tmp_path):
    files = write_layers(layers_of("ieee33", network, [results]), tmp_path, None)
    assert {f.suffix for f in files} == {".csv"} and len(files) == 5
    table = pd.read_csv(tmp_path / "buses.csv", dtype={"bus": str}).set_index("bus")
    assert tuple(table.loc["18", ["x", "y"]]) == network.coordinates["18"]


def test_a_gis_finds_them_where_they_are(network, results, tmp_path):
    """EPSG:3857 at the equator, where a degree of longitude is known by hand; read back by GDAL."""
    raw, shapely = pytest.importorskip("pyogrio.raw"), pytest.importorskip("shapely")
    pytest.importorskip("pyproj")
    write_layers(layers_of("ieee33", network, [results]), tmp_path, "EPSG:3857")
    for source, layer in ((tmp_path / "buses.geojson", None), (tmp_path / "layers.gpkg", "buses")):
        meta, _, geometry, fields = raw.read(source, layer=layer)
        buses = dict(zip(fields[list(meta["fields"]).index("bus")], shapely.from_wkb(geometry), strict=True))
        x, _ = network.coordinates["18"]
        assert meta["crs"] == "EPSG:4326" and buses["18"].x == pytest.approx(x / DEGREE_M, abs=1e-7)
    meta, _, geometry, _ = raw.read(tmp_path / "layers.gpkg", layer="lines")
    assert len(geometry) == 32 and meta["geometry_type"] == "LineString" and "generation_kw" in meta["fields"]


def test_longitude_and_latitude_stay(network, tmp_path):
    at = {bus: (7.0 + k / 100, 51.0 - k / 100) for k, bus in enumerate(network.buses)}
    write_layers(layers_of("x", replace(network, coordinates=at), []), tmp_path, "EPSG:4326")
    features = json.loads((tmp_path / "buses.geojson").read_text())["features"]
    assert {f["properties"]["bus"]: tuple(f["geometry"]["coordinates"]) for f in features} == {
        bus: (round(x, 7), round(y, 7)) for bus, (x, y) in at.items()
    }


def test_a_false_system_is_refused(network, tmp_path):
    far = replace(network, coordinates=dict.fromkeys(network.buses, (400000.0, 5000000.0)))
    with pytest.raises(ConfigError, match="no place on earth"):
        write_layers(layers_of("x", far, []), tmp_path, "EPSG:4326")
    pytest.importorskip("pyproj")
    with pytest.raises(ConfigError, match="no coordinate system"):
        write_layers(layers_of("x", far, []), tmp_path, "EPSG:1")
    with pytest.raises(ConfigError, match="has no coordinates"):
        layers_of("x", replace(network, coordinates={}), [])


def test_the_command(results, tmp_path):
    done = CliRunner().invoke(app, ["layers", "ieee33", str(results), "--out", str(tmp_path / "a")])
    assert done.exit_code == 0 and "sites: 2" in done.output and "--crs" in done.output
    done = CliRunner().invoke(app, ["layers", "ieee33", str(tmp_path), "--out", str(tmp_path / "a")])
    assert done.exit_code == 2 and "no nodal.csv" in done.output

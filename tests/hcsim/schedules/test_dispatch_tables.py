"""Tables of every kind: random ones never end in a traceback, large ones are read in pieces, schedules come back."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_study import network as synthetic_network
from synthetic_study import schedule as synthetic_schedule
from synthetic_study import unit

from hcsim.errors import ConfigError, HcsimError
from hcsim.feeder.read import read_network
from hcsim.opendss.circuit import Circuit
from hcsim.schedules.dispatch import cells
from hcsim.schedules.dispatch.findings import findings
from hcsim.schedules.dispatch.read import dispatch_of, read_dispatch
from hcsim.schedules.dispatch.units import Unit
from hcsim.schedules.dispatch.write import dispatch_table, units_table
from optim.data.schedule import Schedule

MASTER = Path(__file__).parents[3] / "dss_models" / "ieee123" / "Master.dss"


@pytest.fixture(scope="module")
def network():
    return read_network(Circuit.compile(MASTER))[0]


WORDS = (
    "time hour step HE date name bus phase kind p_kw q_kvar kW charge_kw discharge_kw soc soc_kwh 83 pv_83_kw "
    "bess_83_kw 83.1 value variable v_pu load_s65a_kw curtailed_kw available_kw size_kw energy_kwh p_pu"
)
HEADERS = st.sampled_from(WORDS.split())
STAMP = "2025-05-04 13:00"
SCRIBBLE = '0123456789.,;:-\t\n "#abkwtimehour_83'
CELLS = st.one_of(
    st.none(),
    st.integers(-5, 30),
    st.floats(allow_nan=True, allow_infinity=True, width=32),
    st.sampled_from(["83", "18", "zz", "", " ", "1", "a", "08:00", "24:00", STAMP, "pv", "bess", "1,5", "p_kw"]),
    st.text(max_size=4),
    st.booleans(),
    st.datetimes(),
)


@given(
    st.lists(HEADERS | st.text(max_size=6), min_size=1, max_size=6, unique=True).flatmap(
        lambda columns: st.lists(st.lists(CELLS, min_size=len(columns), max_size=len(columns)), max_size=6).map(
            lambda rows: pd.DataFrame(rows, columns=columns, dtype=object)
        )
    )
)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_tables_never_end_in_a_traceback(network, table):
    try:
        found = read_dispatch(table, network)
        findings(found)
    except HcsimError as error:
        assert str(error).strip()


@given(st.binary(max_size=300) | st.text(alphabet=SCRIBBLE, max_size=300).map(str.encode))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_files_never_end_in_a_traceback(network, tmp_path, content):
    for ending in ("csv", "json"):
        (tmp_path / f"d.{ending}").write_bytes(content)
        try:
            read_dispatch(tmp_path / f"d.{ending}", network)
        except HcsimError as error:
            assert str(error).strip()


@pytest.mark.parametrize("name", ["d.xlsx", "d.parquet"])
def test_a_broken_workbook_is_one_sentence(name, network, tmp_path):
    (tmp_path / name).write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_dispatch(tmp_path / name, network)


def test_a_large_file_is_read_in_pieces_to_the_same_numbers(network, tmp_path, monkeypatch):
    """A month of minutes at four buses; in memory it takes no more than a few times the file."""
    steps, buses = 1440 * 14, ["18", "60", "83", "95"]
    stamps = pd.date_range("2025-05-01", periods=steps, freq="min").strftime("%Y-%m-%d %H:%M")
    table = pd.DataFrame({"time": np.repeat(stamps, len(buses)), "bus": np.tile(buses, steps), "kind": "pv"})
    table["p_kw"] = np.round(np.random.default_rng(5).random(len(table)) * 100.0, 3)
    file = tmp_path / "long.csv"
    table.to_csv(file, index=False)
    whole = read_dispatch(file, network).schedule
    monkeypatch.setattr(cells, "LARGE_BYTES", 1 << 18)
    monkeypatch.setattr(cells, "CHUNK_ROWS", 7000)
    np.testing.assert_array_equal(whole.pv_p_kw, read_dispatch(file, network).schedule.pv_p_kw)
    tracemalloc.start()
    read = cells.read_table(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(read.cells) == len(table)
    assert peak < 4 * file.stat().st_size  # 30 bytes a row, a stamp of 65 for every four rows, one piece in the making


def test_dispatch_and_units_tables_come_back(network):
    """Every field that the two tables have, to rounding of a sum over phases."""
    net = synthetic_network()
    made = synthetic_schedule(net, "mine", 500.0, (unit("a", "b5", 1000.0, 375.0), unit("b", "b9", 500.0, 100.0)))
    rng = np.random.default_rng(3)
    made = replace(made, pv_kva=1.2 * made.pv_kw, bess_q_kvar=rng.normal(size=made.p_charge_kw.shape))
    back = read_dispatch(dispatch_table(made), net, units=units_table(made)).schedule
    order = [back.pv_nodes.index(n) for n in made.pv_nodes]
    np.testing.assert_allclose(back.pv_p_kw[:, order], made.pv_p_kw, atol=1e-9)
    np.testing.assert_allclose(back.pv_q_kvar[:, order], made.pv_q_kvar, atol=1e-9)
    np.testing.assert_allclose(back.pv_kva.sum(), made.pv_kva.sum())
    units = [u.name for u in back.bess]
    for u, unit_made in enumerate(made.bess):
        v = units.index(unit_made.name)
        assert back.bess[v].energy_kwh == unit_made.energy_kwh and back.bess[v].bus == unit_made.bus
        np.testing.assert_allclose(back.soc_kwh[:, v], made.soc_kwh[:, u], atol=1e-6)
    frame = Schedule.from_frame(made.to_frame(), "mine")
    np.testing.assert_array_equal(frame.bess_q_kvar, made.bess_q_kvar)
    np.testing.assert_array_equal(frame.soc_kwh, made.soc_kwh)
    assert frame.bess == made.bess and frame.pv_nodes == made.pv_nodes


def test_a_load_named_as_its_bus_does_not_take_a_plants_place(network):
    """A feeder whose loads are called after their buses: "pv_83_kw" is PV at bus 83, not the load."""
    own = {"load.83": Unit("load.83", "83", (1,), "load", kw=20.0, element="load.83")}
    table = pd.DataFrame({"hour": np.arange(24), "pv_83_kw": 1.0})
    assert read_dispatch(table, network, own=own).schedule.pv_nodes[0] == "83.1"


SUN = np.clip(np.cos((np.arange(24) - 12) / 12 * np.pi), 0.0, None)


def clean() -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """A plant of 90 kW and a unit of 100 kWh, 40 in at noon and out at eight, no losses; nothing is wrong with it."""
    h = np.arange(24)
    soc = 50.0 + 40.0 * ((h >= 12) & (h < 20))
    columns = {
        "s_p_kw": 80.0 * SUN,
        "s_q_kvar": np.zeros(24),
        "b_charge_kw": np.where(h == 12, 40.0, 0.0),
        "b_discharge_kw": np.where(h == 20, 40.0, 0.0),
        "b_soc_kwh": soc,
    }
    return columns, {"kva": 90.0}


def at(hour: int, value: float, base: np.ndarray) -> np.ndarray:
    out = base.copy()
    out[hour] = value
    return out


ONLY = {
    "above_rating": lambda c: c | {"s_p_kw": at(12, 95.0, c["s_p_kw"])},
    "above_kva": lambda c: c | {"s_q_kvar": at(2, 99.0, c["s_q_kvar"])},
    "above_sun": lambda c: c | {"s_p_kw": at(2, 30.0, c["s_p_kw"])},
    "soc_differs_from_own_column": lambda c: c | {"b_soc_kwh": at(15, 95.0, c["b_soc_kwh"])},
    "soc_not_back_at_start": lambda c: (
        c
        | {
            "b_discharge_kw": at(20, 30.0, c["b_discharge_kw"]),
            "b_soc_kwh": c["b_soc_kwh"] + 10.0 * (np.arange(24) >= 20),
        }
    ),
    "charge_and_discharge_at_once": lambda c: (
        c | {"b_charge_kw": at(3, 5.0, c["b_charge_kw"]), "b_discharge_kw": at(3, 5.0, c["b_discharge_kw"])}
    ),
}


@pytest.mark.parametrize("kind", ONLY)
def test_each_finding_by_a_dispatch_that_has_only_it(kind, network, tmp_path):
    (tmp_path / "u.csv").write_text(
        "name,bus,kind,kw,kva,kwh,eta_charge,eta_discharge,soc_start\ns,18,pv,90,90,,,,\nb,83,bess,80,80,100,1,1,0.5\n"
    )
    columns, _ = clean()
    units = tmp_path / "u.csv"
    sun = None if kind == "above_rating" else np.minimum(1.0, SUN * 1.05)  # more than all it has is more than the sun

    def of(table: dict[str, np.ndarray]) -> set[str]:
        read = read_dispatch(pd.DataFrame({"hour": np.arange(24), **table}), network, units=units)
        return set(findings(read, sun)["kind"])

    assert of(columns) == set()
    assert of(ONLY[kind](columns)) == {kind}


def test_circulation_between_two_units_is_found_and_nothing_else(network, tmp_path):
    (tmp_path / "u.csv").write_text(
        "name,bus,kind,kw,kwh,eta_charge,eta_discharge,soc_start\na,18,bess,80,100,1,1,0.5\nb,83,bess,80,100,1,1,0.5\n"
    )
    h = np.arange(24)
    p = np.where(h == 10, 20.0, 0.0) - np.where(h == 11, 20.0, 0.0)
    columns = {
        "a_charge_kw": np.maximum(p, 0),
        "a_discharge_kw": np.maximum(-p, 0),
        "b_charge_kw": np.maximum(-p, 0),
        "b_discharge_kw": np.maximum(p, 0),
    }
    found = findings(read_dispatch(pd.DataFrame({"hour": h, **columns}), network, units=tmp_path / "u.csv"))
    assert set(found["kind"]) == {"circulation"} and found["amount"].iloc[0] == pytest.approx(40.0)


def test_a_schedule_of_our_own_reads_as_what_it_is():
    made = synthetic_schedule(synthetic_network(), "mine", 500.0, (unit("a", "b5", 1000.0, 375.0),))
    read = dispatch_of(made)
    assert read.schedule is made and len(read.source_names) == len(made.pv_nodes)
    assert {u.kind for u in read.units} == {"pv", "bess"}


@pytest.mark.parametrize("year", ["-0001", "0000", "10000"])
def test_a_year_beyond_the_calendar_is_said(network, year):
    """Hypothesis found one: pandas reads it, Python's own dates do not."""
    times = np.array([f"{year}-01-01T{h:02d}:00:00" for h in (0, 1, 5)], dtype="datetime64[s]")
    table = pd.DataFrame({"time": times, "bus": "83", "kind": "pv", "p_kw": 1.0})
    with pytest.raises(ConfigError, match="a time in the year"):
        read_dispatch(table, network)

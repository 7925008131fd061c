"""The same dispatch in many shapes is one schedule; what is ambiguous or wrong is refused by name."""

from pathlib import Path

import dispatch_shapes as shapes
import numpy as np
import pandas as pd
import pytest

from hcsim.errors import ConfigError
from hcsim.feeder.read import read_network
from hcsim.opendss.circuit import Circuit
from hcsim.schedules.dispatch.findings import findings
from hcsim.schedules.dispatch.layout import Reading
from hcsim.schedules.dispatch.read import read_dispatch

MASTER = Path(__file__).parents[3] / "dss_models" / "ieee123" / "Master.dss"


@pytest.fixture(scope="module")
def network():
    circuit = Circuit.compile(MASTER)
    return read_network(circuit)[0]


@pytest.fixture
def units(tmp_path):
    (tmp_path / "units.csv").write_text(shapes.UNITS)
    return tmp_path / "units.csv"


@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_every_shape_is_the_same_schedule(shape, network, units, tmp_path):
    """Against the powers written down in the helper, by hand; 1e-9 is rounding of MW to kW and back."""
    found = read_dispatch(shapes.SHAPES[shape](tmp_path), network, units=units).schedule
    pv, bess, soc = shapes.powers()
    assert found.step_h == 1.0 and len(found.times) == 24
    assert found.pv_nodes == ("18.1", "18.2", "18.3") and found.bess_nodes == ("83.1", "83.2", "83.3")
    np.testing.assert_allclose(found.pv_p_kw.sum(axis=1), pv, atol=1e-9)
    np.testing.assert_allclose(found.bess_p_kw.sum(axis=1), bess, atol=1e-9)
    np.testing.assert_allclose(found.soc_kwh[1:, 0], soc, atol=1e-9)
    assert found.pv_kw.sum() == pytest.approx(400.0)


def day(**columns: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"hour": np.arange(24), **columns})


def test_no_soc_and_no_losses_leaves_the_sign_open(network):
    p = np.where(np.arange(24) < 12, -10.0, 10.0)
    table = day(bess_83_kw=p).assign(bess_83_energy_kwh=100.0)
    with pytest.raises(ConfigError, match="what is positive"):
        read_dispatch(table, network)
    assert read_dispatch(table, network, sign="charge").schedule.p_charge_kw[13].sum() == pytest.approx(10.0)


def test_another_feeders_dispatch_is_one_sentence(network):
    table = day(**{f"pv_bus{k}x_kw": np.zeros(24) for k in range(72)})
    with pytest.raises(ConfigError, match="72 of 72") as caught:
        read_dispatch(table, network)
    assert len(str(caught.value).splitlines()) <= 2


def test_a_strange_bus_gets_its_nearest_once(network):
    table = day(pv_18_kw=np.ones(24), pv_83_kw=np.ones(24), pv_181_kw=np.ones(24))
    with pytest.raises(ConfigError, match="'181' is neither a bus") as caught:
        read_dispatch(table, network)
    assert "18" in caught.value.remedy


def test_text_in_numbers_names_row_and_column(network, tmp_path):
    (tmp_path / "d.csv").write_text("hour,pv_18_kw\n0,1\n1,two\n2,3\n")
    with pytest.raises(ConfigError, match=r"pv_18_kw.*row 3: 'two'"):
        read_dispatch(tmp_path / "d.csv", network)


def test_a_missing_hour_is_named(network):
    with pytest.raises(ConfigError, match="1 of 24 times are missing, the first 07:00"):
        read_dispatch(day(pv_18_kw=np.ones(24)).drop(index=7), network)


def test_a_battery_without_energy_is_refused(network, tmp_path):
    (tmp_path / "u.csv").write_text("name,bus,kind,kw\nb1,83,bess,10\n")
    with pytest.raises(ConfigError, match="a battery without energy"):
        read_dispatch(day(b1_kw=np.zeros(24)), network, units=tmp_path / "u.csv")


def test_two_units_of_one_name(network, tmp_path):
    (tmp_path / "u.csv").write_text("name,bus,kind,kw\na,83,pv,10\na,18,pv,10\n")
    with pytest.raises(ConfigError, match="a second unit 'a'"):
        read_dispatch(day(a_kw=np.zeros(24)), network, units=tmp_path / "u.csv")


def test_merged_cells_and_several_sheets(network, tmp_path):
    book = tmp_path / "d.xlsx"
    with pd.ExcelWriter(book) as writer:
        day(pv_18_kw=np.ones(24)).to_excel(writer, sheet_name="plan", index=False)
        day(pv_83_kw=np.ones(24)).to_excel(writer, sheet_name="other", index=False)
    with pytest.raises(ConfigError, match="several sheets: plan, other"):
        read_dispatch(book, network)
    assert read_dispatch(book, network, reading=Reading({"sheet": "other"})).schedule.pv_nodes[0] == "83.1"
    import openpyxl

    whole = openpyxl.load_workbook(book)
    del whole["other"]
    whole["plan"].merge_cells("A2:A3")
    whole.save(book)
    with pytest.raises(ConfigError, match="A2:A3 are merged"):
        read_dispatch(book, network)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda p, c: (p * 1.5, c), "above_rating"),
        (lambda p, c: (p, c * 2), "soc_above_limit"),
        (lambda p, c: (p, np.where(np.arange(24) == 20, c + 30.0, c)), "soc_not_back_at_start"),
    ],
)
def test_a_finding_by_a_dispatch_that_has_only_it(change, kind, network, tmp_path):
    """A unit of 100 kWh at full efficiency, 40 kWh in at noon and out in the evening, from 50."""
    (tmp_path / "u.csv").write_text(
        "name,bus,kind,kw,kwh,eta_charge,eta_discharge,soc_start\ns,18,pv,90,,,,\nb,83,bess,80,100,1,1,0.5\n"
    )
    hours = np.arange(24)
    sun = np.clip(np.cos((hours - 12) / 12 * np.pi), 0.0, None)
    charge = np.where(hours == 12, 40.0, 0.0)
    pv, charge = change(90.0 * sun, charge)
    out = np.where(hours == 20, 40.0 if kind != "soc_above_limit" else 80.0, 0.0)
    table = day(s_p_kw=pv, b_charge_kw=charge, b_discharge_kw=out)
    found = findings(read_dispatch(table, network, units=tmp_path / "u.csv"))
    if kind == "soc_not_back_at_start":  # 30 kWh more in than out, while it discharges
        assert set(found["kind"]) == {kind, "charge_and_discharge_at_once"}
    else:
        assert set(found["kind"]) == {kind}


def test_a_clean_dispatch_has_no_finding(network, units, tmp_path):
    found = read_dispatch(shapes.SHAPES["long csv"](tmp_path), network, units=units)
    assert findings(found).empty

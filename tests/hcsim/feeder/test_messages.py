"""Messages that name what is to be mended, and inputs as people write them."""

import warnings

import numpy as np
import pytest

from hcsim.cases.time_axis import read_year
from hcsim.errors import ConvergenceError
from hcsim.feeder.check import check_feeder
from hcsim.opendss.circuit import Circuit
from hcsim.report import style
from hcsim.schedules.csv_tables import _raw

HUNTS = """
clear
new circuit.h basekv=12.47 pu=1.0 phases=3 bus1=src mvasc3=50 mvasc1=50
new line.l1 bus1=src bus2=a length=4 units=km r1=0.3 x1=0.4
new capacitor.c1 bus1=a phases=3 kv=12.47 kvar=1200
new capacitor.calm bus1=a phases=3 kv=12.47 kvar=10
new load.x bus1=a kv=12.47 kw=2500 pf=.9
new capcontrol.cc capacitor=c1 element=line.l1 terminal=2 type=voltage onsetting=113 offsetting=114 ptratio=60
~ deadtime=0 delay=1 delayoff=1
new capcontrol.calm capacitor=calm element=line.l1 terminal=2 type=voltage onsetting=90 offsetting=140 ptratio=60
set voltagebases=[12.47]
calcvoltagebases
"""


def test_the_control_that_hunts_is_named(tmp_path):
    (tmp_path / "m.dss").write_text(HUNTS)
    with pytest.raises(ConvergenceError, match=r"hunt\): Capacitor.c1") as caught:
        Circuit.compile(tmp_path / "m.dss")
    assert "calm" not in caught.value.message


def test_switches_and_reclosers_which_cannot_be_told_to_log_do_not_hide_the_control_that_hunts(tmp_path):
    beside = "new swtcontrol.s switchedobj=line.l1 switchedterm=1\nnew recloser.r monitoredobj=line.l1 phasetrip=1e6\n"
    (tmp_path / "m.dss").write_text(HUNTS.replace("set voltagebases", f"{beside}set voltagebases"))
    with pytest.raises(ConvergenceError, match=r"hunt\): Capacitor.c1"):
        Circuit.compile(tmp_path / "m.dss")


def test_a_hunting_step_of_a_series_is_named_at_its_own_hour_and_the_rest_goes_on(tmp_path):
    (tmp_path / "m.dss").write_text(
        HUNTS.replace("kw=2500", "kw=2500 daily=d").replace(
            "new load.x", "new loadshape.d npts=3 interval=1 mult=(0.1 1 0.1)\nnew load.x"
        )
    )
    circuit = Circuit.compile(tmp_path / "m.dss", controls=False)
    circuit.start_series(1.0)
    assert circuit.step(0, controls=True)
    assert not circuit.step(1, controls=True) and "Capacitor.c1" in circuit.fault
    assert circuit.step(2, controls=True)


def test_negative_loads_are_named_by_check(tmp_path):
    (tmp_path / "m.dss").write_text(
        "clear\nnew circuit.n basekv=12.47 bus1=src\nnew line.l bus1=src bus2=a length=1 units=km\n"
        "new load.town bus1=a kv=12.47 kw=2000\nnew load.farm bus1=a kv=12.47 kw=-900 pf=1\n"
        "set voltagebases=[12.47]\ncalcvoltagebases\n"
    )
    notes = " ".join(check_feeder(tmp_path / "m.dss").notes)
    assert "Load.farm -900 kW" in notes and "Load.town" not in notes


@pytest.mark.parametrize("first", [0, 1])
def test_a_year_of_hours_numbered_from_one_is_hour_ending_and_no_leap_year(tmp_path, first):
    file = tmp_path / "year.csv"
    load = np.linspace(0.3, 0.9, 8760)
    file.write_text("hour,load_pu,pv_pu\n" + "".join(f"{h + first},{v!r},0.5\n" for h, v in enumerate(load.tolist())))
    found = read_year(file)
    assert found.profiles.load_pu == pytest.approx(load, abs=0)
    assert not found.skip_steps
    assert any("1 to 8760" in note for note in found.notes) == bool(first)
    assert not any("leap" in note for note in found.notes)


def test_a_leap_year_numbered_from_one_loses_its_february_29(tmp_path):
    file = tmp_path / "year.csv"
    file.write_text("hour,load_pu,pv_pu\n" + "".join(f"{h + 1},{h / 10000!r},0.5\n" for h in range(8784)))
    found = read_year(file)
    assert len(found.profiles) == 8760
    assert found.profiles.load_pu[59 * 24] == pytest.approx(60 * 24 / 10000)


def test_semicolons_and_decimal_commas_in_a_year(tmp_path):
    file = tmp_path / "year.csv"
    file.write_text("# Jahr\nhour;load_pu;pv_pu\n" + "".join(f"{h};0,5;0,25\n" for h in range(8760)))
    found = read_year(file).profiles
    assert set(found.load_pu) == {0.5} and set(found.pv_pu) == {0.25}


def test_semicolons_and_decimal_commas_in_a_schedule_table(tmp_path):
    file = tmp_path / "pv.csv"
    file.write_text("step;time;node;p_kw\n0;00:00;a.1;-1,5e-3\n1;01:00;b,c.2;12\n")
    cells = _raw(file)
    assert cells["p_kw"].tolist() == ["-1.5e-3", "12"]
    assert cells["node"].tolist() == ["a.1", "b,c.2"]


def test_names_in_any_script_draw_without_a_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with style.house_style():
            figure, axes = style.panels(1, height=2.0, columns=1)
            axes[0].set_title("変電所 подстанция สถานี محطة कखग 母線")
            axes[0].text(0, 0, "ក្រុង")
            figure.savefig(tmp_path / "names.svg")

"""Whose curve a load follows: its own, a column that names it, or the study's; which day of a year; timestamps."""

import numpy as np
import pytest

from hcsim.cases.case import load_case
from hcsim.cases.profiles_csv import read_profile_file
from hcsim.errors import ConfigError
from hcsim.workbench.allocation import Workbench

FEEDER = """\
Clear
New Circuit.y basekv=12.47 pu=1.02 phases=3 bus1=src MVAsc3=300 MVAsc1=250
New Loadshape.year npts=8760 interval=1 csvfile=year.csv
New Line.l1 bus1=src bus2=a length=2 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 normamps=300
New Line.l2 bus1=a bus2=b length=2 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 normamps=300
New Load.home1 bus1=a phases=3 kv=12.47 kw=800 pf=0.95 yearly=year
New Load.school bus1=b phases=3 kv=12.47 kw=600 pf=0.95
Set voltagebases=[12.47]
Calcvoltagebases
"""
DAY = (31 + 28 + 31 + 30 + 3) * 24
"""4 May, from 0 for 1 January."""


@pytest.fixture
def folder(tmp_path):
    year = np.full(8760, 0.5)
    year[DAY : DAY + 24] = 0.3 + 0.01 * np.arange(24)
    year[24 * 200 + 12] = 0.05
    year[24 * 300 + 19] = 1.0
    (tmp_path / "year.csv").write_text("\n".join(map(repr, year.tolist())) + "\n\n")
    (tmp_path / "feeder.dss").write_text(FEEDER)
    rows = [f"{h},0.8,{0.9 if 8 < h < 16 else 0.0},0.25" for h in range(24)]
    (tmp_path / "profiles.csv").write_text("hour,load_pu,pv_pu,load_pu:school\n" + "\n".join(rows) + "\n")
    return tmp_path


def study(folder, profiles="", day=None):
    text = f'[feeder]\nmaster = "feeder.dss"\n[profiles]\n{profiles}\n[pv]\nbuses = ["b"]\n'
    (folder / "study.toml").write_text(text)
    return Workbench.open(load_case(folder, day=day))


def test_a_date_is_a_day_of_the_yearly_shape(folder):
    """800 kW at 0.3 + 0.01 h, the school by its own column: 600 kW at 0.25."""
    found = study(folder, day="2025-05-04").bare("free").found
    assert found.load_kw == pytest.approx(800 * (0.3 + 0.01 * np.arange(24)) + 150.0, abs=1e-3)
    assert found.load_kw == pytest.approx(study(folder, 'day = "05-04"').bare("free").found.load_kw)


@pytest.mark.parametrize("word, hour, kw", [("worst-light", 12, 40.0 + 150.0), ("worst-peak", 19, 800.0 + 150.0)])
def test_the_worst_day_of_a_year(folder, word, hour, kw):
    bench = study(folder, day=word)
    assert bench.bare("free").found.load_kw[hour] == pytest.approx(kw, abs=1e-3)
    assert word in bench.case.time_notes[-1]


def test_the_study_may_let_all_follow_the_file(folder):
    """loads = "file": 800 kW at 0.8; the school's column holds all the same."""
    found = study(folder, 'loads = "file"').bare("free").found
    assert found.load_kw == pytest.approx(np.full(24, 800 * 0.8 + 150.0), abs=1e-3)


@pytest.mark.parametrize("pattern", ["load.school", "SCHOOL", "sch*", "b"])
def test_a_column_names_a_load_its_class_a_wildcard_or_its_bus(folder, pattern):
    file = folder / "profiles.csv"
    file.write_text(file.read_text().replace("load_pu:school", f"load_pu:{pattern}"))
    bench = study(folder)
    assert bench.bare("free").found.load_kw[0] == pytest.approx(400.0 + 150.0, abs=1e-3)
    assert "1 follow a column of their own" in bench.case.time_notes[0]


def test_a_column_that_names_nothing_is_refused(folder):
    file = folder / "profiles.csv"
    file.write_text(file.read_text().replace("load_pu:school", "load_pu:scool"))
    with pytest.raises(ConfigError, match="scool") as refused:
        study(folder)
    assert "school" in refused.value.remedy


@pytest.mark.parametrize("day", ["2025-02-29", "2025-13-01", "tomorrow"])
def test_a_day_that_is_none_is_refused(folder, day):
    with pytest.raises(ConfigError, match=r"--day"):
        study(folder, day=day)


def test_a_site_may_have_a_sun_of_its_own(folder):
    rows = [f"{h},0.8,{0.9 if 8 < h < 16 else 0.0},{0.3 if h == 12 else 0.0}" for h in range(24)]
    (folder / "profiles.csv").write_text("hour,load_pu,pv_pu,pv_pu:b\n" + "\n".join(rows) + "\n")
    bench = study(folder)
    assert bench.profiles.sun(("b.1", "a.1"))[[9, 12]].tolist() == [[0.0, 0.9], [0.3, 0.9]]
    found = bench.baseline("uniform")
    assert found.limit is None or found.limit["time"] == "12:00"


@pytest.mark.parametrize("minutes", [1, 5, 15, 60])
def test_timestamps_rounded_hours_and_european_numbers(tmp_path, minutes):
    steps = 24 * 60 // minutes
    at = np.arange(steps) * minutes
    stamps = "\n".join(f"2025-05-04 {m // 60:02d}:{m % 60:02d},0.5,0.25" for m in at.tolist())
    rounded = "\n".join(f"{m / 60:.3f},0.5,0.25" for m in at.tolist())
    european = "\n".join(f"{m / 60:.3f};0,5;0,25".replace(".", ",", 1) for m in at.tolist())
    for head, rows in (
        ("time,load_pu,pv_pu", stamps),
        ("hour,load_pu,pv_pu", rounded),
        ("hour;load_pu;pv_pu", european),
    ):
        file = tmp_path / "profiles.csv"
        file.write_text(f"{head}\n{rows}\n")
        found = read_profile_file(file).profiles
        assert (len(found), found.step_h) == (steps, pytest.approx(minutes / 60))
        assert found.load_pu[0] == 0.5 and found.pv_pu[-1] == 0.25


@pytest.mark.parametrize("given", ["mult=(file=values.csv)", "csvfile=values.csv", "dblfile=values.dbl"])
def test_values_kept_in_a_file_are_those_of_memory(tmp_path, given):
    """memorymapping leaves them in the file, where nobody can look them up: read into memory they are the same."""
    values = np.linspace(0.2, 1.0, 24)
    np.savetxt(tmp_path / "values.csv", values)
    values.tofile(tmp_path / "values.dbl")
    file = tmp_path / "m.dss"
    file.write_text(
        "clear\nnew circuit.c basekv=12.47 bus1=s\nnew line.l bus1=s bus2=b r1=0.1 x1=0.3 length=1\n"
        f"new loadshape.s npts=24 interval=1 memorymapping=yes {given}\n"
        "new load.a bus1=b kv=12.47 kw=500 kvar=100 daily=s\nset voltagebases=[12.47]\ncalcvoltagebases\n"
    )
    bench = Workbench.open(load_case(file))
    found = bench.bare("free").found
    # constant power loads: what they draw is the shape, less what the line loses; csv in single precision
    assert found.load_kw == pytest.approx(500.0 * values, rel=1e-6)
    assert any("memorymapping" in note for note in bench.circuit.notes)

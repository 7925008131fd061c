"""study.toml and profiles.csv: what is accepted; each fault names file, key or row, and the way out."""

import math

import numpy as np
import pytest

from hcsim.cases.against_feeder import site_nodes
from hcsim.cases.config.study import read_config
from hcsim.cases.profiles_csv import labels, read_profiles
from hcsim.errors import ConfigError
from optim.data.network import LoadLegs, Network

GOOD = """
title = "A feeder"
[limits]
v_min_pu = 0.95
v_max_pu = 1.05
[pv]
buses = [18, "29", "51.1.3"]
[bess]
energy_kwh = 6000
power_kw = 2250
units = 2
centralized_bus = 150
[assumptions]
curves = "ours: a bell"
"""


def write(folder, text):
    file = folder / "study.toml"
    file.write_text(text)
    return file


def fault(folder, text):
    with pytest.raises(ConfigError) as caught:
        read_config(write(folder, text))
    assert str(folder / "study.toml") in caught.value.message
    return str(caught.value)


def test_a_short_study_gets_the_paper_s_defaults(tmp_path):
    config = read_config(write(tmp_path, GOOD))
    assert config.pv.buses == ("18", "29", "51.1.3")
    assert config.bess.centralized_bus == "150"
    assert (config.bess.eta_charge, config.bess.soc_min, config.bess.soc_max) == (0.95, 0.05, 0.95)
    assert config.limits.to_limits().substation_min_kw == 0.0
    assert config.limits.to_limits().loading_max_pu is None
    assert config.solver.gap == 1e-3 and config.solver.time_limit_s == 3600.0


def test_a_limit_can_be_switched_off(tmp_path):
    config = read_config(write(tmp_path, '[limits]\nsubstation_min_kw = "off"\nv_min_pu = "off"\n'))
    limits = config.limits.to_limits()
    assert limits.substation_min_kw is None and limits.v_min_pu is None and limits.v_max_pu == 1.05


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[limits]\nv_mn_pu = 0.9\n", ["line 2", "'v_mn_pu'", "[limits]", "v_min_pu"]),
        ("[limts]\nv_min_pu = 0.9\n", ["line 1", "'limts'", "limits"]),
        ("[limits]\nv_min_pu = 95\n", ["line 2", "v_min_pu = 95", "percent", "0.95"]),
        ("[limits]\nv_max_pu = 2520.0\n", ["v_max_pu = 2520", "volts"]),
        ("[limits]\nv_min_pu = 1.06\n", ["[limits]", "below v_max_pu = 1.05"]),
        ('[limits]\nsubstation_min_kw = "0 kW"\n', ["'0 kW'", "bare number in kW"]),
        ("[solver]\ngap = 5\n", ["gap = 5", "percent", "0.05"]),
        ('[solver]\ngap = "0.1 %"\n', ["'0.1 %'", "bare number in a share of the claim"]),
        ('[certify]\ntime_limit_s = "1 h"\n', ["'1 h'", "bare number in seconds"]),
        ("[solver]\ntime_limit_min = 5\n", ["'time_limit_min'", "time_limit_s", "seconds, not minutes"]),
        ("[solver]\ntime_limit_s = -1\n", ["time_limit_s = -1", "more than 0"]),
        ("[solver]\ntime_limit_s = nan\n", ["time_limit_s = nan"]),
        ('[program]\nlinearization = "dc"\n', ["'dc'", "'lindist3flow'"]),
        ("[pv]\nbuses = []\n", ["buses", "[pv]", "at least one"]),
        ('[pv]\nbuses = "83"\n', ["buses", "list"]),
        ("[pv]\nbus = [1]\n", ["'bus'", "buses"]),
        ("[feeder]\nmaster = 3\n", ["master = 3", "[feeder]", "string"]),
        ("[limits\n", ["not valid TOML", "line 1"]),
        ("[feeder]\nmaster = Master.dss\n", ["not valid TOML", "quotes"]),
        ('limits = "none"\n', ["limits"]),
    ],
)
def test_a_wrong_key_unit_or_value_is_named(tmp_path, text, says):
    message = fault(tmp_path, text)
    for words in says:
        assert words in message, message
    assert "pydantic" not in message and "Traceback" not in message


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("energy_kwh = 6000", "energy_mwh = 6", ["'energy_mwh'", "energy_kwh", "kWh, not MWh", "is missing"]),
        ("energy_kwh = 6000", 'energy_kwh = "6 MWh"', ["'6 MWh'", "bare number in kWh"]),
        ("power_kw = 2250", "power_kw = 0", ["power_kw = 0", "more than 0"]),
        ("units = 2", "units = 2\nsoc_max = 95", ["soc_max = 95", "share, 0.95"]),
        ("units = 2", "units = 2\nsoc_min = 0.96", ["soc_min = 0.96 must be below soc_max = 0.95"]),
        ("units = 2", "units = 6", ["units = 6", "3 PV buses"]),
        ("units = 2", "units = 2.5", ["units = 2.5", "[bess]"]),
        ("units = 2", "units = 2\ncandidate_buses = [18]", ["units = 2", "1 candidate_buses"]),
    ],
)
def test_faults_of_the_storage_are_named(tmp_path, old, new, says):
    message = fault(tmp_path, GOOD.replace(old, new))
    for words in says:
        assert words in message, message


def test_all_faults_come_in_one_message_in_the_order_of_the_file(tmp_path):
    lines = fault(tmp_path, "[limits]\nv_mn_pu = 0.9\n[solver]\ngapp = 1\n[bess]\n").splitlines()
    assert len(lines) == 5, lines  # two unknown keys; energy_kwh, power_kw, centralized_bus missing
    assert "line 2" in lines[0] and "line 4" in lines[1] and "line 5" in lines[2]


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"study\.toml does not exist"):
        read_config(tmp_path / "study.toml")
    (tmp_path / "study.toml").write_bytes(b"title = '\xff\xfe'")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "study.toml")


# --- buses -------------------------------------------------------------------------------------------------


def feeder(*nodes):
    none = np.zeros(0)
    legs = LoadLegs(
        (), none.astype(int), none.astype(int), none, none, none, np.zeros((0, 3)), np.zeros((0, 3)), none, none
    )
    n = len(nodes)
    return Network("f", nodes, np.ones(n), np.full(n, -1), np.ones(n, bool), np.ones(n, complex), (), (), legs, (), ())


def test_sites_take_the_phases_that_exist_or_those_asked_for():
    network = feeder("29.1", "29.2", "29.3", "94.1")
    assert site_nodes(network, ("29", "94"), "x") == ("29.1", "29.2", "29.3", "94.1")
    assert site_nodes(network, ("29.1.3",), "x") == ("29.1", "29.3")


def test_every_bus_that_is_not_there_is_named_with_its_nearest():
    network = feeder("18.1", "sub_head.1", "sub_head.2")
    with pytest.raises(ConfigError) as caught:
        site_nodes(network, ("subhead", "18.3", "99"), "study.toml, [pv] buses")
    message = str(caught.value)
    assert "study.toml, [pv] buses" in message
    assert "'subhead' is not in the feeder. Nearest: sub_head" in message
    assert "bus 18 has phases 1, not 18.3" in message
    assert "'99'" in message


# --- profiles ----------------------------------------------------------------------------------------------


def day(edit=lambda rows: rows):
    rows = [[h, 0.5 + 0.01 * h, max(0.0, math.sin((h - 6) / 12 * math.pi))] for h in range(24)]
    return "hour,load_pu,pv_pu\n" + "\n".join(",".join(str(v) for v in row) for row in edit(rows)) + "\n"


def changed(row, column, value):
    def edit(rows):
        rows[row][column] = value
        return rows

    return edit


def test_a_day_is_read(tmp_path):
    file = tmp_path / "profiles.csv"
    file.write_text("# made by hand\n" + day())
    profiles = read_profiles(file)
    assert len(profiles) == 24 and profiles.step_h == 1.0
    assert profiles.times[0] == "00:00" and profiles.times[-1] == "23:00"
    assert profiles.load_pu[10] == pytest.approx(0.6)


def test_half_hours_and_several_days_are_labelled():
    assert labels(np.arange(48) / 2)[1] == "00:30"
    assert labels(np.arange(48.0))[24] == "day 2 00:00"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (day(lambda r: r[:23]), ["23 rows", "up to hour 22", "24 rows"]),
        (day(lambda r: [*r, [24, 0.5, 0]]), ["25 rows", "hour 24"]),
        (day(lambda r: r[:10] + r[11:]), ["gap between hour 9", "Hour 10 is missing"]),
        (day(changed(7, 1, "")), ["data row 8", "hour 7", "'load_pu'", "is empty"]),
        (day(changed(7, 1, "nan")), ["data row 8", "hour 7", "'load_pu'"]),
        (day(changed(7, 2, "n/a?")), ["data row 8", "'pv_pu'", "'n/a?'", "not a number"]),
        (day(changed(7, 0, "")), ["data row 8", "'hour'"]),
        (day(changed(5, 0, 3)), ["data row 6", "hour 3 comes after hour 4"]),
        (day(changed(12, 2, 1.2)), ["data row 13", "hour 12", "pv_pu = 1.2", "[0, 1]"]),
        (day(changed(3, 1, 2350)), ["hour 3", "load_pu = 2350", "not kW"]),
        (day(changed(3, 1, -1)), ["load_pu = -1"]),
        (day().replace("load_pu", "load_kw"), ["unknown column 'load_kw'", "load_pu"]),
        (day().replace("hour,load_pu", "hour,ev_mw"), ["column 'load_pu' is missing"]),
        (day(lambda r: [[h + 1, a, b] for h, a, b in r]), ["first row is hour 1", "start at 0"]),
        ("hour,load_pu,pv_pu\n0,1,0\n", ["1 data row"]),
        ("", ["cannot be read as CSV"]),
        (day().replace("\n", ",7\n").replace("pv_pu,7", "pv_pu"), ["more cells than the header"]),
    ],
)
def test_each_fault_of_a_profile_names_file_row_and_hour(tmp_path, text, says):
    file = tmp_path / "profiles.csv"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_profiles(file)
    assert str(file) in caught.value.message
    for words in says:
        assert words in str(caught.value), str(caught.value)


def test_a_profile_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"profiles\.csv does not exist"):
        read_profiles(tmp_path / "profiles.csv")

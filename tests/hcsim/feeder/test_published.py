"""Feeders as people publish them: what is mended with a note, what is named, zones, and sites where the load hangs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plain_feeder import PlainDay, largest_kw, profile, pv
from typer.testing import CliRunner

from hcsim.cases.case import load_case
from hcsim.cases.defaults import default_profiles_file
from hcsim.cli.app import app
from hcsim.errors import ConfigError, FeederError
from hcsim.feeder.check import check_feeder
from hcsim.feeder.model import FeederModel
from hcsim.feeder.read import read_network
from hcsim.feeder.sites import candidate_buses
from hcsim.hosting.system_wide import hosting_capacity
from hcsim.hosting.weights import PvShares
from hcsim.opendss.circuit import Circuit
from hcsim.opendss.repairs import mend
from hcsim.workbench.allocation import Workbench
from optim.hosting.search import solve_hosting

LOAD_PU, PV_PU = profile(default_profiles_file())
HEAD = "clear\nnew circuit.c basekv=12.47 pu=1.02 phases=3 bus1=src mvasc3=300 mvasc1=250\n"
LINE = "new line.l1 bus1=src bus2=a length=2 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2\n"
LOAD = "new load.b bus1=a phases=3 kv=12.47 kw=300 pf=.95\n"
BASES = "set voltagebases=[12.47 0.48]\ncalcvoltagebases\n"


def checked(text, folder):
    file = Path(folder) / "master.dss"
    file.write_text(text)
    return check_feeder(file)


def said(found):
    return " ".join(found.notes)


# -- read, with a note -----------------------------------------------------------------------------------


def test_meters_that_repeat_a_name_or_watch_nothing_are_left_out(tmp_path):
    meters = (
        "new monitor.m element=line.l1 terminal=1 mode=1\n"
        "new monitor.m element=line.l1 terminal=2\n~ mode=0\n"
        "new monitor.gone element=line.notthere terminal=1\n"
        "new energymeter.e element=line.l1 terminal=1\nnew energymeter.e element=line.l1\n"
        "new monitor.far element=line.l1 terminal=7\n"
    )
    found = checked(HEAD + LINE + LOAD + meters + BASES, tmp_path)
    assert found.sound
    for name in ("monitor.m", "monitor.gone", "energymeter.e", "monitor.far"):
        assert name in said(found).lower()
    assert [r.element for r in found.ledger if r.kind in ("Monitor", "EnergyMeter")] == ["EnergyMeter.e", "Monitor.m"][
        ::-1
    ]


def test_a_load_defined_twice_is_still_refused(tmp_path):
    with pytest.raises(FeederError, match="Duplicate"):
        checked(HEAD + LINE + LOAD + LOAD + BASES, tmp_path)


def test_names_that_opendss_once_had(tmp_path):
    old = (
        "new xycurve.vv npts=4 xarray=(.9 .95 1.05 1.1) yarray=(1 0 0 -1)\n"
        "new pvsystem2.p bus1=a phases=3 kv=12.47 kva=100 pmpp=100 irradiance=1 kvarlimit=44 ! kvarlimit=9\n"
        "new invcontrol.i derlist=[pvsystem.p] mode=voltvar vvc_curve1=vv vv_refreactivepower=varaval_watts\n"
    )
    found = checked(HEAD + LINE + LOAD + old + BASES, tmp_path)
    assert found.sound
    assert "kvarlimit as kvarMax" in said(found) and "vv_refreactivepower as RefReactivePower" in said(found)
    circuit = Circuit.compile(tmp_path / "master.dss")
    assert float(circuit.command("? pvsystem.p.kvarmax")) == 44.0


def test_what_is_no_meter_is_not_mended(tmp_path):
    copy = tmp_path / "copy.dss"
    copy.write_text("new circuit.c\nnew load.x bus1=nowhere\n")
    message = f'Load.x is wrong; [file: "{copy}", line: 2]'
    assert mend(message, {str(copy): "/original.dss"}) == ""
    assert copy.read_text() == "new circuit.c\nnew load.x bus1=nowhere\n"


def test_bases_stand_before_the_first_solution(tmp_path, monkeypatch):
    service = "new transformer.t phases=3 windings=2 buses=(a b) kvs=(12.47 0.48) kvas=(500 500)\n"
    text = HEAD + LINE + service + LOAD.replace("bus1=a", "bus1=b").replace("kv=12.47", "kv=0.48")
    seen = []
    own = Circuit.bus_base_v

    def noted(circuit):
        seen.append((circuit._circuit.Solution.Iterations, max(own(circuit).values())))
        return own(circuit)

    monkeypatch.setattr(Circuit, "bus_base_v", noted)
    found = checked(text, tmp_path)
    assert found.sound and "set from source and windings (12.47, 0.48 kV)" in said(found)
    assert seen[0][1] == 0.0 and seen[1][1] > 0.0
    b = found.network.node_index["b.1"]
    assert found.network.v_base_v[b] == pytest.approx(480 / 3**0.5)


@pytest.mark.parametrize(
    "body", ["", LINE, LOAD.replace("bus1=a", "bus1=src")], ids=["nothing", "no load", "no branch"]
)
def test_feeders_without_any_load_or_branch(tmp_path, body):
    found = checked(HEAD + body + BASES, tmp_path)
    assert found.gate.passed
    json.dumps(found.to_json(), allow_nan=False)


def test_no_nan_in_json(tmp_path):
    (tmp_path / "master.dss").write_text(HEAD + LINE + LOAD + "new line.loose bus1=x bus2=y\n" + BASES)
    out = CliRunner().invoke(app, ["check", str(tmp_path / "master.dss"), "--json"])
    json.loads(out.stdout, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


# -- named ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option, words",
    [
        ("set loadmodel=admittance", "loadmodel=admittance"),
        ("set loadmodel=a", "loadmodel=admittance"),
        ("set frequency=50", "50 Hz after the circuit"),
        ("set defaultbasefrequency=50", "50 Hz after the circuit"),
    ],
)
def test_options_that_leave_no_base_case_are_named(tmp_path, option, words):
    with pytest.raises(FeederError, match=words) as caught:
        checked(HEAD + LINE + LOAD + BASES + option + "\n", tmp_path)
    assert caught.value.remedy


# -- zones ------------------------------------------------------------------------------------------------

TWO_FEEDERS = """
clear
new circuit.zz basekv=69 pu=1.02 phases=3 bus1=hv mvasc3=3000 mvasc1=2500
new transformer.sub phases=3 windings=2 buses=(hv bar) conns=(delta wye) kvs=(69 12.47) kvas=(10000 10000) xhl=8
new line.f1 bus1={f1} length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 normamps=300
new line.f1b bus1=a1 bus2=a2 length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 normamps=300
new line.f1c bus1=a2 bus2=a3 length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 normamps=300
new line.f2 bus1=bar bus2=c1 length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 normamps=300
new line.f2b bus1=c1 bus2=c2 length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 normamps=300
new load.a bus1=a2 phases=3 kv=12.47 kw=800 pf=.95
new load.a3 bus1=a3 phases=3 kv=12.47 kw=200 pf=.95
new load.c bus1=c2 phases=3 kv=12.47 kw=3000 pf=.95
new energymeter.m1 element=line.f1 terminal={terminal}
new energymeter.m2 element=line.f2 terminal=1
set voltagebases=[69 12.47]
calcvoltagebases
"""


def zone_case(folder, f1, terminal, zone="m1", sites=("a3",)):
    (folder / "master.dss").write_text(TWO_FEEDERS.format(f1=f1, terminal=terminal))
    (folder / "profiles.csv").write_text(default_profiles_file().read_text())
    (folder / "study.toml").write_text(
        f'title = "t"\n[feeder]\nmaster = "master.dss"\nzone = "{zone}"\n[profiles]\nfile = "profiles.csv"\n'
        f"[limits]\nsubstation_min_kw = 0.0\n[pv]\nbuses = {json.dumps(list(sites))}\n"
    )
    return load_case(folder)


@pytest.mark.parametrize("f1, terminal", [("bar bus2=a1", 1), ("a1 bus2=bar", 2)], ids=["as built", "turned round"])
def test_a_study_of_one_zone_judges_reverse_flow_at_its_head(tmp_path, f1, terminal):
    bench = Workbench.open(zone_case(tmp_path, f1, terminal))
    network = bench.network
    assert network.zone == "m1" and network.head_phases == ("bar.1", "bar.2", "bar.3")
    judged = {name.rsplit(".", 1)[0] for name, yes in zip(network.nodes, network.v_judged, strict=True) if yes}
    assert judged == {"a1", "a2", "a3"}
    day = PlainDay(tmp_path / "master.dss", LOAD_PU, PV_PU)

    def passes(kw):
        """Power into the first feeder at its head: what its loads and lines take less what its PV gives."""
        for volts, _, amps in day.run([pv("p", "a3", 3, 12.47, kw)]):
            near = volts["bar.1"]
            far = volts["a1.1"]
            z = complex(0.3, 0.4) + (complex(0.6, 1.2) - complex(0.3, 0.4)) * 0  # balanced: positive sequence
            if (near * np.conj((near - far) / z)).real / 1e3 < -0.05 or max(amps["line.f1c"]) > 300:
                return False
        return True

    right_kw = largest_kw(passes, 2.0, 6000.0)
    model = FeederModel(bench.circuit, network, bench.profiles, replace(bench.limits, v_max_pu=None, v_min_pu=None))
    shares = PvShares(bench.pv_nodes, np.ones(len(bench.pv_nodes)))
    # the hand's current leaves out the line's own charging, 0.1 kvar
    assert hosting_capacity(model, shares, tolerance_kw=0.5).hc_kw == pytest.approx(right_kw, abs=4.0)
    problem = replace(bench.problem("none"), limits=model.limits)
    assert solve_hosting(problem, "none", bench.solve_options()).pv_kw.sum() == pytest.approx(right_kw, rel=0.01)


def test_a_zone_or_site_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FeederError, match="no EnergyMeter 'm7'") as caught:
        Workbench.open(zone_case(tmp_path, "bar bus2=a1", 1, zone="m7"))
    assert "m1, m2" in caught.value.remedy
    with pytest.raises(ConfigError, match="bus c2 lies outside of the zone of EnergyMeter m1"):
        Workbench.open(zone_case(tmp_path, "bar bus2=a1", 1, sites=("c2",))).check_sites()


# -- sites by rule ------------------------------------------------------------------------------------------


def low_voltage_network(customers, *, medium=1):
    text = ["clear", "new circuit.lv basekv=11 phases=3 bus1=src mvasc3=200 mvasc1=200"]
    for m in range(medium):
        text.append(f"new line.m{m} bus1={f'm{m - 1}' if m else 'src'} bus2=m{m} length=0.1 units=km r1=0.3 x1=0.3")
    text.append(
        f"new transformer.t phases=3 windings=2 buses=(m{medium - 1} k0) conns=(delta wye) kvs=(11 0.4) xhl=4 "
        "kvas=(400 400)"
    )
    for c in range(1, customers + 1):
        text.append(f"new line.k{c} bus1=k{c - 1} bus2=k{c} length=0.02 units=km r1=0.3 x1=0.1 r0=0.6 x0=0.2")
        text.append(
            f"new line.s{c} bus1=k{c}.{c % 3 + 1} bus2=h{c}.{c % 3 + 1} phases=1 length=0.01 units=km r1=0.5 x1=0.1"
        )
        if c % 4:
            text.append(f"new load.h{c} bus1=h{c}.{c % 3 + 1} phases=1 kv=0.23 kw=2 pf=.95")
        else:
            text.append(f"new load.h{c} bus1=k{c} phases=3 kv=0.4 kw=6 pf=.95")
    return "\n".join([*text, "set voltagebases=[11 0.4]", "calcvoltagebases", ""])


@pytest.mark.parametrize("medium", [1, 6])
def test_sites_of_a_low_voltage_network_stand_where_its_load_hangs(tmp_path, medium):
    (tmp_path / "master.dss").write_text(low_voltage_network(24, medium=medium))
    circuit = Circuit.compile(tmp_path / "master.dss")
    network, _ = read_network(circuit)
    loaded = {network.nodes[n].rsplit(".", 1)[0] for n in network.loads.node_plus}
    found = candidate_buses(network)
    assert set(found) <= loaded and len(found) == 6  # the three-phase ones of them
    assert "src" not in found


def test_sites_stand_at_medium_voltage_where_a_transformer_serves_a_handful(tmp_path):
    (tmp_path / "master.dss").write_text(low_voltage_network(4, medium=6))
    circuit = Circuit.compile(tmp_path / "master.dss")
    assert set(candidate_buses(read_network(circuit)[0])) == {f"m{k}" for k in range(6)}

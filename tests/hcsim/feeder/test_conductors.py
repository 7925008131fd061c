"""Where customers stand between conductors, so do devices and the judged voltage; every source counts; a rating that
OpenDSS makes up limits nothing. The right values are plain OpenDSS's, obtained here."""

import random
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from conductor_feeders import FIELD, LOAD_PU, ONLY_VOLTAGE, PV_PU, against, bench_of, capacity, opened, real
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from plain_feeder import PlainDay, largest_kw, pv

from hcsim.cases.case import load_case
from hcsim.feeder.gate import check_gate, linearization_errors
from hcsim.workbench.allocation import Workbench
from optim.data.limits import Limits
from optim.linearize.lindist3flow_matrices import matrices

FOUR_WIRE = """
clear
set defaultbasefrequency=50
new circuit.lv basekv=11 pu=1.0 phases=3 bus1=src mvasc3=200 mvasc1=200 basefreq=50
new transformer.t phases=3 windings=2 buses=(src sub.1.2.3.4) conns=(delta wye) kvs=(11 0.4) kvas=(250 250) xhl=4
new reactor.e phases=1 bus1=sub.4 bus2=sub.0 r=0.01 x=0
new linecode.c4 nphases=4 basefreq=50 units=km rmatrix=(0.32|0.05 0.32|0.05 0.05 0.32|0.05 0.05 0.05 0.32)
~ xmatrix=(0.7|0.6 0.7|0.6 0.6 0.7|0.6 0.6 0.6 0.7) cmatrix=(0|0 0|0 0 0|0 0 0 0) normamps=200
new line.l1 bus1=sub.1.2.3.4 bus2=mid.1.2.3.4 phases=4 linecode=c4 length=0.2 units=km
new line.l2 bus1=mid.1.2.3.4 bus2=far.1.2.3.4 phases=4 linecode=c4 length=0.2 units=km
new load.h1 bus1=far.1.4 phases=1 kv=0.23 kw=6 pf=0.95
new load.h2 bus1=far.2.4 phases=1 kv=0.23 kw=1 pf=0.95
new load.h3 bus1=mid.1.2.3.4 phases=3 kv=0.4 kw=9 pf=0.95
{more}
set voltagebases=[11 0.4]
calcvoltagebases
"""
CENTRE_TAP = """
clear
new circuit.ct basekv=12.47 pu=1.0 phases=3 bus1=src mvasc3=300 mvasc1=250
new line.l1 bus1=src bus2=a length=2 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2
new transformer.t phases=1 windings=3 xhl=2.04 xht=2.04 xlt=1.36 %rs=(0.6 1.2 1.2)
~ buses=(a.1 x.1.{n} x.{n}.2) kvs=(7.2 0.12 0.12) kvas=(25 25 25)
{earth}
new linecode.tri nphases={k} units=km {z}
new line.s bus1=x.1.2{nn} bus2=c.1.2{nn} phases={k} linecode=tri length=0.05 units=km
{loads}
set voltagebases=[12.47 0.208]
calcvoltagebases
"""
TWO = "rmatrix=(0.8|0.2 0.8) xmatrix=(0.4|0.2 0.4) cmatrix=(0|0 0)"
THREE = "rmatrix=(0.8|0.05 0.8|0.05 0.05 0.8) xmatrix=(0.4|0.2 0.4|0.2 0.2 0.4) cmatrix=(0|0 0|0 0 0)"
SWER = """
clear
set defaultbasefrequency=50
new circuit.swer basekv=22 pu=1.0 phases=3 bus1=src mvasc3=100 mvasc1=80 basefreq=50
new line.mv bus1=src bus2=iso length=10 units=km r1=0.6 x1=0.4 r0=0.8 x0=1.2 basefreq=50
new transformer.iso phases=1 windings=2 buses=(iso.1.2 w.1.4) conns=(wye wye) kvs=(22 12.7) kvas=(100 100) xhl=4
new reactor.e1 phases=1 bus1=w.4 bus2=w.0 r=1 x=0
new line.wire phases=1 bus1=w.1 bus2=end.1 length=20 units=km r1=1.2 x1=0.8 r0=1.2 x0=0.8 c1=0 c0=0 basefreq=50
new transformer.d phases=1 windings=2 buses=(end.1.4 lv.1.4) conns=(wye wye) kvs=(12.7 0.24) kvas=(25 25) xhl=4
new reactor.e2 phases=1 bus1=end.4 bus2=end.0 r=3 x=0
new reactor.e3 phases=1 bus1=lv.4 bus2=lv.0 r=20 x=0
new load.farm bus1=lv.1.4 phases=1 kv=0.24 kw=8 pf=0.9
set voltagebases=[22 0.4157]
calcvoltagebases
"""


# -- four wires ----------------------------------------------------------------------------------------


@real
def test_four_wire_low_voltage_is_judged_from_phase_to_neutral(tmp_path):
    master = FIELD / "04-four-wire" / "master.dss"
    base_v = 400 / 3**0.5
    day = PlainDay(master, LOAD_PU, PV_PU)

    def worst_pu(kw):
        """Largest and least phase-to-neutral voltage of the low-voltage buses over the day, with where."""
        found = []
        for volts, _, _ in day.run([pv("p", "far.1.4", 1, 0.230940107675850, kw)] if kw else []):
            found += [
                (abs(volts[f"{b}.{k}"] - volts[f"{b}.4"]) / base_v, f"{b}.{k}")
                for b in ("sub", "far")
                for k in (1, 2, 3)
            ]
        return max(found), min(found)

    right_kw = largest_kw(lambda kw: worst_pu(kw)[0][0] <= 1.05 and worst_pu(kw)[1][0] >= 0.95, 0.1, 40.0)
    assert worst_pu(right_kw + 0.2)[0][1] == "far.1"  # overvoltage, phase 1
    bench = bench_of(master, ["far.1"], tmp_path)
    found = capacity(bench, ONLY_VOLTAGE, 0.02)
    assert found.hc_kw == pytest.approx(right_kw, abs=0.15)
    assert (found.limit["criterion"], found.limit["element"], found.limit["phase"]) == ("overvoltage", "far", "1")
    # the program's rows: the tangent at the bare feeder's hours, off by the curvature of a fivefold back flow
    slopes = bench.linear_model
    p_kw = np.outer(PV_PU * right_kw, [port == "far.1" for port in slopes.ports])
    every = slopes.voltages_pu(p_kw, np.zeros_like(p_kw))[:, [slopes.nodes.index(f"far.{k}") for k in (1, 2, 3)]]
    seen = [
        [abs(v[f"far.{k}"] - v["far.4"]) / base_v for k in (1, 2, 3)]
        for v, _, _ in day.run([pv("p", "far.1.4", 1, 0.23, right_kw)])
    ]
    assert every == pytest.approx(np.array(seen), abs=7e-3)


def test_devices_and_voltages_stand_between_phase_and_neutral_at_every_bus_of_a_four_wire_feeder(tmp_path):
    _, circuit, network, ledger = opened(FOUR_WIRE.format(more=""), tmp_path)
    for bus in ("sub", "mid", "far"):
        for k in (1, 2, 3):
            assert against(network, f"{bus}.{k}") == (f"{bus}.4", pytest.approx(400 / 3**0.5), True)
    assert against(network, "src.1")[0] == "ground"
    assert not network.v_judged[network.node_index["far.4"]]
    assert check_gate(circuit, network, ledger).passed
    # the neutral carries the unbalance: to ground these voltages are others
    n, m = network.node_index["far.1"], network.node_index["far.4"]
    v = network.v_solved_v
    assert abs(v[m]) > 3.0
    assert network.judged_v_pu(v)[n] == pytest.approx(abs(v[n] - v[m]) / (400 / 3**0.5), rel=1e-12)


@pytest.mark.parametrize(
    "electrodes, most_pu",
    [("", 2e-3), ("new reactor.g phases=1 bus1=far.4 bus2=far.0 r=0.05 x=0", 4e-3)],
    ids=["earthed at the transformer", "earthed at both ends"],
)
def test_lindist3flow_has_the_drop_of_the_neutral(tmp_path, electrodes, most_pu):
    """The loop of phase and neutral; a neutral earthed at both ends is taken for earth. What it leaves of OpenDSS's
    voltages is its own linearity; without the neutral's own drop it would be 0.013 pu."""
    _, _, network, _ = opened(FOUR_WIRE.format(more=electrodes), tmp_path)
    errors = linearization_errors(network)
    assert errors.lindist3flow_dv_max_pu < most_pu
    assert errors.tangent_dv_max_pu < 1e-9
    loop = matrices(network)
    z = 0.32 + 0.7j - 2 * (0.05 + 0.6j) + 0.32 + 0.7j  # phase, mutual twice, neutral: by hand, ohm per km
    row = loop.nodes.index("mid.1")
    if not electrodes:
        assert loop.d_r[row, row] == pytest.approx(z.real * 0.2 * 1e6 / (400**2 / 3), rel=1e-9)
        assert loop.d_x[row, row] == pytest.approx(z.imag * 0.2 * 1e6 / (400**2 / 3), rel=1e-9)


def test_a_load_to_ground_at_a_bus_with_a_neutral_is_judged_to_ground(tmp_path):
    more = "new load.h4 bus1=mid.1 phases=1 kv=0.23 kw=8 pf=1\nnew load.h5 bus1=mid.2 phases=1 kv=0.23 kw=8 pf=1"
    _, _, network, _ = opened(FOUR_WIRE.format(more=more), tmp_path)
    assert against(network, "mid.1")[0] == "ground"
    assert against(network, "mid.3")[0] == "mid.4"
    assert against(network, "far.1")[0] == "far.4"


def test_the_loose_star_point_of_a_load_is_no_neutral(tmp_path):
    more = "new line.mv bus1=src bus2=m length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 basefreq=50\n"
    more += "new load.star bus1=m.1.2.3.7 phases=3 conn=wye kv=11 kw=300 pf=1 model=2"
    _, _, network, _ = opened(FOUR_WIRE.format(more=more), tmp_path)
    assert against(network, "m.1")[0] == "ground"


# -- legs ----------------------------------------------------------------------------------------------


def centre_tap(loads, *, neutral=False):
    if neutral:
        earth = "new reactor.e phases=1 bus1=x.3 bus2=x.0 r=1 x=0"
        return CENTRE_TAP.format(n=3, nn=".3", k=3, z=THREE, earth=earth, loads=loads)
    return CENTRE_TAP.format(n=0, nn="", k=2, z=TWO, earth="", loads=loads)


def test_between_the_legs_where_the_loads_are(tmp_path):
    _, circuit, network, ledger = opened(centre_tap("new load.h bus1=c.1.2 phases=1 kv=0.24 kw=5 pf=0.95"), tmp_path)
    assert against(network, "c.1") == ("c.2", pytest.approx(240.0, rel=1e-3), True)
    assert network.standing_places("c") == (network.node_index["c.1"],)
    assert check_gate(circuit, network, ledger).passed


def test_leg_to_ground_where_the_loads_are(tmp_path):
    loads = "new load.h bus1=c.1.0 phases=1 kv=0.12 kw=3 pf=0.95\nnew load.i bus1=c.2.0 phases=1 kv=0.12 kw=1 pf=0.95"
    _, _, network, _ = opened(centre_tap(loads), tmp_path)
    assert against(network, "c.1") == ("ground", pytest.approx(120.0, rel=1e-3), True)
    assert len(network.standing_places("c")) == 2


def test_leg_to_an_explicit_neutral(tmp_path):
    loads = "new load.h bus1=c.1.3 phases=1 kv=0.12 kw=3 pf=0.95\nnew load.i bus1=c.2.3 phases=1 kv=0.12 kw=1 pf=0.95"
    _, circuit, network, ledger = opened(centre_tap(loads, neutral=True), tmp_path)
    assert against(network, "c.1") == ("c.3", pytest.approx(120.0, rel=1e-3), True)
    assert not network.v_judged[network.node_index["c.3"]]
    assert [network.nodes[n] for n in network.standing_places("c")] == ["c.1", "c.2"]
    assert check_gate(circuit, network, ledger).passed


def test_a_device_between_legs_does_what_plain_opendss_says(tmp_path):
    file, _, network, _ = opened(centre_tap("new load.h bus1=c.1.2 phases=1 kv=0.24 kw=5 pf=0.95"), tmp_path)
    day = PlainDay(file, LOAD_PU, PV_PU)

    def highest(kw):
        return max(abs(v["c.1"] - v["c.2"]) / 240.178 for v, _, _ in day.run([pv("p", "c.1.2", 1, 0.24, kw)]))

    base_v = float(network.v_judged_base_v[network.node_index["c.1"]])
    right_kw = largest_kw(lambda kw: highest(kw) * 240.178 / base_v <= 1.05, 0.1, 80.0)
    bench = bench_of(file, ["c"], tmp_path)
    assert bench.pv_nodes == ("c.1",)
    # the transformer's own rating is stated: voltages alone are looked at here
    assert capacity(bench, replace(ONLY_VOLTAGE, loading_max_pu=None), 0.02).hc_kw == pytest.approx(right_kw, abs=0.2)


def test_single_wire_earth_return_is_judged_against_its_electrode(tmp_path):
    file, circuit, network, ledger = opened(SWER, tmp_path)
    assert check_gate(circuit, network, ledger).passed
    assert against(network, "lv.1") == ("lv.4", pytest.approx(240.0, rel=1e-2), True)
    assert against(network, "end.1")[0] == "end.4"
    assert against(network, "end.1")[1] == pytest.approx(12.7e3, rel=1e-3)
    day = PlainDay(file, LOAD_PU, PV_PU)
    base_v = float(network.v_judged_base_v[network.node_index["lv.1"]])

    def passes(kw):
        seen = [v for v, _, _ in day.run([pv("p", "lv.1.4", 1, 0.24, kw)])]
        pairs = [("lv", base_v), ("end", 12701.7), ("w", 12701.7)]
        return all(abs(v[f"{b}.1"] - v[f"{b}.4"]) / base <= 1.002 for v in seen for b, base in pairs)

    bench = bench_of(file, ["lv"], tmp_path)
    limits = Limits(v_min_pu=None, v_max_pu=1.002, substation_min_kw=None)
    assert capacity(bench, limits, 0.02).hc_kw == pytest.approx(largest_kw(passes, 0.1, 100.0), abs=0.2)


# -- random feeders with neutrals -----------------------------------------------------------------------


def random_four_wire(chance):
    """A tree of four-wire lines behind a transformer, earthed once or often, loads from phase to neutral or on three
    phases; and a place for a device."""
    text = [
        "clear",
        "set defaultbasefrequency=50",
        f"new circuit.r basekv=11 pu={chance.uniform(0.98, 1.03):.3f} bus1=src mvasc3=200 mvasc1=180 basefreq=50",
        f"new transformer.t phases=3 windings=2 buses=(src b0.1.2.3.4) conns=({chance.choice(('delta', 'wye'))} wye) "
        "kvs=(11 0.4) kvas=(400 400) xhl=4",
        f"new reactor.e phases=1 bus1=b0.4 bus2=b0.0 r={chance.choice((0.001, 0.5, 5))} x=0",
    ]
    buses = chance.randint(2, 6)
    for b in range(1, buses):
        r, m, x = chance.uniform(0.2, 0.8), chance.uniform(0.0, 0.1), chance.uniform(0.3, 0.7)
        n = chance.uniform(1.0, 2.0)
        text.append(
            f"new line.l{b} bus1=b{chance.randrange(b)}.1.2.3.4 bus2=b{b}.1.2.3.4 phases=4 basefreq=50 units=km "
            f"length={chance.uniform(0.02, 0.15):.3f} "
            f"rmatrix=({r}|{m} {r}|{m} {m} {r}|{m} {m} {m} {r * n}) "
            f"xmatrix=({x}|{x / 2} {x}|{x / 2} {x / 2} {x}|{x / 2} {x / 2} {x / 2} {x}) "
            "cmatrix=(0|0 0|0 0 0|0 0 0 0)"
        )
        if chance.random() < 0.3:
            text.append(f"new reactor.e{b} phases=1 bus1=b{b}.4 bus2=b{b}.0 r={chance.choice((1, 10, 50))} x=0")
        for k in (1, 2, 3):
            if chance.random() < 0.7:
                text.append(
                    f"new load.h{b}{k} bus1=b{b}.{k}.4 phases=1 kv=0.23 kw={chance.uniform(0.5, 4):.2f} pf=0.95 "
                    f"model={chance.choice((1, 2, 5))} vminpu=0.5 vmaxpu=1.5"
                )
        if chance.random() < 0.3:
            text.append(f"new load.t{b} bus1=b{b}.1.2.3.4 phases=3 kv=0.4 kw=5 pf=0.9 vminpu=0.5 vmaxpu=1.5")
    text += ["set voltagebases=[11 0.4]", "calcvoltagebases"]
    return "\n".join(text), chance.randrange(1, buses), chance.randint(1, 3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**6))
@example(seed=19247)  # no load at all
def test_random_feeders_with_neutrals(seed):
    """Gate, judged voltages with and without a device, and the tangent's slope at it: against plain OpenDSS."""
    text, bus, phase = random_four_wire(random.Random(seed))
    with tempfile.TemporaryDirectory() as folder:
        file, circuit, network, ledger = opened(text, folder)
        assert check_gate(circuit, network, ledger).passed
        ones = np.ones(1)
        kw = 3.0

        def judged(devices):
            volts = PlainDay(file, ones, ones).run(devices)[0][0]
            return {n: abs(v - volts[f"{n[:-2]}.4"]) / (400 / 3**0.5) for n, v in volts.items() if n[0] == "b"}

        site = f"b{bus}.{phase}"
        before, after = judged([]), judged([pv("p", f"{site}.4", 1, 0.2309401076758503, kw)])
        ours = dict(zip(network.nodes, network.judged_v_pu(circuit.voltages_v()), strict=True))
        low = [n for n in network.nodes if n[0] == "b" and n[-1] in "123"]
        assert [ours[n] for n in low] == pytest.approx([before[n] for n in low], abs=1e-7)

        bench = bench_of(file, [site], folder)
        slopes = bench.linear_model
        predicted = dict(zip(slopes.nodes, slopes.dv_dp[-5, :, 0] * kw, strict=True))  # 19:00, nominal load
        for n in low:
            # the second order of 3 kW: a hundredth of its effect, or of the largest there is
            largest = max(abs(after[m] - before[m]) for m in low)
            assert predicted[n] == pytest.approx(after[n] - before[n], abs=0.05 * largest + 1e-5)


def test_a_feeder_without_any_load_has_a_linear_model(tmp_path):
    """Hypothesis found one: what is asked of every load is asked of none, and an empty list is no list of truths."""
    file = tmp_path / "m.dss"
    file.write_text(
        "clear\nnew circuit.c basekv=12.47 bus1=s\nnew line.l bus1=s bus2=b r1=0.1 x1=0.3 length=1\n"
        "set voltagebases=[12.47]\ncalcvoltagebases\n"
    )
    model = Workbench.open(load_case(file)).linear_model
    assert model.dv_dp.shape[:2] == (24, len(model.nodes)) and model.dv_dp.any()

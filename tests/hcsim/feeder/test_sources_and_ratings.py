"""Every source counts; a rating that OpenDSS makes up limits nothing; a fuse that blows is a limit of its own."""

import numpy as np
import pytest
from conductor_feeders import FIELD, LOAD_PU, PV_PU, bench_of, capacity, claimed_kw, opened, real
from plain_feeder import PlainDay, largest_kw, pv

from hcsim.cases.case import load_case
from hcsim.workbench.allocation import Workbench


@real
def test_reverse_flow_is_limited_at_every_source_and_no_site_stands_at_one(tmp_path):
    master = FIELD / "08-two-sources" / "master.dss"
    day = PlainDay(master, LOAD_PU, PV_PU)

    def passes(kw):
        runs = day.run([pv("p", "mid", 3, 12.47, kw)])
        return all((power.real >= -0.05).all() for _, sources, _ in runs for power in sources.values())

    right_kw = largest_kw(passes, 1.0, 8000.0)
    bench = Workbench.open(load_case(master))
    assert bench.pv.buses == ("mid",)
    found = capacity(bench, bench.limits, 0.5)
    assert found.hc_kw == pytest.approx(right_kw, abs=1.5)
    assert found.limit["criterion"] == "reverse_flow"
    assert bench.network.head_phases == ("srca.1", "srca.2", "srca.3", "srcb.1", "srcb.2", "srcb.3")
    assert claimed_kw(bench, bench.limits) == pytest.approx(right_kw, rel=1e-2)  # linear at the bare hours


@real
def test_a_rating_that_opendss_makes_up_limits_nothing(tmp_path):
    master = FIELD / "31-series-reactor" / "master.dss"
    day = PlainDay(master, LOAD_PU, PV_PU)

    def passes(kw):
        for volts, sources, amps in day.run([pv("p", "b", 3, 12.47, kw)]):
            v = np.array([abs(x) for x in volts.values()]) / (12470 / 3**0.5)
            lines = max(amps["line.l1"].max(), amps["line.l2"].max())
            if v.max() > 1.05 or v.min() < 0.95 or lines > 300 or sources["vsource.source"].real.min() < -0.05:
                return False
        return True

    right_kw = largest_kw(passes, 1.0, 8000.0)
    bench = bench_of(master, ["b"], tmp_path)
    assert capacity(bench, bench.limits, 0.5).hc_kw == pytest.approx(right_kw, abs=1.5)
    assert claimed_kw(bench, bench.limits) == pytest.approx(right_kw, rel=1e-2)  # linear at the bare hours
    row = next(r for r in bench.ledger if r.element == "Reactor.subimp")
    assert row.rating_made_up and "limits nothing" in row.reason


RATED = """
clear
new circuit.r basekv=12.47 bus1=s
new linecode.none nphases=3 r1=0.3 x1=0.4 units=km
new linecode.own nphases=3 r1=0.3 x1=0.4 units=km normamps=400
new wiredata.bare rac=0.3 runits=km gmrac=0.01 gmrunits=m radunits=m radius=0.01
new wiredata.rated rac=0.3 runits=km gmrac=0.01 gmrunits=m radunits=m radius=0.01 normamps=321
new linespacing.sp nconds=3 nphases=3 x=(-1 0 1) h=(10 10 10) units=m
new line.code_without bus1=s bus2=a linecode=none length=0.1 units=km
new line.code_with bus1=a bus2=b linecode=own length=0.1 units=km
new line.own_over_code bus1=b bus2=c linecode=none length=0.1 units=km normamps=400
new line.nothing bus1=c bus2=d length=0.1 r1=0.1 x1=0.1
new line.own bus1=d bus2=e length=0.1 r1=0.1 x1=0.1 normamps=400
new line.like_own like=own bus1=e bus2=f
new line.wires_without bus1=f bus2=g spacing=sp wires=(bare bare bare) length=0.1 units=km
new line.wires_with bus1=g bus2=h spacing=sp wires=(rated rated rated) length=0.1 units=km
new reactor.made_up bus1=h bus2=i r=0.01 x=0.1
new reactor.stated bus1=i bus2=j r=0.01 x=0.1 normamps=250
new transformer.made_up phases=3 windings=2 buses=(j k) kvs=(12.47 0.48)
new transformer.stated phases=3 windings=2 buses=(j l) kvs=(12.47 0.48) kvas=(1000 1000)
new load.l bus1=k kv=0.48 kw=10
new load.m bus1=l kv=0.48 kw=10
set voltagebases=[12.47 0.48]
calcvoltagebases
"""


def test_which_ratings_the_files_state(tmp_path):
    _, _, network, ledger = opened(RATED, tmp_path)
    rated = {b.name.lower() for b in network.branches if np.isfinite(b.i_rated_a)}
    assert rated == {
        "line.code_with",
        "line.own_over_code",
        "line.own",
        "line.like_own",
        "line.wires_with",
        "reactor.stated",
        "transformer.stated",
    }
    assert {network.branches[b].name.lower() for b, _ in network.judged_branches} == rated
    made_up = {row.element.lower() for row in ledger if row.rating_made_up}
    assert {"line.code_without", "line.nothing", "reactor.made_up", "transformer.made_up"} <= made_up


# -- protection --------------------------------------------------------------------------------------------


@real
def test_a_fuse_that_blows_is_a_limit_of_its_own():
    master = FIELD / "09-protection" / "master.dss"
    day = PlainDay(master, LOAD_PU, PV_PU)

    def passes(kw):
        """The fuse holds all day (behind one that has blown OpenDSS may find no solution), and nothing else breaks."""
        devices = [pv(f"p{bus}", bus, 3, 12.47, kw / 2) for bus in ("a", "b")]
        try:
            runs = day.run(devices)
        except AssertionError:
            return False
        return all(
            amps["line.l2"][:3].min() > 0.1 and min(power.real.min() for power in sources.values()) >= -0.05
            for _, sources, amps in runs
        )

    right_kw = largest_kw(passes, 1.0, 6000.0)
    bench = Workbench.open(load_case(master))
    assert sorted(bench.pv.buses) == ["a", "b"]
    found = capacity(bench, bench.limits, 0.5)
    assert found.hc_kw == pytest.approx(right_kw, abs=2.0)
    assert (found.limit["criterion"], found.limit["element"], found.limit["time"]) == ("protection", "Fuse.f", "12:00")
    assert found.limit["value"] == 1.0
    assert capacity(bench, bench.limits, 0.5).hc_kw == found.hc_kw  # the fuse is whole again

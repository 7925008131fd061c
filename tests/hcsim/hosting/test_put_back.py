"""Every size that is handed out survives being put back: by plain OpenDSS, in a process of its own, over the day."""

import os
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from put_back import PlainOpenDss

from hcsim.cases.case import load_case
from hcsim.hosting.hour_probe import FROZEN_ONLY
from hcsim.hosting.nodal import NodalJob, sites
from hcsim.hosting.open_feeder import FeederFiles
from hcsim.opendss.circuit import Circuit
from optim.data.limits import Limits
from optim.data.profiles import Profiles

FEEDERS = os.environ.get("HCSIM_FEEDERS")
DAY = load_case("ieee123").profiles


def rows_of(master, profiles=DAY, limits=None, kind="generation", pick=slice(None), most=2.0, buses=None):
    """Rows of a nodal study, and plain OpenDSS on the same feeder."""
    limits = limits or Limits.screening()
    plain = PlainOpenDss(master, profiles, limits, kind)
    files = FeederFiles(master, Circuit.compile(master).source_sha256)
    largest = most * float(plain.network.loads.p_kw.sum()) / 3.0
    job = NodalJob(files, profiles, limits, largest_kw_per_phase=largest)
    prober = job.prepare()
    live = [site for site in sites(plain.network, kind, buses) if site.nodes]
    return plain, [(site, row) for site in live[pick] for row in job.do(prober, site)[0]]


def put_back(plain, rows):
    """What fails of the rows' sizes; the smallest of a bus must break nothing at all."""
    asked = list(dict.fromkeys((site.nodes, row["hc_kw"]) for site, row in rows))
    broken = dict(zip(asked, plain.broken(asked), strict=True))
    failed = []
    for site, row in rows:
        found = broken[site.nodes, row["hc_kw"]]
        held = {k for k in found if not k.startswith("strict:")}
        assert row["verified"]
        mine = held if row["smallest"] else held & {row["criterion"], "convergence"}
        if mine and row["criterion"] not in FROZEN_ONLY:
            failed.append((site.bus, row["criterion"], row["hc_kw"], {k: found[k] for k in mine}))
        if row["verified_strict"] and f"strict:{row['criterion']}" in found:
            failed.append((site.bus, "strict", row["hc_kw"], found))
    return failed


def test_every_size_of_ieee123_holds_at_itself():
    """Every twelfth bus; all of them: `scripts/bench_simulation.py --only putback`."""
    plain, rows = rows_of(load_case("ieee123").master, pick=slice(3, None, 12))
    assert len(rows) > 60 and not put_back(plain, rows)


def test_sizes_of_ieee123_that_were_wrong():
    """Bus 90 (708 kW by unbalance, 372 by overvoltage), 96, 73 and 300: found hour by hour, they failed at themselves
    on the day as it is."""
    plain, rows = rows_of(load_case("ieee123").master, buses=["90", "96", "73", "300"])
    assert len(rows) == 4 * 8 and not put_back(plain, rows)


@pytest.mark.skipif(not FEEDERS, reason="HCSIM_FEEDERS names the folder of real feeders")
@pytest.mark.parametrize(
    ("master", "step"), [("13Bus/IEEE13Nodeckt.dss", 2), ("34Bus/ieee34Mod1.dss", 5), ("37Bus/ieee37.dss", 5)]
)
def test_sizes_of_real_feeders_hold_at_themselves(master, step):
    """All of them: `scripts/bench_simulation.py --only putback`."""
    plain, rows = rows_of(Path(str(FEEDERS)) / master, pick=slice(0, None, step))
    failed = put_back(plain, rows)
    # 2.5 MW and more behind the 500 kVA transformer of bus 890: plain OpenDSS iterates 100 times and gives up, ours
    # comes to rest after 77; a size that no engineer takes for an answer
    assert not [f for f in failed if not (f[0] == "890" and f[2] > 2000)]


def regulated_feeder(seed):
    """A random radial feeder with regulators that act, a capacitor that switches, one-phase laterals."""
    chance = random.Random(seed)
    lines = [
        "clear",
        f"new circuit.r basekv=12.47 pu={chance.uniform(0.98, 1.03):.3f} bus1=b0 mvasc3=300",
        "new linecode.c nphases=3 r1=0.4 x1=0.6 r0=0.8 x0=1.8 units=km normamps=300",
        "new linecode.s nphases=1 r1=0.8 x1=0.8 r0=0.8 x0=0.8 units=km normamps=150",
    ]
    buses = [("b0", (1, 2, 3))]
    for i in range(1, chance.randint(4, 9)):
        bus, phases = chance.choice(buses)
        new = f"b{i}"
        kind = chance.choice(("line", "line", "lateral", "regulator"))
        if kind == "regulator" and phases == (1, 2, 3):
            for p in phases:
                lines += [
                    f"new transformer.g{new}{p} phases=1 buses=[{bus}.{p} {new}.{p}] kvs=[7.2 7.2] kvas=[2000 2000] "
                    "xhl=1 %loadloss=0.01",
                    f"new regcontrol.g{new}{p} transformer=g{new}{p} winding=2 vreg={chance.choice((120, 121, 122))} "
                    f"band={chance.choice((2, 3))} ptratio=60 delay={chance.choice((15, 30))}",
                ]
        else:
            phases = (chance.choice(phases),) if kind == "lateral" else phases
            dots = "".join(f".{p}" for p in phases)
            code = "s" if len(phases) == 1 else "c"
            km = chance.uniform(0.5, 4)
            lines.append(f"new line.l{new} bus1={bus}{dots} bus2={new}{dots} linecode={code} length={km:.2f} units=km")
        buses.append((new, phases))
        for p in phases:
            kw = chance.uniform(20, 200)
            lines.append(f"new load.d{new}{p} phases=1 bus1={new}.{p} kv=7.2 kw={kw:.1f} pf=0.95 vminpu=0.8")
    if chance.random() < 0.5:
        bus = chance.choice([b for b, p in buses if p == (1, 2, 3)])
        lines.append(f"new capacitor.k bus1={bus} kvar=300 kv=12.47")
    lines += ["set voltagebases=[12.47]", "calcvoltagebases"]
    return "\n".join(lines) + "\n"


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 100_000), kind=st.sampled_from(["generation", "load"]))
def test_no_size_of_a_random_feeder_fails_at_itself(seed, kind):
    profiles = Profiles(
        tuple(f"{h:02d}:00" for h in range(0, 24, 3)),
        3.0,
        np.array([0.5, 0.4, 0.5, 0.7, 0.8, 0.7, 1.0, 0.8]),
        np.array([0.0, 0.0, 0.2, 0.7, 1.0, 0.6, 0.1, 0.0]),
    )
    with tempfile.TemporaryDirectory() as folder:
        master = Path(folder) / "Master.dss"
        master.write_text(regulated_feeder(seed), encoding="utf-8")
        limits = replace(Limits.screening(), v_min_pu=0.94)
        plain, rows = rows_of(master, profiles, limits, kind, most=3.0)
        assert not put_back(plain, rows)

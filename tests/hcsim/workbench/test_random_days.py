"""Random feeders with shapes, machines and controls of their own, hour by hour against plain OpenDSS."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from dss import DSSException
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from plain_opendss import Day

from hcsim.workbench.allocation import Workbench
from hcsim.workbench.gates import day_gates

KINDS = ["none", "daily", "qmult", "pmult", "useactual_q", "useactual_pf", "csv", "sng", "dbl", "pqcsv", "hours"]
KINDS += ["minterval", "sinterval", "mean", "yearly", "duty", "short"]
POINTS = {"minterval": 96, "sinterval": 48, "short": 7, "yearly": 240}


def define(kind: str, name: str, folder: Path, rng: np.random.Generator) -> tuple[str, str]:
    """The LoadShape's definition, and the property by which a load follows it."""
    n = POINTS.get(kind, 24)
    p, q = np.round(rng.uniform(0.2, 1.0, n), 4), np.round(rng.uniform(0.1, 0.9, n), 4)
    listed, of_q = " ".join(map(repr, p.tolist())), " ".join(map(repr, q.tolist()))
    file = folder / f"{name}.dat"
    head = f"new loadshape.{name} npts={n} interval=1"
    match kind:
        case "qmult":
            return f"{head} mult=({listed}) qmult=({of_q})", "daily"
        case "pmult":
            return f"{head} pmult=({listed}) qmult=({of_q})", "daily"
        case "useactual_q":
            kw, kvar = (" ".join(repr(200.0 * x) for x in values) for values in (p.tolist(), q.tolist()))
            return f"{head} useactual=yes mult=({kw}) qmult=({kvar})", "daily"
        case "useactual_pf":
            return f"{head} useactual=yes mult=({' '.join(repr(200.0 * x) for x in p.tolist())})", "daily"
        case "csv":
            file.write_text("\n".join(map(repr, p.tolist())) + "\n\n")
            return f"{head} csvfile={file.name}", "daily"
        case "sng":
            p.astype(np.float32).tofile(file)
            return f"{head} sngfile={file.name}", "daily"
        case "dbl":
            p.tofile(file)
            return f"{head} mult=(dblfile={file.name})", "daily"
        case "pqcsv":
            file.write_text("\n".join(f"{a!r}, {b!r}" for a, b in zip(p.tolist(), q.tolist(), strict=True)) + "\n\n")
            return f"{head} pqcsvfile={file.name}", "daily"
        case "hours":
            return f"new loadshape.{name} npts=5 interval=0 hour=(0 5.5 9 17 24) mult=(0.4 0.9 0.3 1 0.4)", "daily"
        case "minterval":
            return f"new loadshape.{name} npts=96 minterval=15 mult=({listed})", "daily"
        case "sinterval":
            return f"new loadshape.{name} npts=48 sinterval=1800 mult=({listed})", "daily"
        case "mean":
            return f"new loadshape.{name} mean=0.7 stddev=0.1", "daily"
        case "yearly" | "duty":
            return f"{head} mult=({listed})", kind
        case _:
            return f"{head} mult=({listed})", "daily"


@st.composite
def feeders(draw):
    return {
        "kinds": draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4)),
        "conn": draw(st.sampled_from(["wye", "delta"])),
        "model": draw(st.sampled_from([1, 2, 5])),
        "fixed": draw(st.booleans()),
        "pv": draw(st.sampled_from(["", "daily", "yearly", "bare"])),
        "storage": draw(st.sampled_from(["", "follow", "default", "peakshave", "time"])),
        "generator": draw(st.booleans()),
        "source": draw(st.booleans()),
        "regulator": draw(st.booleans()),
        "capacitor": draw(st.sampled_from(["", "time", "voltage"])),
        "invcontrol": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**16)),
    }


def write(told: dict, folder: Path) -> tuple[Path, list[str]]:
    """The files, and what plain OpenDSS has to be told to run the day that hcsim runs."""
    rng = np.random.default_rng(told["seed"])
    lines = ["Clear", "New Circuit.r basekv=12.47 pu=1.02 phases=3 bus1=b0 MVAsc3=300 MVAsc1=250"]
    commands: list[str] = []
    curve = " ".join(map(repr, np.round(rng.uniform(0.98, 1.03, 24), 4).tolist()))
    lines += [
        "new loadshape.sun0 npts=24 interval=1 mult=(0 0 0 0 0 0 .1 .3 .5 .7 .8 .9 1 .9 .8 .7 .5 .3 .1 0 0 0 0 0)"
    ]
    lines += [
        f"new loadshape.volts npts=24 interval=1 mult=({curve})",
        "new loadshape.swing npts=24 interval=1 mult=(-1 -1 -1 -1 0 0 0 0 1 1 .5 .5 0 0 -.5 -.5 0 0 1 1 1 0 0 0)",
    ]
    if told["source"]:
        lines += ["vsource.source.daily=volts"]
    before = "b0"
    if told["regulator"]:
        lines += [
            "new transformer.reg phases=3 windings=2 buses=(b0 r0) conns=(wye wye) kvs=(12.47 12.47) kvas=(5000 5000) "
            "xhl=1 %loadloss=0.01",
            "new regcontrol.reg transformer=reg winding=2 vreg=122 band=2 ptratio=60",
        ]
        before = "r0"
    for i, kind in enumerate(told["kinds"]):
        lines += [
            f"new line.l{i} bus1={before} bus2=b{i + 1} length={rng.uniform(0.5, 2):.3f} units=km r1=0.3 x1=0.4 "
            "r0=0.6 x0=1.2 normamps=300"
        ]
        before = f"b{i + 1}"
        follows = ""
        if kind != "none":
            text, by = define(kind, f"s{i}", folder, rng)
            lines += [text]
            follows = f"{by}=s{i}"
            if by != "daily":
                commands += [f"edit load.d{i} daily=s{i}"]
        status = "status=fixed" if told["fixed"] and i == 0 else ""
        lines += [
            f"new load.d{i} bus1={before} phases=3 kv=12.47 kw={rng.uniform(100, 500):.1f} pf=0.93 "
            f"conn={told['conn']} model={told['model']} vminpu=0.6 vmaxpu=1.4 {status} {follows}"
        ]
        if kind == "none":
            commands += [f"edit load.d{i} daily=plain_load"]
    if told["pv"]:
        by = {"daily": "daily=sun0", "yearly": "yearly=sun0"}.get(told["pv"], "")
        lines += [f"new pvsystem.own bus1={before} phases=3 kv=12.47 kva=300 pmpp=280 irradiance=1 {by}"]
        commands += {"bare": ["edit pvsystem.own daily=plain_sun"], "yearly": ["edit pvsystem.own daily=sun0"]}.get(
            told["pv"], []
        )
        if told["invcontrol"]:
            lines += [
                "new xycurve.vv npts=4 xarray=(0.5 0.95 1.05 1.5) yarray=(1 0.4 -0.4 -1)",
                "new invcontrol.own derlist=[pvsystem.own] mode=voltvar vvc_curve1=vv refreactivepower=varmax",
            ]
    storage = f"new storage.bat bus1={before} phases=3 kv=12.47 kva=150 kwrated=150 kwhrated=500 %stored=60"
    match told["storage"]:
        case "follow":
            lines += [f"{storage} dispmode=follow daily=swing"]
        case "default":
            lines += [f"{storage} dispmode=default chargetrigger=0.1 dischargetrigger=0.8 daily=sun0 timechargetrig=-1"]
        case "peakshave":
            lines += [
                f"{storage} dispmode=external",
                "new storagecontroller.sc element=line.l0 terminal=1 "
                "modedischarge=peakshave kwtarget=500 modecharge=time timechargetrigger=2 elementlist=[bat]",
            ]
            commands += ["edit storagecontroller.sc timechargetrigger=3"]
        case "time":
            lines += [
                f"{storage} dispmode=external",
                "new storagecontroller.sc element=line.l0 terminal=1 "
                "modedischarge=time timedischargetrigger=18 modecharge=time timechargetrigger=2 elementlist=[bat]",
            ]
            commands += ["edit storagecontroller.sc timechargetrigger=3 timedischargetrigger=19"]
    if told["generator"]:
        lines += [f"new generator.own bus1={before} phases=3 kv=12.47 kw=80 pf=0.98 daily=volts"]
    if told["capacitor"]:
        lines += [f"new capacitor.c bus1={before} phases=3 kv=12.47 kvar=200"]
        lines += {
            "time": ["new capcontrol.cc capacitor=c element=line.l0 terminal=1 type=time onsetting=9 offsetting=17"],
            "voltage": [
                "new capcontrol.cc capacitor=c element=line.l0 terminal=2 type=voltage ptratio=60 "
                "onsetting=119 offsetting=124"
            ],
        }[told["capacitor"]]
        if told["capacitor"] == "time":
            commands += ["edit capcontrol.cc onsetting=10 offsetting=18"]
    file = folder / "master.dss"
    file.write_text("\n".join([*lines, "Set voltagebases=[12.47]", "Calcvoltagebases"]) + "\n")
    return file, commands


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(feeders())
def test_the_bare_day_is_that_of_plain_opendss(told):
    with tempfile.TemporaryDirectory() as where:
        file, commands = write(told, Path(where))
        try:
            plain = Day(file, commands)
        except DSSException as fault:  # controls that hunt have no day to compare with
            assume(fault.args[0] != 485)
            raise
        bench = Workbench.open(file)
        found = bench.bare("free").found
        assert found.operation.substation_kw == pytest.approx(plain.source_kw, abs=2e-3)
        assert np.sort(found.operation.v_pu, axis=1) == pytest.approx(np.sort(plain.v_pu, axis=1), abs=1e-6)
        # what the programs stand on is each of these hours
        assert bench.linear_model.substation_base_kw == pytest.approx(plain.source_kw, abs=2e-3)
        gates = day_gates(bench.model, bench.case, year=False)
        assert gates.passed, gates.failures

"""Nodal studies of real feeders; they need HCSIM_FEEDERS."""

import os
from pathlib import Path

import numpy as np
import pytest

from hcsim.cases.case import load_case
from hcsim.feeder.model import FeederModel
from hcsim.feeder.read import read_network
from hcsim.hosting.hour_probe import Prober
from hcsim.hosting.nodal import WHOLE_DAY, NodalJob, Site
from hcsim.hosting.open_feeder import FeederFiles as Feeder
from hcsim.opendss.circuit import Circuit
from optim.data.limits import Limits

FEEDERS = os.environ.get("HCSIM_FEEDERS")
pytestmark = pytest.mark.skipif(not FEEDERS, reason="HCSIM_FEEDERS names the folder of real feeders")
DAY = load_case("ieee123").profiles


def study(master, bus, nodes):
    path = Path(str(FEEDERS)) / master
    circuit = Circuit.compile(path)
    circuit.solve(controls=False)
    network, _ = read_network(circuit)
    job = NodalJob(Feeder(path, circuit.source_sha256), DAY, Limits.screening())
    prober = Prober(FeederModel(circuit, network, DAY, job.limits))
    rows, _ = job.do(prober, Site("x", bus, nodes, "generation"))
    return prober, {row["criterion"]: row for row in rows}


def test_an_open_delta_regulator_is_judged_as_a_whole():
    """Per conductor its power has no sign that means anything: the winding lies between two phases."""
    prober, rows = study("37Bus/ieee37.dss", "730", ("730.1", "730.2", "730.3"))
    flow = next(i for i, c in enumerate(prober.criteria) if c.name == "regulator_reverse_flow")
    names = prober.reader.names(prober.criteria[flow])
    assert names and all(phase == "" for _, phase in names)
    noon = prober.base[12]
    load_kw = prober.network.loads.p_kw.sum() * DAY.load_pu[12]
    assert (noon.regulator_kw > 0).all()
    assert noon.regulator_kw.sum() == pytest.approx(load_kw, rel=0.06)  # all of the feeder's load, and its losses
    share = rows["regulator_reverse_flow"]["hc_kw"] * DAY.pv_pu.max()
    assert 0.5 * load_kw < share < 2 * load_kw


@pytest.mark.parametrize(
    ("master", "bus", "nodes"),
    [
        ("13Bus/IEEE13Nodeckt.dss", "671", ("671.1", "671.2", "671.3")),
        ("34Bus/ieee34Mod1.dss", "890", ("890.1", "890.2", "890.3")),
        ("ckt5/Master_ckt5.dss", "63638", ("63638.1", "63638.2", "63638.3")),
    ],
)
def test_what_is_found_passes_and_the_next_size_does_not(master, bus, nodes):
    """Every hour again at the capacity and one step above it, by another sequence of power flows."""
    prober, rows = study(master, bus, nodes)
    prober.place(nodes, "generation")
    for c, criterion in enumerate(prober.criteria):
        row = rows[criterion.name]
        assert row["verified"]
        if not row["status"].startswith("ok") or row["status"] == WHOLE_DAY:  # there the day is what fails
            continue
        found = []
        for kw in (row["hc_kw"], row["hc_kw"] + 1.0):
            prober.resize(np.full(3, kw / 3))
            verdicts = [prober.probe(int(t), prober.mode_of_criteria[c]) for t in prober.steps if DAY.pv_pu[t] > 0]
            found.append(max(v.excess[c] for v in verdicts))
        noise = 0.02 * criterion.tolerance(prober.limits)
        assert found[1] > -noise, criterion.name
        if "passes again" not in row["status"]:
            assert found[0] <= noise, criterion.name

"""Feeders of conductor tests opened, and what is asked of them."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plain_feeder import profile

from hcsim.cases.case import load_case
from hcsim.cases.defaults import SitesWanted, default_profiles_file
from hcsim.feeder.model import FeederModel
from hcsim.feeder.read import read_network
from hcsim.hosting.system_wide import hosting_capacity
from hcsim.hosting.weights import PvShares
from hcsim.opendss.circuit import Circuit
from hcsim.workbench.allocation import Workbench
from optim.data.limits import Limits
from optim.hosting.search import solve_hosting

FEEDERS = os.environ.get("HCSIM_FEEDERS")
real = pytest.mark.skipif(not FEEDERS, reason="HCSIM_FEEDERS is not set")
FIELD = Path(FEEDERS or ".") / "field"
LOAD_PU, PV_PU = profile(default_profiles_file())
ONLY_VOLTAGE = Limits(substation_min_kw=None)


def opened(text, folder):
    file = Path(folder) / "master.dss"
    file.write_text(text)
    circuit = Circuit.compile(file)
    circuit.solve(controls=False)
    return file, circuit, *read_network(circuit)


def against(network, node):
    n = network.node_index[node]
    m = int(network.v_reference[n])
    return (network.nodes[m] if m >= 0 else "ground"), float(network.v_judged_base_v[n]), bool(network.v_judged[n])


def bench_of(master, sites, folder):
    listed = Path(folder) / "sites.csv"
    listed.write_text("\n".join(sites))
    return Workbench.open(load_case(master, SitesWanted(file=listed)))


def capacity(bench, limits, tolerance_kw):
    model = FeederModel(bench.circuit, bench.network, bench.profiles, limits)
    shares = PvShares(bench.pv_nodes, np.ones(len(bench.pv_nodes)))
    return hosting_capacity(model, shares, tolerance_kw=tolerance_kw)


def claimed_kw(bench, limits):
    problem = replace(bench.problem("none"), limits=limits)
    return float(solve_hosting(problem, "none", bench.solve_options()).pv_kw.sum())

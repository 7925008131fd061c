"""Sites where no phase has a ground: devices stand between phases, as the loads there do."""

from pathlib import Path

import numpy as np
import pytest

from hcsim.feeder.model import FeederModel
from hcsim.feeder.read import read_network
from hcsim.hosting.hour_probe import Prober
from hcsim.hosting.stochastic import rooftops
from hcsim.opendss.circuit import Circuit
from optim.data.limits import Limits
from optim.data.profiles import Profiles

MASTER = Path(__file__).parents[2] / "cases" / "delta_delta.dss"
HOUR = Profiles(("12:00",), 1.0, np.array([1.0]), np.array([1.0]))
LIMITS = Limits(v_min_pu=0.8, v_max_pu=1.2, substation_min_kw=None)


@pytest.fixture
def prober():
    circuit = Circuit.compile(MASTER)
    return Prober(FeederModel(circuit, read_network(circuit)[0], HOUR, LIMITS))


def test_rooftops_of_the_size_of_their_loads_cancel_them(prober):
    """Loads without active power, in a circuit of its own: the same voltages, if PV stands where the loads do."""
    roofs = rooftops(prober.network, per_load=1.0, fixed_kw=None)
    assert roofs.nodes == ("b.1", "b.2") and roofs.customers == ("Load.ab", "Load.bc")
    sizes = roofs.sizes(np.arange(2), 80.0)
    prober.place(roofs.nodes, "generation")
    prober.resize(sizes)
    assert prober.probe(0, "frozen").sound
    found = prober.network.judged_v_pu(prober.circuit.voltages_v())
    plain = Circuit.compile(MASTER)
    for load, kvar in (("ab", 20), ("bc", 15)):
        plain.command(f"edit load.{load} kw=0 kvar={kvar}")
    plain.solve(controls=False)
    assert found == pytest.approx(prober.network.judged_v_pu(plain.voltages_v()), abs=1e-6)


def test_a_bus_gives_equal_power_to_its_three_pairs(prober):
    prober.place(("b.1", "b.2", "b.3"), "generation")
    prober.resize(np.full(3, 50.0))
    assert prober.probe(0, "frozen").sound
    sites = [e for e in prober.circuit.elements(["Load"]) if e.name.lower().startswith("load.hcsim_site")]
    assert [e.buses[0] for e in sites] == ["b.1.2", "b.2.3", "b.3.1"]
    for site in sites:
        assert prober.circuit.element_powers(site.name).real.sum() == pytest.approx(-50.0, abs=1e-3)

"""The one electrical distance, by hand: two levels of voltage, and two lines side by side."""

import pytest

from hcsim.feeder.read import read_network
from hcsim.feeder.topology import distance_graph, distances
from hcsim.hosting.stochastic import source_distance

pytestmark = pytest.mark.smoke  # the lowest scipy that is allowed is stricter about a graph

FEEDER = """
clear
new circuit.levels basekv=12.47 bus1=s
new line.l1 bus1=s bus2=a r1=1 x1=0 r0=1 x0=0 c1=0 c0=0 length=1
new transformer.t buses=[a b] kvs=[12.47 0.48] kvas=[1000 1000] conns=[wye wye] xhl=6 %loadloss=0 %noloadloss=0
new line.l2 bus1=b bus2=c r1=0.03 x1=0 r0=0.03 x0=0 c1=0 c0=0 length=1
new line.l3 bus1=b bus2=c r1=0.01 x1=0 r0=0.01 x0=0 c1=0 c0=0 length=1
new load.l bus1=c kv=0.48 kw=3 kvar=0
set voltagebases=[12.47 0.48]
calcvoltagebases
solve
"""


def test_ohms_count_by_the_voltage_they_stand_at(tmp_path):
    """|z| / (V^2 / 1 MVA) with V to ground: 1 ohm at 7.2 kV is a seventh of the 10 mohm at 277 V; of the two lines
    from b to c the stronger counts. The transformer: 6 % of 1 MVA over three phases, 0.18 of 1 MVA in each."""
    (tmp_path / "levels.dss").write_text(FEEDER)
    network, _ = read_network(tmp_path / "levels.dss")
    high, low = 12470**2 / 3, 480**2 / 3
    wanted = {"s": 0.0, "a": 1e6 / high, "b": 1e6 / high + 0.18, "c": 1e6 / high + 0.18 + 0.01e6 / low}
    found = distances(distance_graph(network), network.buses.index("s"))
    # 1e-4: lines have a little conductance of OpenDSS's own, windings a little of theirs
    assert dict(zip(network.buses, found, strict=True)) == pytest.approx(wanted, rel=1e-4)
    by_node = dict(zip(network.nodes, source_distance(network), strict=True))
    assert [by_node[f"{bus}.2"] for bus in "sabc"] == pytest.approx([wanted[bus] for bus in "sabc"], rel=1e-4)

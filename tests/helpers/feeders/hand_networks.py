"""Networks of tests/cases written down by hand, and the arithmetic that solves them."""

import numpy as np

from optim.data.network import Branch, LoadLegs, Network, Regulator

V_BASE_V = 12470 / np.sqrt(3)


def two_bus(load_kw=3000.0, load_kvar=900.0) -> Network:
    """tests/cases/two_bus.dss: src -(1 + j2 ohm)- b1 with the load."""
    nodes = ("src.1", "src.2", "src.3", "b1.1", "b1.2", "b1.3")
    branches = (
        _branch("Vsource.source", "source", (), (0, 1, 2), np.inf),
        _branch("Line.l1", "line", (0, 1, 2), (3, 4, 5), 300.0),
    )
    return _network("two_bus", nodes, branches, (3, 4, 5), load_kw, load_kvar, ())


def two_bus_regulator() -> Network:
    """tests/cases/two_bus_regulator.dss: src -(1 + j2 ohm)- m -(reg)- b1 with the load."""
    nodes = tuple(f"{bus}.{p}" for bus in ("src", "m", "b1") for p in (1, 2, 3))
    branches = (
        _branch("Vsource.source", "source", (), (0, 1, 2), np.inf),
        _branch("Line.l1", "line", (0, 1, 2), (3, 4, 5), 300.0),
        _branch("Transformer.reg", "regulator", (3, 4, 5), (6, 7, 8), np.inf),
    )
    control = Regulator("RegControl.creg", "Transformer.reg", 2, 0, 1.0, -16, 16)
    return _network("two_bus_regulator", nodes, branches, (6, 7, 8), 3000.0, 1500.0, (control,))


def far_voltage_pu(p_kw, q_kvar, source_v=V_BASE_V, r_ohm=1.0, x_ohm=2.0):
    """|V| at the end of one uncoupled phase that draws p + jq, in pu, by the quadratic in u = |V|^2:
    u^2 + u (2 (rp + xq) - E^2) + (r^2 + x^2)(p^2 + q^2) = 0."""
    p, q = np.asarray(p_kw) * 1e3, np.asarray(q_kvar) * 1e3
    half = source_v**2 / 2 - (r_ohm * p + x_ohm * q)
    u = half + np.sqrt(half**2 - (r_ohm**2 + x_ohm**2) * (p**2 + q**2))
    return np.sqrt(u) / V_BASE_V


def _branch(name, kind, from_nodes, to_nodes, i_rated_a):
    k = len(to_nodes)
    none = np.zeros((k, k))
    return Branch(name, kind, from_nodes, to_nodes, np.eye(k), (1 + 2j) * np.eye(k), none, none, i_rated_a)


def _network(name, nodes, branches, load_nodes, kw, kvar, regulators):
    third, ones = np.full(3, 1 / 3), np.ones(3)
    constant_power = np.tile([0.0, 0.0, 1.0], (3, 1))
    legs = LoadLegs(
        ("Load.ld",) * 3,
        np.array(load_nodes),
        np.full(3, -1),
        kw * third,
        kvar * third,
        V_BASE_V * ones,
        constant_power,
        constant_power,
        0.5 * ones,
        1.5 * ones,
    )
    n = len(nodes)
    return Network(
        name=name,
        nodes=nodes,
        v_base_v=np.full(n, V_BASE_V),
        v_reference=np.full(n, -1),
        v_judged=np.ones(n, dtype=bool),
        v_solved_v=np.full(n, V_BASE_V, dtype=complex),
        source_nodes=(0, 1, 2),
        branches=branches,
        loads=legs,
        shunts=(),
        regulators=regulators,
    )

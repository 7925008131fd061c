"""LinDist3Flow on circuits solved by hand, and its matrices against roads that do not use them."""

import numpy as np
import pytest
from hand_feeders import ANGLES, HandFeeder

from optim.data.profiles import Profiles
from optim.errors import ModelError
from optim.linearize.lindist3flow import linearize
from optim.linearize.lindist3flow_matrices import matrices, no_load_voltages

ONE = Profiles(("00:00",), 1.0, np.ones(1), np.zeros(1))
Z_BASE = 2400.0**2 / 1e6
"""5.76 ohm: 2400 V to ground, 1 MVA per phase."""
SELF, MUTUAL = 1.0 + 2.0j, 0.3 + 0.6j
COUPLED = np.full((3, 3), MUTUAL) + (SELF - MUTUAL) * np.eye(3)
EXACT = 1e-12


def squared(network, **options):
    """Node -> squared pu at nominal load."""
    model = linearize(network, ONE, (), **options)
    return dict(zip(model.nodes, model.v_base[0], strict=True))


def flows(network, **options):
    """Branch-phase -> kW + j kvar at nominal load."""
    model = linearize(network, ONE, (), **options)
    return dict(zip(model.branches, model.flow_base_kw[0] + 1j * model.flow_base_kvar[0], strict=True))


# -- gamma: one loaded phase --------------------------------------------------------------------------------


def one_loaded_phase(p_kw=300.0, q_kvar=100.0):
    """src -(1 + j2 ohm, mutual 0.3 + j0.6)- b, load on phase 2 only."""
    return HandFeeder().line("l", "src", "b", COUPLED).load("b.2", p_kw, q_kvar)


def test_sign_and_coupling_of_gamma_by_hand():
    """0.3 + j0.1 MVA on phase 2; gamma o Z towards phase 2, in ohm:
        phase 1: (-1/2 - j sqrt(3)/2)(0.3 + j0.6) =  0.369615 - j0.559808
        phase 2:                                     1        + j2
        phase 3: (-1/2 + j sqrt(3)/2)(0.3 + j0.6) = -0.669615 - j0.040192
    drop 2 (R 0.3 + X 0.1) / 5.76: phase 1 0.019064 (falls), phase 2 0.173611, phase 3 -0.071147 (rises)."""
    v = squared(one_loaded_phase().network())
    assert v["b.1"] == pytest.approx(1 - 0.019064, abs=1e-6)
    assert v["b.2"] == pytest.approx(1 - 0.173611, abs=1e-6)
    assert v["b.3"] == pytest.approx(1 + 0.071147, abs=1e-6)


def test_coupling_is_the_derivative_of_the_phasor_circuit():
    """V_phi = E_phi - z_phi2 I_2 with I_2 = conj(S / V_2): at a load of 1 W, squared voltages over 1e-6 MW."""
    s_mw = 1e-6 * (1 + 0.5j)
    e = np.array([ANGLES[p] for p in (1, 2, 3)])
    v2 = e[1]
    for _ in range(20):
        v2 = e[1] - SELF / Z_BASE * np.conj(s_mw / v2)
    exact = e - np.array([MUTUAL, SELF, MUTUAL]) / Z_BASE * np.conj(s_mw / v2)
    v = squared(one_loaded_phase(s_mw.real * 1e3, s_mw.imag * 1e3).network())
    for phase in (1, 2, 3):
        assert (v[f"b.{phase}"] - 1) / 1e-6 == pytest.approx((abs(exact[phase - 1]) ** 2 - 1) / 1e-6, rel=1e-5)


def test_balanced_load_sees_the_positive_sequence_impedance():
    """Z1 = self - mutual = 0.7 + j1.4 ohm: drop 2 (0.7 * 0.3 + 1.4 * 0.1) / 5.76 on every phase."""
    feeder = HandFeeder().line("l", "src", "b", COUPLED)
    for phase in (1, 2, 3):
        feeder.load(f"b.{phase}", 300.0, 100.0)
    v = squared(feeder.network())
    drop = 2 * (0.7 * 0.3 + 1.4 * 0.1) / Z_BASE
    assert [v[f"b.{p}"] for p in (1, 2, 3)] == pytest.approx([1 - drop] * 3, abs=EXACT)


def test_missing_phases_are_absent_rows():
    """A lateral with phases 1 and 3: 6 + 2 rows, and phase 3 couples to phase 1 with gamma of -120 degrees."""
    lateral = np.array([[SELF, MUTUAL], [MUTUAL, SELF]])
    feeder = HandFeeder().line("l", "src", "b", 0.0).line("lat", "b", "c", lateral, phases=(1, 3)).load("c.3", 300.0)
    m = matrices(feeder.network())
    assert m.nodes == ("src.1", "src.2", "src.3", "b.1", "b.2", "b.3", "c.1", "c.3")
    assert m.branches[-2:] == ("Line.lat.1", "Line.lat.3") and m.a.shape == (8, 8)
    towards_3 = (np.conj(ANGLES[1]) * ANGLES[3] * MUTUAL).real
    v = squared(feeder.network())
    assert v["c.1"] == pytest.approx(1 - 2 * towards_3 * 0.3 / Z_BASE, abs=EXACT)
    assert v["c.3"] == pytest.approx(1 - 2 * SELF.real * 0.3 / Z_BASE, abs=EXACT)
    assert v["b.2"] == pytest.approx(1, abs=EXACT)


# -- regulators, delta windings, delta loads ----------------------------------------------------------------


def test_a_regulator_multiplies_squared_voltage_by_its_ratio_squared():
    """Drop 2 * 1 * 0.3 / 5.76 = 0.104167 before the regulator, none behind: v = a^2 (1.02^2 - 0.104167)."""
    feeder = HandFeeder(source_pu=1.02).line("l", "src", "m", 1.0 + 2.0j).regulator("r", "m", "b", (1.05, 1.0, 0.975))
    for phase in (1, 2, 3):
        feeder.load(f"b.{phase}", 300.0)
    v = squared(feeder.network())
    for phase, a in ((1, 1.05), (2, 1.0), (3, 0.975)):
        assert v[f"m.{phase}"] == pytest.approx(1.02**2 - 0.6 / Z_BASE, abs=EXACT)
        assert v[f"b.{phase}"] == pytest.approx(a**2 * (1.02**2 - 0.6 / Z_BASE), abs=EXACT)
    assert flows(feeder.network())["Line.l.1"] == pytest.approx(300.0)  # an ideal ratio passes power unchanged


def test_a_delta_load_is_split_with_its_angles():
    """60 kW between phases 1 and 2: w1 / (w1 - w2) = 1/2 - j/(2 sqrt 3), so 30 - j17.32 at 1, 30 + j17.32 at 2."""
    found = flows(HandFeeder().line("l", "src", "b", 0.0).load("b.1", 60.0, minus="b.2").network())
    third = 60 / (2 * np.sqrt(3))
    assert found["Line.l.1"] == pytest.approx(30 - 1j * third, abs=1e-9)
    assert found["Line.l.2"] == pytest.approx(30 + 1j * third, abs=1e-9)
    assert found["Line.l.3"] == pytest.approx(0, abs=1e-9)


def test_a_wye_load_behind_a_delta_wye_transformer_is_a_delta_load_before_it():
    """V_a = (V_A - V_B) / sqrt(3): 60 kW at a are drawn between A and B, as the delta load above; the angle
    behind is +30 degrees, which wye loads do not feel: v_a by the drop 2 * 0.1 * 0.06 / z_base of its own."""
    transfer = np.array([[1, -1, 0], [0, 1, -1], [-1, 0, 1]]) / np.sqrt(3)
    feeder = HandFeeder().line("l", "src", "m", 0.0).transformer("t", "m", "b", transfer, 0.1).load("b.1", 60.0)
    network = feeder.network()
    w = no_load_voltages(network)
    assert np.angle(w[6:9], deg=True) == pytest.approx([30, -90, 150]) and np.abs(w[6:9]) == pytest.approx([2400] * 3)
    found = flows(network)
    third = 60 / (2 * np.sqrt(3))
    assert found["Line.l.1"] == pytest.approx(30 - 1j * third, abs=1e-9)
    assert found["Line.l.2"] == pytest.approx(30 + 1j * third, abs=1e-9)
    v = squared(network)
    assert v["b.1"] == pytest.approx(1 - 2 * 0.1 * 0.06 / Z_BASE, abs=EXACT) and v["b.2"] == pytest.approx(1, abs=EXACT)


def delta_delta(load_kw=60.0, z_line=0.3 + 0.6j, z_transformer=0.05 + 0.1j):
    """src -z- m -(delta-delta 2400:480, zero sequence removed)- b, load between phases 1 and 2 of b."""
    ratio = 480.0 / 2400.0
    transfer = ratio * (np.eye(3) - np.ones((3, 3)) / 3)
    feeder = HandFeeder().line("l", "src", "m", z_line)
    feeder.transformer("t", "m", "b", transfer, z_transformer * ratio**2, v_base_v=480.0)
    feeder.load("b.1", load_kw, load_kw / 3, minus="b.2")
    floating = np.full(9, -1)
    floating[6:9] = [7, 8, 6]  # node behind the delta: judged line to line
    return feeder.network(v_reference=floating)


def test_a_delta_delta_transformer_passes_a_delta_load_and_is_judged_line_to_line():
    """No zero sequence is drawn, so the load's split passes unchanged. Line to line, currents of +-I flow in
    phases 1 and 2 through z = 0.35 + j0.7 ohm (referred to 2400 V) each: V_12 = E_12 - 2 z I. To first order
    |V_12|^2 / (3 * 2400^2) = 1 - 2 * 2 Re(z conj(S)) / (3 * 5.76) in MVA; V_23 and V_31 see z I once, rotated."""
    network, s, z = delta_delta(), (60 + 20j) / 1e3, 0.35 + 0.7j
    v = squared(network)
    assert v["b.1"] == pytest.approx(1 - 4 * (z * np.conj(s)).real / (3 * Z_BASE), abs=EXACT)
    e = np.array([ANGLES[p] for p in (1, 2, 3)]) * 2400
    i = np.conj(s * 1e6 / (e[0] - e[1]))  # from 1 to 2
    drop = z * np.array([i, -i, 0])
    for node, (a, b) in {"b.1": (0, 1), "b.2": (1, 2), "b.3": (2, 0)}.items():
        e_ab, d_ab = e[a] - e[b], drop[a] - drop[b]
        assert v[node] == pytest.approx(1 - 2 * (d_ab / e_ab).real, abs=1e-9)
    assert flows(network)["Line.l.1"] == pytest.approx((60 + 20j) * ANGLES[1] / (ANGLES[1] - ANGLES[2]))


# -- loads and shunts that follow the voltage ---------------------------------------------------------------


@pytest.mark.parametrize("mix", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.2, 0.3, 0.5)])
def test_voltage_dependent_load_by_hand(mix):
    """One phase, z = 1 + j2 ohm, 0.3 + j0.1 MVA: d = (0.3 + 0.2) / 5.76. With P = p (z v + i (1 + v) / 2 + c):
    v = 1 - 2 d (z v + i (1 + v) / 2 + c), so v = (1 - 2 d (i / 2 + c)) / (1 + 2 d (z + i / 2))."""
    z, i, c = mix
    d = (1.0 * 0.3 + 2.0 * 0.1) / Z_BASE
    network = HandFeeder(phases=(1,)).line("l", "src", "b", SELF, phases=(1,)).load("b.1", 300, 100, mix=mix).network()
    expected = (1 - 2 * d * (i / 2 + c)) / (1 + 2 * d * (z + i / 2))
    assert squared(network, voltage_dependent_loads=True)["b.1"] == pytest.approx(expected, abs=EXACT)
    assert squared(network)["b.1"] == pytest.approx(1 - 2 * d, abs=EXACT)
    drawn = flows(network, voltage_dependent_loads=True)["Line.l.1"]
    assert drawn == pytest.approx((300 + 100j) * (z * expected + i * (1 + expected) / 2 + c))


def test_rated_voltage_of_a_voltage_dependent_load():
    """Constant impedance rated 2520 V = 1.05 of base: at 1 pu it draws 1 / 1.1025 of its rating."""
    feeder = HandFeeder(phases=(1,)).line("l", "src", "b", 0.0, phases=(1,))
    network = feeder.load("b.1", 300.0, mix=(1.0, 0.0, 0.0), v_rated_v=2520.0).network()
    assert flows(network, voltage_dependent_loads=True)["Line.l.1"] == pytest.approx(300 / 1.1025)


def test_voltage_dependent_delta_load_follows_the_voltage_across_it():
    """Source at 1.02 pu, no impedance: a constant-impedance delta leg draws 1.02^2 of its rating."""
    feeder = HandFeeder(source_pu=1.02).line("l", "src", "b", 0.0)
    network = feeder.load("b.1", 60.0, minus="b.2", mix=(1.0, 0.0, 0.0)).network()
    found = flows(network, voltage_dependent_loads=True)
    assert (found["Line.l.1"] + found["Line.l.2"]) == pytest.approx(60 * 1.02**2)


def test_capacitor_lifts_the_voltage():
    """100 kvar at 2400 V behind 2 ohm of reactance: +2 * 2 * 0.1 / 5.76; following the voltage,
    v = 1 / (1 - 2 * 2 * 0.1 / 5.76)."""
    y = 1j * 0.1e6 / 2400.0**2
    feeder = HandFeeder(phases=(1,)).line("l", "src", "b", SELF, phases=(1,)).shunt("c", ("b.1",), [[y]])
    lift = 2 * 2.0 * 0.1 / Z_BASE
    assert squared(feeder.network())["b.1"] == pytest.approx(1 + lift, abs=EXACT)
    assert squared(feeder.network(), voltage_dependent_loads=True)["b.1"] == pytest.approx(1 / (1 - lift), abs=EXACT)


def test_line_charging_is_drawn_at_both_ends():
    y = 1j * 0.1e6 / 2400.0**2
    feeder = HandFeeder(phases=(1,)).line("l", "src", "b", 0.0, phases=(1,), y_s=y)
    assert flows(feeder.network()) == pytest.approx({"Vsource.source.1": -200j, "Line.l.1": -100j})


def test_a_dead_node_of_a_shunt_has_no_voltage():
    """A bank between phase 1 and a neutral that no branch feeds stands at y |V_1|^2, as if the neutral were
    earth; the neutral itself has no row."""
    y = 1j * 0.1e6 / 2400.0**2 * np.array([[1, -1], [-1, 1]])
    feeder = HandFeeder().line("l", "src", "b", SELF)
    feeder.bases["n.4"] = 2400.0
    feeder.shunt("c", ("b.1", "n.4"), y)
    network = feeder.network()
    assert "n.4" not in matrices(network).nodes
    assert flows(network)["Line.l.1"] == pytest.approx(-100j)


# -- the matrices against other roads -----------------------------------------------------------------------


def branched():
    """Three phases, a lateral of one and one of two, a regulator and a delta-delta transformer."""
    return (
        HandFeeder(source_pu=1.03)
        .line("l1", "src", "b", COUPLED)
        .line("l2", "b", "c", 0.5 * COUPLED)
        .line("lat1", "b", "d", SELF, phases=(2,))
        .line("lat2", "c", "e", COUPLED[:2, :2], phases=(3, 1))
        .regulator("r", "c", "f", (1.0125, 1.025, 0.99375))
        .load("b.1", 40, 10)
        .load("c.2", 60, 30)
        .load("d.2", 80, 20)
        .load("e.3", 50, 25)
        .load("e.1", 20)
        .load("f.1", 70, 20)
        .load("f.3", 30, 10)
        .load("c.1", 45, 15, minus="c.3")
    )


def sweep(network, loads_mva):
    """Squared voltages and branch flows by walking the tree, wye-connected branches only: no matrix, no solver.

    Flow of a branch-phase: its node's load and the flows of the branches that leave the node."""
    s_mw = dict.fromkeys(network.nodes, 0j)
    for node, load in loads_mva.items():
        s_mw[node] += load
    for branch in reversed(network.branches[1:]):
        for start, end in zip(branch.from_nodes, branch.to_nodes, strict=True):
            s_mw[network.nodes[start]] += s_mw[network.nodes[end]]
    v = {}
    for branch in network.branches:
        ends = [network.nodes[n] for n in branch.to_nodes]
        for i, end in enumerate(ends):
            if branch.kind == "source":
                v[end] = abs(branch.transfer[i, 0] / 2400) ** 2
                continue
            v[end] = v[network.nodes[branch.from_nodes[i]]] * abs(branch.transfer[i, i]) ** 2
            for j, other in enumerate(ends):
                gamma = ANGLES[int(other[-1])] / ANGLES[int(end[-1])]
                v[end] -= 2 * (gamma * branch.z_ohm[i, j] / Z_BASE * np.conj(s_mw[other])).real
    return v, s_mw


def nodal_demand_mva(network):
    demand = dict.fromkeys(network.nodes, 0j)
    for k, (i, j) in enumerate(zip(network.loads.node_plus, network.loads.node_minus, strict=True)):
        s = (network.loads.p_kw[k] + 1j * network.loads.q_kvar[k]) / 1e3
        if j < 0:
            demand[network.nodes[i]] += s
            continue
        a, b = (ANGLES[int(network.nodes[n][-1])] for n in (i, j))
        demand[network.nodes[i]] += s * a / (a - b)
        demand[network.nodes[j]] += s * b / (b - a)
    return demand


def test_voltages_and_flows_by_walking_the_tree():
    network = branched().network()
    expected_v, expected_s = sweep(network, nodal_demand_mva(network))
    model = linearize(network, ONE, ())
    for node, found in zip(model.nodes, model.v_base[0], strict=True):
        assert found == pytest.approx(expected_v[node], abs=1e-10), node
    at = dict(zip(matrices(network).nodes, model.flow_base_kw[0] + 1j * model.flow_base_kvar[0], strict=True))
    for node, s in expected_s.items():
        assert at[node] == pytest.approx(1e3 * s, abs=1e-7), node


@pytest.mark.parametrize("network", [branched().network(), delta_delta()], ids=["branched", "delta-delta"])
def test_eq_2_holds_for_the_model_s_own_flows(network):
    """A P - A_x Q = -p, A Q + A_x P = -q; with wye branches only also A_v v + a_0 = 2 (D_r P + D_x Q)."""
    m = matrices(network)
    model = linearize(network, ONE, ())
    p, q = model.flow_base_kw[0] / 1e3, model.flow_base_kvar[0] / 1e3
    demand = nodal_demand_mva(network)
    expected = np.array([demand[n] for n in m.nodes])
    assert m.a @ p - m.a_x @ q == pytest.approx(-expected.real, abs=1e-10)
    assert m.a @ q + m.a_x @ p == pytest.approx(-expected.imag, abs=1e-10)
    if np.all(network.v_reference < 0):
        assert model.nodes == m.nodes
        assert m.a_v @ model.v_base[0] + m.a_0 == pytest.approx(2 * (m.d_r @ p + m.d_x @ q), abs=1e-10)


def test_a_is_the_paper_s_incidence_matrix_where_all_branches_are_wye():
    m = matrices(branched().network())
    dense = m.a.toarray()
    assert set(np.unique(dense)) == {-1.0, 0.0, 1.0} and m.a_x.nnz == 0 and m.a_theta.nnz == 0
    assert np.all(np.diag(dense) == -1)  # column r enters node r
    leaves = dict(zip(*np.nonzero((dense == 1).T), strict=True))  # branch-phase -> node that it leaves
    names = {m.branches[b]: m.nodes[n] for b, n in leaves.items()}
    assert names["Line.lat2.3"] == "c.3" and names["Line.lat2.1"] == "c.1" and names["Transformer.r.2"] == "c.2"
    assert len(leaves) == len(m.nodes) - 3


@pytest.mark.parametrize("voltage_dependent", [False, True])
@pytest.mark.parametrize("build", [branched, None], ids=["branched", "delta-delta"])
def test_sensitivities_are_differences_of_the_base(build, voltage_dependent):
    """A port that injects 1 kW (kvar) is a constant-power load of -1 kW (kvar) there: the model is linear, so the
    difference of two bases is the sensitivity, to rounding."""
    options = {"voltage_dependent_loads": voltage_dependent}

    def network(node=None, p_kw=0.0, q_kvar=0.0):
        if build is None:
            base = delta_delta()
            # a wye injection behind a delta has no return path of its own but the model's: same convention both ways
            feeder = HandFeeder()
            feeder.bases = dict(zip(base.nodes, base.v_base_v, strict=True))
            feeder.branches = list(base.branches)
            feeder.load("b.1", 60, 20, minus="b.2", mix=(0.5, 0.3, 0.2))
            reference = {"v_reference": base.v_reference}
        else:
            feeder, reference = build(), {}
        if node:
            feeder.load(node, -p_kw, -q_kvar)
        return feeder.network(**reference)

    ports = ("b.1", "b.2", "f.3", "e.1") if build else ("m.1", "m.3")
    model, base = linearize(network(), ONE, ports, **options), linearize(network(), ONE, (), **options)
    for d, port in enumerate(ports):
        for p_kw, q_kvar, v, sub_p, sub_q, flow in (
            (1.0, 0.0, model.dv_dp, model.dsub_p_dp, model.dsub_q_dp, model.dflow_p_dp),
            (0.0, 1.0, model.dv_dq, model.dsub_p_dq, model.dsub_q_dq, model.dflow_p_dq),
        ):
            moved = linearize(network(port, p_kw, q_kvar), ONE, (), **options)
            assert v[0, :, d] == pytest.approx((moved.v_base - base.v_base)[0], abs=1e-12)
            assert sub_p[0, :, d] == pytest.approx((moved.substation_base_kw - base.substation_base_kw)[0], abs=1e-8)
            source_kvar = (moved.substation_base_kvar - base.substation_base_kvar)[0]
            assert sub_q[0, :, d] == pytest.approx(source_kvar, abs=1e-8)
            assert flow[0, :, d] == pytest.approx((moved.flow_base_kw - base.flow_base_kw)[0], abs=1e-8)


def test_load_multiplier_scales_the_drop_and_not_the_source():
    profiles = Profiles(("00:00", "01:00"), 1.0, np.array([1.0, 0.5]), np.zeros(2))
    model = linearize(branched().network(), profiles, ())
    at = list(model.nodes).index("d.2")
    assert 1.03**2 - model.v_base[1, at] == pytest.approx(0.5 * (1.03**2 - model.v_base[0, at]), abs=EXACT)
    assert model.substation_base_kw[1] == pytest.approx(0.5 * model.substation_base_kw[0])


def test_a_port_that_does_not_exist_and_a_loop():
    with pytest.raises(ModelError, match=r"No energized node z\.1"):
        linearize(branched().network(), ONE, ("z.1",))
    with pytest.raises(ModelError, match=r"Not radial: node f\.1 is fed by Transformer\.r and by Line\.tie"):
        matrices(branched().line("tie", "d", "f", SELF, phases=(1,)).network())

"""The radial AC power flow: solved by hand on two buses, against Kirchhoff on random feeders."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radial_feeders import feeder, random_feeder

from optim.errors import ModelError
from optim.feeder.radial_power_flow import ac_power_flow


def test_two_buses_by_hand():
    """One load p + jq behind r + jx from 1 pu: u^2 + (2(rp + xq) - 1) u + |z|^2 |s|^2 = 0, upper root."""
    r, x, p, q = 0.03, 0.04, 1.0, 0.5
    b, c = 2 * (r * p + x * q) - 1, (r * r + x * x) * (p * p + q * q)
    u = (-b + np.sqrt(b * b - 4 * c)) / 2
    found = ac_power_flow(feeder([-1], [r], [x], [p], [q]), np.ones(1), np.zeros((1, 1)))
    assert found.u[0, 0] == pytest.approx(u, abs=1e-12)
    assert found.l[0, 0] == pytest.approx((p * p + q * q) / u, abs=1e-11)
    assert found.p[0, 0] - p == pytest.approx(r * found.l[0, 0], abs=1e-12)


def test_constant_impedance_load_behind_a_regulator_by_hand():
    """A load g u behind a ratio a and r (x = 0): V = a / (1 + r g)."""
    a, r, g = 1.05, 0.02, 0.8
    f = feeder([-1], [r], [0.0], [0.0], [0.0], ratio=[a], g=[g])
    found = ac_power_flow(f, np.ones(1), np.zeros((1, 1)))
    assert found.v_pu()[0, 0] == pytest.approx(a / (1 + r * g), abs=1e-12)


@given(seed=st.integers(0, 10_000), injection=st.floats(-0.5, 1.5))
@settings(max_examples=60, deadline=None)
def test_kirchhoff_on_random_feeders(seed, injection):
    """Complex voltages rebuilt down the tree from the flows meet magnitudes and current balances."""
    f = random_feeder(seed)
    n = len(f)
    load = np.array([0.4, 1.0])
    p = np.random.default_rng(seed).uniform(0, 1, (2, n)) * injection
    flow = ac_power_flow(f, load, p)
    for t in range(2):
        v = np.zeros(n, dtype=complex)
        current = np.zeros(n, dtype=complex)
        for j in range(n):
            sending = f.ratio[j] * (v[f.parent[j]] if f.parent[j] >= 0 else np.sqrt(f.source_u_pu))
            current[j] = np.conj((flow.p[t, j] + 1j * flow.q[t, j]) / sending)
            v[j] = sending - (f.r_pu[j] + 1j * f.x_pu[j]) * current[j]
        assert np.abs(np.abs(v) ** 2 - flow.u[t]).max() < 1e-10
        assert np.abs(np.abs(current) ** 2 - flow.l[t]).max() < 1e-9
        u = np.abs(v) ** 2
        drawn_p = load[t] * (f.load_p_mw + f.load_g_pu * u) - p[t]
        drawn_q = load[t] * (f.load_q_mvar + f.load_b_pu * u) - f.shunt_b_pu * u
        for j in range(n):
            leaving = sum(f.ratio[k] * current[k] for k in f.children[j])  # the ratio turns currents up
            assert abs(current[j] - leaving - np.conj((drawn_p[j] + 1j * drawn_q[j]) / v[j])) < 1e-9


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_lossless_voltage_is_never_below(seed):
    """The fact on which the remedy of the relaxation rests."""
    f = random_feeder(seed, ratios=False)
    p = np.random.default_rng(seed).uniform(-1, 2, (1, len(f)))
    flow = ac_power_flow(f, np.ones(1), p)
    assert np.all(flow.lossless_u >= flow.u - 1e-12)
    assert flow.p[0, f.parent < 0].sum() == pytest.approx(  # fed in = used + lost
        flow.lossless_p[0, f.parent < 0].sum() + (f.r_pu * flow.l[0]).sum(), abs=1e-10
    )


def test_beyond_collapse_names_step_and_bus():
    with pytest.raises(ModelError, match=r"step 1, bus 1"):
        ac_power_flow(feeder([-1], [0.1], [0.1], [1.0], [0.5]), np.array([0.1, 9.0]), np.zeros((2, 1)))

"""The semidefinite bound: above every schedule that the power flow passes, and met by the power flow's own states."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand_feeders import HandFeeder
from radial_feeders import random_feeder

from optim.bounds.sdp.bound import sdp_bound, sdp_program
from optim.bounds.sdp.devices import Devices
from optim.bounds.sdp.hour import Hour
from optim.bounds.sdp.legs import envelope
from optim.bounds.sdp.solving import fit_of_state, memory_gib, solved
from optim.bounds.sdp.tree import TapRange
from optim.data.network import LoadLegs
from optim.data.schedule import BessUnit
from optim.errors import ModelError, SolverError
from optim.feeder.power_flow import leg_powers_at, solve

pytest.importorskip("clarabel")

LOW, HIGH = 0.95, 1.05
Z = np.array([[0.5 + 1.0j, 0.15 + 0.4j, 0.15 + 0.35j], [0, 0.5 + 1.0j, 0.15 + 0.4j], [0, 0, 0.5 + 1.0j]])
Z = np.triu(Z) + np.triu(Z, 1).T


def built(feeder, ratios=None):
    """The network with impedances that an admittance can be made of."""
    network = feeder.network()
    branches = []
    for branch in network.branches:
        z = branch.z_ohm if np.any(branch.z_ohm) else 1e-4 * (1 + 1j) * np.eye(len(branch.to_nodes))
        if ratios is not None and branch.kind == "regulator":
            scale = np.asarray(ratios) / np.diagonal(branch.transfer).real
            branch = replace(branch, transfer=np.diag(ratios).astype(complex))
            z = z * np.outer(scale, scale)
        branches.append(replace(branch, z_ohm=z, y_from_s=np.zeros((len(branch.from_nodes),) * 2, dtype=complex)))
        if branch.kind != "source":
            branches[-1] = replace(branches[-1], y_from_s=branch.y_from_s)
    return replace(network, branches=tuple(branches))


def hour_of(network, losses_kw, *, floor=0.0, low=LOW, high=HIGH):
    legs, n = network.loads, len(network.nodes)
    between = legs.node_minus >= 0
    one = np.ones(len(legs.names))
    return Hour(
        network,
        solve(network, tolerance=1e-12).v_v,
        one,
        one,
        np.where(between, 0.9, low - 0.01),
        np.where(between, 1.1, high + 0.01),
        np.full(n, low),
        np.full(n, high),
        np.full(len(network.source_nodes), floor),
        losses_kw,
    )


def with_pv(network, nodes, kva):
    """The same with PV as load legs of constant power."""
    legs, more = network.loads, len(nodes)
    own = LoadLegs(
        (*legs.names, *(f"Load.pv{i}" for i in range(more))),
        np.append(legs.node_plus, nodes),
        np.append(legs.node_minus, np.full(more, -1)),
        np.append(legs.p_kw, -np.real(kva)),
        np.append(legs.q_kvar, -np.imag(kva)),
        np.append(legs.v_rated_v, network.v_base_v[list(nodes)]),
        np.vstack([legs.zip_p, np.tile([0.0, 0.0, 1.0], (more, 1))]),
        np.vstack([legs.zip_q, np.tile([0.0, 0.0, 1.0], (more, 1))]),
        np.append(legs.vmin_pu, np.zeros(more)),
        np.append(legs.vmax_pu, np.full(more, 2.0)),
    )
    return replace(network, loads=own)


def passes(network, losses_kw, floor=0.0):
    found = solve(network)
    v = np.abs(found.v_v) / network.v_base_v
    lost = found.source_kva.real.sum() - found.leg_kva.real.sum()
    inside = v.min() >= LOW and v.max() <= HIGH
    return bool(inside and found.source_kva.real.min() >= floor and lost <= losses_kw)


def two_bus():
    """A wye, a constant current and a delta load behind coupled phases."""
    feeder = HandFeeder(source_pu=1.02).line("1", "src", "a", Z)
    feeder.load("a.1", 150.0, 50.0).load("a.2", 90.0, 30.0, mix=(0.2, 0.8, 0.0)).load("a.3", 60.0, 20.0)
    return feeder.load("a.2", 120.0, 40.0, minus="a.3")


def three_bus():
    """A regulator between two lines, and one phase alone behind it."""
    feeder = HandFeeder(source_pu=1.0).line("1", "src", "a", Z)
    feeder.regulator("r", "a", "b", [1.0125, 1.025, 1.00625]).line("2", "b", "c", Z[:1, :1], phases=(1,))
    feeder.load("b.1", 80.0, 30.0).load("b.2", 150.0, 60.0, minus="b.3").load("c.1", 60.0, 20.0)
    return feeder.load("b.3", 60.0, 10.0, mix=(1.0, 0.0, 0.0))


def brute_force(network, nodes, losses_kw, r, floor=0.0, *, directions=40):
    """The largest sum of capacities that the power flow passes, along directions drawn at random, with reactive power
    drawn too; the first direction is what every phase draws, the second one phase alone."""
    draw, q_share, k = np.random.default_rng(1), np.sqrt(1 - r**2), len(nodes)
    drawn = np.abs(network.loads.p_kw[:k])
    best = 0.0
    for i in range(directions):
        shape = drawn if i == 0 else np.eye(k)[0] if i == 1 else draw.dirichlet(np.ones(k))
        way = shape / shape.sum() * (r + 1j * q_share * (draw.uniform(-1, 1, k) if i > 1 else 0.0))
        low, high = 0.0, 1500.0
        for _ in range(9):
            middle = (low + high) / 2
            if passes(with_pv(network, nodes, middle * way), losses_kw, floor):
                low, best = middle, max(best, middle)
            else:
                high = middle
    return best


def at(network, *names):
    return tuple(network.node_index[n] for n in names)


def one_hour(network, names, r, **more):
    return Devices(at(network, *names), np.full((1, len(names)), r), **more)


@pytest.mark.parametrize(("losses", "floor"), [(12.0, 0.0), (12.0, -np.inf)])
def test_brute_force_with_a_delta_load(losses, floor):
    network, names, r = built(two_bus()), ("a.1", "a.2", "a.3"), 0.9
    bound, fit = sdp_bound([hour_of(network, losses, floor=floor)], one_hour(network, names, r), [{}])
    best = brute_force(network, at(network, *names), losses, r, floor)
    assert bound.status == "proven" and fit.worst < 1e-6
    assert 0.5 * bound.bound_kw < best <= bound.bound_kw


def test_where_reverse_flow_binds_it_is_near_the_balance():
    """All that is drawn and lost, over the sun: the relaxation is no more than a few per cent above brute force."""
    network, r = built(two_bus()), 0.9
    bound, _ = sdp_bound([hour_of(network, 5.0)], one_hour(network, ("a.1", "a.2", "a.3"), r), [{}])
    most = 150 + 60 + 120 + 90 * (0.2 * (HIGH + 0.01) ** 2 + 0.8 * (HIGH + 0.01))
    assert 0.95 * most / r < bound.bound_kw <= (most + 5.0) / r


def test_brute_force_with_a_regulator():
    """Taps as they stand, and taps anywhere: the second is no less, and above brute force at every tap."""
    names, r, losses = ("b.1", "b.2", "c.1"), 1.0, 6.0
    network = built(three_bus())
    devices = one_hour(network, names, r)
    taps = {"transformer.r": TapRange(0.9, 1.1, False)}
    still, fit = sdp_bound([hour_of(network, losses)], devices, [{}])
    free, fit_free = sdp_bound([hour_of(network, losses)], devices, [taps])
    assert max(fit.worst, fit_free.worst) < 1e-6
    best = 0.0
    for ratio in (1.0, 1.0125, 1.03):
        moved = built(three_bus(), [ratio, 1.025, ratio])
        best = max(best, brute_force(moved, at(moved, *names), losses, r, directions=12))
    own = brute_force(network, at(network, *names), losses, r, directions=12)
    assert 0 < own <= still.bound_kw <= free.bound_kw * (1 + 1e-4)
    near, _ = sdp_bound([hour_of(network, losses)], devices, [{"transformer.r": TapRange(0.9, 1.1, True)}])
    assert best <= min(free.bound_kw, near.bound_kw)


def test_the_state_fits_with_taps_free_on_either_side():
    moved = built(three_bus(), [1.05, 0.99, 1.02])
    for at_from in (False, True):
        hour = hour_of(moved, 50.0)
        program, _ = sdp_program(
            [hour], one_hour(moved, ("b.1",), 1.0), [{"transformer.r": TapRange(0.8, 1.2, at_from)}]
        )
        assert fit_of_state(program).worst < 1e-6


def test_a_ceiling_below_what_has_to_be_lost_is_no_bound():
    network = built(two_bus())
    bound, _ = sdp_bound([hour_of(network, 0.05)], one_hour(network, ("a.1",), 0.5), [{}])
    assert np.isnan(bound.bound_kw) and "no bound" in bound.status and "losses" in bound.status


def test_a_state_that_is_another_feeders_is_no_bound():
    network = built(two_bus())
    hour = hour_of(network, 12.0)
    bound, fit = sdp_bound([replace(hour, v_v=0.999 * hour.v_v)], one_hour(network, ("a.1",), 0.5), [{}])
    assert "misses the relaxation" in bound.status and fit.worst > 1e-4


def least_kw(hours, devices):
    """What the optimum of the relaxation is at least, as far as the solver tells: a bound is raised by its allowance,
    so that two of them say which optimum is larger only with that taken off."""
    program, base_kva = sdp_program(hours, devices, [{}] * len(hours))
    found = solved(program)
    return (found.most - 2.0 * found.allowance) * base_kva


def test_a_higher_ceiling_and_fewer_hours_are_no_lower():
    network, names = built(two_bus()), ("a.1", "a.2", "a.3")
    hours = [hour_of(network, 8.0), hour_of(network, 8.0)]
    sun = np.array([[0.9] * 3, [0.6] * 3])
    both, _ = sdp_bound(hours, Devices(at(network, *names), sun), [{}, {}])
    first, _ = sdp_bound(hours[1:], Devices(at(network, *names), sun[1:]), [{}])
    more, _ = sdp_bound([replace(h, losses_kw=12.0) for h in hours], Devices(at(network, *names), sun), [{}, {}])
    least = least_kw(hours, Devices(at(network, *names), sun))
    assert least <= first.bound_kw and least <= more.bound_kw and least <= both.bound_kw


def test_a_battery_moves_noon_to_night():
    """Two hours: what a lossless battery of 90 kW takes at noon it gives at night; and no more."""
    network, names = built(two_bus()), ("a.1", "a.2", "a.3")
    hours, sun = [hour_of(network, 8.0)] * 2, np.array([[1.0] * 3, [0.0] * 3])
    unit = BessUnit("b", "a", 300.0, 90.0, 1.0, 1.0, 0.0, 1.0)
    without, _ = sdp_bound(hours, Devices(at(network, *names), sun), [{}, {}])
    places = (at(network, *names),)
    cyclic, _ = sdp_bound(hours, Devices(at(network, *names), sun, (), (unit,), places, None, 1.0, (2,)), [{}, {}])
    loose, _ = sdp_bound(hours, Devices(at(network, *names), sun, (), (unit,), places), [{}, {}])
    gained = cyclic.bound_kw - without.bound_kw
    assert gained == pytest.approx(90.0, rel=0.05)
    tight = Devices(at(network, *names), sun, (), (unit,), places, None, 1.0, (2,))
    assert least_kw(hours, tight) <= loose.bound_kw
    capped, _ = sdp_bound(hours, Devices(at(network, *names), sun, (((0, 1, 2), 100.0),)), [{}, {}])
    assert capped.bound_kw == pytest.approx(100.0, rel=1e-3)


# -- states of random feeders -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_states_of_random_radial_feeders_fit(seed):
    """One phase, as `random_feeder` draws it: 1 MVA and 1 kV."""
    drawn = random_feeder(seed)
    feeder = HandFeeder(1000.0, np.sqrt(drawn.source_u_pu), phases=(1,))
    for j, parent in enumerate(drawn.parent):
        start = "src" if parent < 0 else str(parent + 1)
        z = np.array([[drawn.r_pu[j] + 1j * drawn.x_pu[j]]])
        feeder.line(str(j + 1), start, str(j + 1), z, phases=(1,))
        feeder.load(f"{j + 1}.1", 1e3 * drawn.load_p_mw[j], 1e3 * drawn.load_q_mvar[j])
        if drawn.shunt_b_pu[j]:
            feeder.shunt(str(j), (f"{j + 1}.1",), [[1j * drawn.shunt_b_pu[j]]])
    network = built(feeder)
    names = [b.name for b in network.branches]
    branches = list(network.branches)
    for j, ratio in enumerate(drawn.ratio):
        b = names.index(f"Line.{j + 1}")
        branches[b] = replace(branches[b], transfer=np.array([[ratio + 0j]]))
    fits(replace(network, branches=tuple(branches)))


@pytest.mark.parametrize("seed", range(8))
def test_states_of_random_three_phase_feeders_fit(seed):
    """Coupled lines of one to three phases, charging, delta and mixed loads, a delta-wye transformer."""
    draw = np.random.default_rng(seed)
    feeder, phases = HandFeeder(source_pu=1.02), {"src": (1, 2, 3)}
    shift = np.array([[1, -1, 0], [0, 1, -1], [-1, 0, 1]]) / np.sqrt(3) * 480.0 / 2400.0
    for j in range(6):
        start = str(draw.choice(list(phases)))
        count = int(draw.integers(1, len(phases[start]) + 1))
        own = tuple(sorted(int(p) for p in draw.choice(phases[start], count, replace=False)))
        block = np.ix_([p - 1 for p in own], [p - 1 for p in own])
        feeder.line(f"{j}", start, f"n{j}", float(draw.uniform(0.2, 1.0)) * Z[block], own, y_s=1e-6j)
        phases[f"n{j}"] = own
        mix = draw.dirichlet(np.ones(3))
        feeder.load(f"n{j}.{own[0]}", float(draw.uniform(5, 40)), float(draw.uniform(0, 20)), mix=mix)
        if len(own) > 1:
            feeder.load(f"n{j}.{own[0]}", float(draw.uniform(5, 40)), 5.0, minus=f"n{j}.{own[1]}", mix=mix)
    feeder.transformer("t", "src", "low", shift, 0.01 + 0.02j, 480.0 / np.sqrt(3) * np.sqrt(3) / 1.0)
    feeder.load("low.1", 20.0, 5.0).load("low.2", 10.0, 5.0, minus="low.3")
    fits(built(feeder))


def fits(network):
    hour = hour_of(network, np.inf, floor=-np.inf, low=0.5, high=1.5)
    hour = replace(hour, u_min=0.4 * np.ones_like(hour.u_min), u_max=1.6 * np.ones_like(hour.u_max), losses_kw=1e6)
    pv = Devices((len(network.nodes) - 1,), np.ones((1, 1)))
    program, _ = sdp_program([hour], pv, [{}])
    fit = fit_of_state(program)
    assert fit.equalities < 1e-6 and fit.cones < 1e-9 and fit.inequalities < 1e-9


# -- what is refused, what a load is ----------------------------------------------------------------------


def test_a_loop_is_refused_by_name():
    feeder = two_bus().line("2", "src", "b", Z).line("3", "b", "a", Z)
    network = built(feeder)
    with pytest.raises(ModelError, match=r"Line\.1.*Line\.3|Line\.3.*Line\.1"):
        sdp_bound([hour_of(network, 9.0)], one_hour(network, ("a.1",), 0.5), [{}])


def test_lines_side_by_side_are_one():
    network = built(two_bus().line("2", "src", "a", Z))
    bound, fit = sdp_bound([hour_of(network, 9.0)], one_hour(network, ("a.1",), 0.5), [{}])
    assert bound.status == "proven" and fit.worst < 1e-6


def test_a_floating_side_is_refused_where_it_feeds_somebody_and_reduced_where_not():
    feeder = two_bus()
    feeder.transformer("d", "a", "d", np.eye(3) - 1 / 3, 1.0)
    network = built(feeder)
    pair = np.array([[1, -1, 0], [0, 1, -1], [-1, 0, 1]])
    y = pair.T @ pair * (1 - 3j) / 3
    branch = network.branches[-1]
    full = np.block([[y, -y], [-y, y + 1e-9 * np.eye(3)]])
    prim = replace(branch, prim_nodes=(*branch.from_nodes, *branch.to_nodes), y_prim_s=full)
    network = replace(network, branches=(*network.branches[:-1], prim))
    bound, fit = sdp_bound([hour_of(network, 9.0, low=0.0)], one_hour(network, ("a.1",), 0.5), [{}])
    assert bound.status == "proven" and fit.worst < 1e-6
    with pytest.raises(ModelError, match=r"Transformer\.d"):
        sdp_bound([hour_of(network, 9.0, low=0.0)], one_hour(network, ("d.1",), 0.5), [{}])


def test_a_site_between_conductors_and_a_zone_are_refused():
    network = built(two_bus())
    at_a = at(network, "a.1")[0]
    reference = network.v_reference.copy()
    reference[at_a] = at_a + 1
    hour = hour_of(network, 9.0)
    devices = one_hour(network, ("a.1",), 0.5)
    with pytest.raises(ModelError, match=r"a\.1 stands between"):
        sdp_bound([replace(hour, network=replace(network, v_reference=reference))], devices, [{}])
    with pytest.raises(ModelError, match="zone m1"):
        sdp_bound([replace(hour, network=replace(network, zone="m1"))], devices, [{}])


def test_too_large_says_fewer_hours():
    network = built(two_bus())
    program, _ = sdp_program([hour_of(network, 9.0)], one_hour(network, ("a.1",), 0.5), [{}])
    assert memory_gib(program) < 1.0
    with pytest.raises(SolverError, match="fewer hours"):
        sdp_bound([hour_of(network, 9.0)], one_hour(network, ("a.1",), 0.5), [{}], memory_gib=1e-6)


def test_clarabel_missing_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "clarabel", None)
    network = built(two_bus())
    with pytest.raises(SolverError, match="pip install"):
        sdp_bound([hour_of(network, 9.0)], one_hour(network, ("a.1",), 0.5), [{}])


def test_power_of_legs_is_inside_its_lines():
    """Every mix, and the bands outside of which a load changes its nature."""
    draw = np.random.default_rng(3)
    count = 40
    mix = draw.dirichlet(np.ones(3), count)
    zeros, ones = np.zeros(count, dtype=int), np.ones(count)
    legs = LoadLegs(
        ("Load.x",) * count, zeros, zeros - 1, 10 * ones, 4 * ones, ones, mix, mix, 0.95 * ones, 1.05 * ones
    )
    p, q = draw.uniform(-1, 1, count), draw.uniform(-1, 1, count)
    lines = envelope(legs, p, q, 0.9 * ones, 1.1 * ones)
    for u in draw.uniform(0.9, 1.1, 300):
        s = leg_powers_at(legs, u * ones)
        rest = s.real * p + 1j * s.imag * q - lines.slope * u**2
        assert np.all(rest.real >= lines.least.real - 1e-9) and np.all(rest.real <= lines.most.real + 1e-9)
        assert np.all(rest.imag >= lines.least.imag - 1e-9) and np.all(rest.imag <= lines.most.imag + 1e-9)


# -- a case -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["none", "centralized"])
def test_nothing_certified_is_above_it(program):
    """OpenDSS has passed what is certified; the ceiling is what that loses."""
    from hcsim.certify.loop import certify
    from hcsim.certify.options import LoopOptions
    from hcsim.workbench.allocation import Workbench
    from hcsim.workbench.sdp_bounds import no_more_than_sdp
    from optim.hosting.search import solve_hosting
    from optim.solve.options import SolveOptions

    bench = Workbench.open(Path(__file__).parents[1] / "cases" / "three_bus")
    claim = solve_hosting(bench.problem(program), program, SolveOptions(gap=1e-3))
    found = certify(bench, claim, LoopOptions(max_rounds=4, bound=False))
    assert found.replay.passed
    bound = no_more_than_sdp(bench, program, beside=[found.replay]).bound
    assert bound.status == "proven" and 0 < found.schedule.hc_kw <= bound.bound_kw < 1.2 * found.schedule.hc_kw

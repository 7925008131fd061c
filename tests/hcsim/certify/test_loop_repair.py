"""What a replay broke is taken back by the least that OpenDSS, regulators held, needs."""

import ast
import importlib.util
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from test_certify import bench_of

from hcsim.certify.margins import Learned, Margins
from hcsim.certify.options import LoopOptions
from hcsim.certify.repair import repaired
from hcsim.replay.operating_points import Visit, visit
from hcsim.replay.options import ReplayOptions
from hcsim.schedules.edit import blend, resized
from optim.data.violations import new_violations
from optim.hosting.search import solve_hosting

NONE = Margins(0.0, 0.0, 0.0)
DEFAULTS = LoopOptions()
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return bench_of(tmp_path_factory.mktemp("repair") / "case")


@pytest.fixture(scope="module")
def far(bench):
    """A tenth more PV than the program has on the locked feeder, beside a battery: overvoltage where the sun is."""
    claim = solve_hosting(bench.problem("centralized"), "centralized", bench.solve_options())
    assert np.all(claim.pv_kw > 0)
    return resized(claim, 1.1 * claim.hc_kw)


def seen_at(bench, schedule) -> Visit:
    b = bench
    return visit(b.model, schedule, b.ports, ReplayOptions("locked", before=b.replay(None, "locked").before))


def test_takes_back_what_was_broken_and_little_more(bench, far):
    seen = seen_at(bench, far)
    assert set(new_violations(seen.found.violations)["criterion"]) == {"overvoltage"}
    less = repaired(far, seen.found, seen.model, NONE, DEFAULTS)
    assert less is not None and less.hc_kw < far.hc_kw
    assert seen_at(bench, less).found.passed
    # `taken_back` of the overstep was asked for: halfway to where it is reached, plus what is of second order
    back = 2 * (1 - 1 / DEFAULTS.taken_back)
    assert not seen_at(bench, blend(less, far, back)).found.passed


def test_batteries_and_other_hours_keep_what_they_have(bench, far):
    seen = seen_at(bench, far)
    less = repaired(far, seen.found, seen.model, NONE, DEFAULTS)
    assert less is not None
    assert np.array_equal(less.bess_p_kw, far.bess_p_kw) and np.array_equal(less.soc_kwh, far.soc_kwh)
    r = bench.profiles.pv_pu[:, None]
    assert less.pv_p_kw == pytest.approx(r * less.pv_kw)
    assert np.all(np.abs(less.pv_q_kvar) <= np.sqrt(1 - r**2) * less.pv_kw + 1e-6)  # (7c)
    broken = new_violations(seen.found.violations)["step"].unique()
    quiet = np.setdiff1d(np.arange(len(r)), broken)
    left = less.pv_kw / far.pv_kw
    assert less.pv_q_kvar[quiet] == pytest.approx(left * far.pv_q_kvar[quiet])


def test_margins_are_asked_for_too(bench, far):
    seen = seen_at(bench, far)
    plain, wide = (repaired(far, seen.found, seen.model, Margins(pu, 0.0, 0.0), DEFAULTS) for pu in (0.0, 2e-3))
    assert plain is not None and wide is not None
    high = [seen_at(bench, s).found.operation.v_pu.max() for s in (plain, wide)]
    assert high[0] - high[1] == pytest.approx(2e-3, rel=0.1)  # second order


def test_other_things_are_not_for_it(bench, far):
    seen = seen_at(bench, far)
    table = seen.found.violations.copy()
    table.loc[table.index[0], "criterion"] = "stored_energy"
    assert repaired(far, replace(seen.found, violations=table), seen.model, NONE, DEFAULTS) is None
    assert repaired(far, replace(seen.found, violations=table.iloc[:0]), seen.model, NONE, DEFAULTS) is None


def test_an_hour_learns_from_what_was_broken_in_it(bench, far):
    found = seen_at(bench, far).found
    least, most = Margins.least(DEFAULTS), Margins.most(DEFAULTS, 900.0)
    assert most.kw == 30.0 and Margins.most(DEFAULTS, 9000.0).kw == 150.0
    learned = Learned(DEFAULTS, most, len(bench.profiles))
    learned.take(found, moved=False)
    broken = np.isin(np.arange(len(bench.profiles)), new_violations(found.violations)["step"])
    assert broken.any() and not broken.all()
    assert np.all(learned.kept[0, broken] > least.pu) and np.all(learned.kept[0] <= most.pu)
    assert np.all(learned.kept[0, ~broken] == least.pu), "other hours have broken nothing"
    assert np.all(learned.kept[1] == least.kw), "only voltages were broken"
    assert np.all(learned.share[broken] < 1.0) and np.all(learned.share[~broken] == 1.0)
    worse = learned.kept.copy()
    learned.take(seen_at(bench, blend(far, resized(far, 0.0), 0.9)).found, moved=True)
    assert np.all(learned.kept[0, broken] < worse[0, broken]), "fades where nothing is broken any more"


def test_every_constant_of_the_loop_is_an_option_with_a_sweep():
    """Budgets and what the user asks for apart, `scripts/sweep_loop.py` shows what each decides; and no module of the
    loop has a number of its own beside them."""
    spec = importlib.util.spec_from_file_location("sweep_loop", ROOT / "scripts" / "sweep_loop.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    asked = {"time_limit_s", "tolerance", "controls", "bound", "max_tap_operations", "soc_reserve"}
    assert script.VALUES.keys() == {f.name for f in fields(LoopOptions)} - asked
    for name in ("loop", "walk", "trials", "margins", "repair", "decisions"):
        tree = ast.parse((ROOT / "hcsim" / "certify" / f"{name}.py").read_text(encoding="utf-8"))
        numbers = [
            node
            for statement in tree.body
            if isinstance(statement, ast.Assign | ast.AnnAssign) and not isinstance(statement.value, ast.Dict)
            for node in ast.walk(statement)
            if isinstance(node, ast.Constant) and isinstance(node.value, int | float)
        ]
        assert not numbers, name

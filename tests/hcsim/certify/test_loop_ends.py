"""Where the closed loop ends: against a fine grid, with more to start from, and what a guard or a budget cut."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hcsim.certify.certificate import CERTIFIED, OUT_OF_ROUNDS, OUT_OF_TIME
from hcsim.certify.loop import certify
from hcsim.certify.options import LoopOptions
from hcsim.schedules.edit import idle, resized, scaled
from hcsim.workbench.allocation import Workbench
from optim.hosting.search import solve_hosting

CASES = Path(__file__).parents[2] / "cases"
STUDY = """
[feeder]
master = "Master.dss"
[limits]
v_max_pu = 1.02
v_min_pu = 0.9
substation_min_kw = -5000.0
[program]
{program}
[pv]
buses = ["b1"]
night_var = false
max_kw_per_bus = "off"
"""
SUN, LOAD = (0.0, 0.3, 1.0, 0.9, 0.4, 0.0), (0.5, 0.5, 0.6, 0.5, 0.7, 0.9)


def bench_of(folder: Path, program: str = "") -> Workbench:
    """One regulator, one site; r = 1 at noon, so that the inverter has no reactive power there: PV alone decides."""
    folder.mkdir()
    (folder / "Master.dss").write_text((CASES / "two_bus_regulator.dss").read_text())
    (folder / "study.toml").write_text(STUDY.format(program=program))
    hours = [f"{h},{LOAD[h // 4]},{SUN[h // 4]}" for h in range(24)]
    (folder / "profiles.csv").write_text("hour,load_pu,pv_pu\n" + "\n".join(hours) + "\n")
    return Workbench.open(folder)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return bench_of(tmp_path_factory.mktemp("ends") / "case")


@pytest.fixture(scope="module")
def claim(bench):
    return solve_hosting(bench.problem("none"), "none", bench.solve_options())


@pytest.fixture(scope="module")
def found(bench, claim):
    return certify(bench, claim, LoopOptions(bound=False))


STEP = 0.002


def test_no_size_of_a_fine_grid_is_better(bench, found):
    """All three phases in the certified shares, sizes one after the other: no bisection, no model. Above the first
    size that fails larger ones may pass again; the loop must be as good as the largest of all."""
    bare = bench.replay(None, "free")
    sizes = found.certified_kw * np.arange(0.9, 1.1, STEP)
    passed = [kw for kw in sizes if bench.replay(resized(found.schedule, kw), "free", base=bare).passed]
    assert found.status == CERTIFIED and found.cut == ""
    assert max(passed) >= (1 - STEP) * found.certified_kw
    assert found.certified_kw >= (1 - LoopOptions().tolerance - STEP) * max(passed)
    assert found.offered_kw <= LoopOptions().tolerance * found.certified_kw or "further inside" in found.reason


def test_more_knowledge_never_ends_lower(bench, claim, found):
    starts = [scaled(found.schedule, share) for share in (0.3, 0.9, 1.0)]
    more = certify(bench, claim, LoopOptions(bound=False), starts=starts)
    assert more.certified_kw >= found.certified_kw


def test_same_loop_twice_is_the_same_to_the_bit(bench, claim, found):
    again = certify(bench, claim, LoopOptions(bound=False))
    assert again.certified_kw == found.certified_kw
    assert np.array_equal(again.schedule.pv_q_kvar, found.schedule.pv_q_kvar)
    assert [r.claim_kw for r in again.rounds] == [r.claim_kw for r in found.rounds]


def test_a_guard_shorter_than_the_first_program_says_so(bench, claim):
    cut = certify(bench, claim, LoopOptions(time_limit_s=1e-6, bound=False))
    assert cut.status == OUT_OF_TIME and cut.cut == "time" and not cut.settled and cut.replay.passed


def test_a_budget_of_rounds_says_so(bench, claim):
    cut = certify(bench, scaled(claim, 0.2), LoopOptions(max_rounds=1, bound=False))
    assert cut.status == OUT_OF_ROUNDS and cut.cut == "work" and len(cut.rounds) <= 2


def test_what_binds_at_the_end(bench, found):
    """The end of the line when the sun is highest: behind it the regulator, 120 V within 1 V, keeps its own node far
    below 1.02 pu. A hundredth of a pu more is worth its price."""
    dearest = found.binding[0]
    assert dearest.limit == "overvoltage" and dearest.element.startswith("m.")
    assert 8 <= int(dearest.time[:2]) < 12 and dearest.kw_per_unit > 0


def test_a_ceiling_on_losses_is_kept(bench, claim, found, tmp_path):
    """The bare feeder's losses are the least ceiling: 1e-6 per cent asks for no more than those."""
    tight = bench_of(tmp_path / "tight", "losses_max_pct = 1e-6")
    kept = certify(tight, claim, LoopOptions(bound=False))
    bare = tight.replay(None, "free")
    assert np.all(kept.replay.losses_kw <= bare.losses_kw + tight.limits.p_tolerance_kw)
    assert np.any(found.replay.losses_kw > bare.losses_kw + tight.limits.p_tolerance_kw)
    assert 0 < kept.certified_kw < found.certified_kw


def test_idle_devices_are_no_certificate_of_a_capacity(bench, claim):
    nothing = certify(bench, idle(claim), LoopOptions(max_rounds=0, bound=False))
    assert nothing.certified_kw == 0.0 and replace(nothing, rounds=()).rounds == ()

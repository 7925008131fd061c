"""Certified schedules on days of other load and sun: against plain replays, one by one."""

from dataclasses import replace

import numpy as np
import pytest
from guards import NEVER_S
from test_certify import bench_of, claim_of

from hcsim.certify.certificate import write_certificate
from hcsim.certify.loop import certify
from hcsim.certify.many_days import Days
from hcsim.certify.options import LoopOptions
from hcsim.certify.robustness import Draws, DrawsOutcome, RobustnessSettings, perturbed, with_robustness
from hcsim.report.allocation.closed_loop import robustness_words
from hcsim.schedules.edit import scaled
from hcsim.schedules.files import read_schedule
from optim.data.violations import Excess, new_violations, worst_new

DRAWS, SEED = 25, 2


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return bench_of(tmp_path_factory.mktemp("days") / "case")


@pytest.fixture(scope="module")
def found(bench):
    return certify(bench, claim_of(bench), LoopOptions(time_limit_s=NEVER_S, bound=False))


@pytest.fixture(scope="module")
def tried(bench, found):
    return with_robustness(bench, found, RobustnessSettings(draws=DRAWS, seed=SEED, margin_s=8.0))


def replayed(bench, schedule, load: float, sun: float, base: bool = True):
    """The road of `hcsim replay`: a study with another load profile, everything made anew."""
    profiles = replace(bench.profiles, load_pu=load * bench.profiles.load_pu)
    other = replace(bench, case=replace(bench.case, profiles=profiles))
    bare = other.replay(None, "free") if base else None
    return other.replay(perturbed(schedule, sun), "free", base=bare)


def share_by_replays(bench, schedule) -> float:
    draws = Draws.seeded(DRAWS, SEED)
    return float(np.mean([replayed(bench, schedule, *d).passed for d in zip(draws.load, draws.pv, strict=True)]))


def test_share_is_what_plain_replays_say(bench, found, tried):
    facts = tried.robustness
    assert facts["share_passed"] == share_by_replays(bench, found.schedule)
    assert 0.0 < facts["share_passed"] < 1.0, "else this tests nothing"
    assert facts["draws"] == DRAWS and sum(facts["by_criterion"].values()) >= 1.0 - facts["share_passed"]


def test_share_in_range_counts_days_that_the_bare_feeder_might_show(bench, found, tried):
    """By hand on the replays' tables: beyond the limit, but not beyond the worst of the bare feeder's days."""
    inside = 0
    for load, sun in zip(*vars(Draws.seeded(DRAWS, SEED)).values(), strict=True):
        day = replayed(bench, found.schedule, load, sun)
        profiles = replace(bench.profiles, load_pu=load * bench.profiles.load_pu)
        bare = replace(bench, case=replace(bench.case, profiles=profiles)).replay(None, "free")
        high = np.max([b.v_pu for b in bare.before.days], axis=0)
        low = np.min([b.v_pu for b in bare.before.days], axis=0)
        v, tolerance = day.operation.v_pu, 1e-5
        over = v > np.maximum(bench.limits.v_max_pu, high) + tolerance
        under = v < np.minimum(bench.limits.v_min_pu, low) - tolerance
        inside += not (over.any() or under.any() or day.operation.substation_kw.min() < -5000.0)
    assert tried.robustness["share_in_range"] == inside / DRAWS >= tried.robustness["share_passed"]


def test_what_breaks_is_what_plain_replays_show(bench, found, tried):
    worst = tried.robustness["causes"][0]
    seen = 0
    for load, sun in zip(*vars(Draws.seeded(DRAWS, SEED)).values(), strict=True):
        table = new_violations(replayed(bench, found.schedule, load, sun).violations)
        first = table[table["criterion"] == worst["criterion"]].head(1)
        seen += bool(((first["element"] == worst["element"]) & (first["phase"] == worst["phase"])).any())
    assert worst["share"] == seen / DRAWS


def test_capacity_with_a_margin_passes_by_plain_replays(bench, found, tried, tmp_path):
    facts = tried.robustness
    assert facts["margin_status"] == "found" and tried.robust is not None
    assert 0.0 < facts["robust_kw"] < found.certified_kw
    assert facts["margin_kw"] == pytest.approx(found.certified_kw - facts["robust_kw"])
    write_certificate(tried, tmp_path)
    own = read_schedule(tmp_path / "schedules/none_robust", network=bench.network, profiles=bench.profiles)
    assert own.hc_kw == pytest.approx(facts["robust_kw"])
    assert share_by_replays(bench, own) == facts["robust_share"] >= 0.95
    assert replayed(bench, own, 1.0, 1.0).passed, "the day it is made for is a day too"


@pytest.mark.parametrize("program", ["none", "centralized"])
def test_a_day_is_the_replay_of_that_day(bench, program):
    """Other loads, suns and sizes one after the other leave nothing behind."""
    claim = claim_of(bench, program)
    with Days(bench, claim) as days:
        seen = []
        for load, sun, size in ((1.0, 1.0, 1.0), (0.9, 1.1, 0.5), (1.1, 0.9, 0.5), (1.0, 1.0, 1.0)):
            own = scaled(claim, size)
            operation = days.run(perturbed(own, sun), load)
            seen.append((operation, own, load, sun, days.delivered()))
    for operation, own, load, sun, delivered in seen:
        plain = replayed(bench, own, load, sun, base=False)
        assert np.array_equal(operation.v_pu, plain.operation.v_pu, equal_nan=True)
        assert np.array_equal(operation.substation_kw, plain.operation.substation_kw)
        of_devices = plain.violations["criterion"].isin(("not_delivered", "stored_energy"))
        assert delivered == (not of_devices.any())
        assert [(e.criterion, e.element, e.step) for e in worst_new(operation, bench.limits)] == [
            (c, rows.iloc[0]["element"], rows.iloc[0]["step"])
            for c, rows in plain.violations[~of_devices].groupby("criterion", sort=False)
        ]


def test_draws_are_seeded_and_within_their_spread():
    a, b = Draws.seeded(50, 3, 0.1), Draws.seeded(50, 3, 0.1)
    assert np.array_equal(a.load, b.load) and np.array_equal(a.pv, b.pv)
    assert a.load.min() >= 0.9 and a.load.max() <= 1.1 and not np.array_equal(a.load, a.pv)
    assert np.array_equal(Draws.seeded(20, 3, 0.1).pv, a.pv[:20]), "what there is no time for is the end"


def test_inverter_does_not_exceed_its_rating(found):
    strong = perturbed(found.schedule, 1.1)
    assert np.all(np.hypot(strong.pv_p_kw, strong.pv_q_kvar) <= strong.pv_kw + 1e-9)


def test_draws_there_is_no_time_for_are_left_out_and_said(bench, found):
    hurried = with_robustness(bench, found, RobustnessSettings(draws=DRAWS, seed=SEED, most_s=0.0))
    assert hurried.robustness["draws"] == 1 and "1 of 25 days tried in the time there was" in robustness_words(hurried)


def test_a_schedule_that_passes_needs_no_margin(bench, tried):
    again = with_robustness(
        bench, replace(tried, schedule=tried.robust), RobustnessSettings(draws=DRAWS, seed=SEED, margin_s=5.0)
    )
    assert again.robustness["margin_status"] == "not needed" and again.robust is None
    assert again.robustness["margin_kw"] == 0.0


def excess(criterion: str, beyond: float, unit: str = "pu", element: str = "a", step: int = 0) -> Excess:
    return Excess(criterion, unit, element, "1", step, np.nan, beyond)


def test_causes_and_what_is_overstepped_by_hand():
    """Twenty draws: one far out, two by voltage, four by power."""
    far = (excess("overvoltage", 0.02), excess("reverse_flow", 300.0, "kW", "src"))
    volts = [(excess("overvoltage", 0.001 * k, step=3),) for k in (1, 2)]
    power = [(excess("reverse_flow", 10.0 * k, "kW", "src"),) for k in (1, 2, 3, 4)]
    outcome = DrawsOutcome((far, *volts, *power, *[()] * 13), ("00:00", "01:00", "02:00", "03:00"))
    assert outcome.share_passed == 13 / 20
    assert outcome.by_criterion() == {"overvoltage": 3 / 20, "reverse_flow": 5 / 20}
    first, second = outcome.causes()
    assert (first["criterion"], first["share"], first["beyond"]) == ("reverse_flow", 0.25, 30.0)
    assert (second["criterion"], second["hour"], second["beyond"]) == ("overvoltage", "03:00", 0.002)
    assert outcome.overstepped(0.95).tolist() == [0.002, 40.0, 0.0]
    assert outcome.overstepped(1.0).tolist() == [0.02, 300.0, 0.0]
    lost = DrawsOutcome(((excess("convergence", np.nan, ""),), ()), ("00:00",))
    assert np.isnan(lost.overstepped(0.95)).all() and lost.overstepped(0.5).tolist() == [0.0, 0.0, 0.0]


def test_words_name_the_cause_and_the_margin(tried):
    words = robustness_words(tried)
    worst = tried.robustness["causes"][0]
    assert f"{worst['element']}.{worst['phase']}" in words and f"{tried.robustness['robust_kw']:.1f} kW" in words
    assert "drawn days" in words and robustness_words(replace(tried, robustness={})) == ""

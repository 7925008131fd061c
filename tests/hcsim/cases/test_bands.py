"""Limits per voltage level, on a feeder whose two levels have the same voltage in pu: what tells them apart is the
band alone, and where it breaks follows from a quadratic."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from guards import NEVER_S
from scipy.optimize import brentq

from hcsim.cases.config.feeder import FeederSection
from hcsim.cases.config.study import parse_config
from hcsim.cases.defaults import SitesWanted, study_text
from hcsim.cases.screening_limits import simulation_limits
from hcsim.certify.loop import certify
from hcsim.certify.options import LoopOptions
from hcsim.errors import ConfigError
from hcsim.feeder.model import FeederModel
from hcsim.hosting.hour_probe import Prober
from hcsim.hosting.nodal import NodalJob, Site, search_site
from hcsim.hosting.open_feeder import FeederFiles as Feeder
from hcsim.hosting.year_recorder import record_year
from hcsim.schedules.edit import spread_evenly
from hcsim.workbench.allocation import Workbench
from optim.data.limits import Limits, VoltageBand
from optim.data.violations import new_violations
from optim.errors import ModelError
from optim.hosting.search import solve_hosting

MASTER = Path(__file__).parents[2] / "cases" / "two_levels.dss"
STUDY = """
[feeder]
master = "two_levels.dss"
[limits]
v_max_pu = 1.05
substation_min_kw = "off"
{bands}
[program]
linearization = "tangent"
[pv]
buses = ["s"]
night_var = false
"""
SERVICE = """
[[limits.bands]]
kv_max = 1.0
v_min_pu = 0.9
v_max_pu = 1.02
"""
LOAD_PU = (1.0, 0.5, 0.8)
PV_PU = (0.0, 1.0, 0.4)


def bench_of(folder: Path, bands: str = SERVICE) -> Workbench:
    folder.mkdir(exist_ok=True)
    (folder / MASTER.name).write_text(MASTER.read_text())
    (folder / "study.toml").write_text(STUDY.format(bands=bands))
    rows = [f"{8 * h},{load},{pv}" for h, (load, pv) in enumerate(zip(LOAD_PU, PV_PU, strict=True))]
    (folder / "profiles.csv").write_text("hour,load_pu,pv_pu\n" + "\n".join(rows) + "\n")
    return Workbench.open(folder)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return bench_of(tmp_path_factory.mktemp("bands") / "case")


def far_pu(net_kw: float) -> float:
    """Voltage at the end for a balanced injection of so many kW: u^2 - (1 + 2 r p) u + |z|^2 p^2 = 0, u = v^2, per
    unit of 12.47 kV."""
    p, r, z2 = net_kw / 1e3, 1.0 / 12.47**2, 5.0 / 12.47**4
    a = 1.0 + 2.0 * r * p
    return float(np.sqrt((a + np.sqrt(a * a - 4.0 * z2 * p * p)) / 2.0))


def hosted_kw(v_max_pu: float) -> float:
    """PV at noon, where the load is half of 600 kW and the sun is full."""
    return float(brentq(lambda kw: far_pu(kw - 300.0) - v_max_pu, 0.0, 30000.0))


def even(bench: Workbench, kw: float):
    claim = solve_hosting(bench.problem("none"), "none", bench.solve_options())
    return spread_evenly(claim, kw, bench.profiles)


def test_one_level_breaks_its_band_and_the_other_does_not(bench):
    kw = hosted_kw(1.03)
    found = bench.replay(even(bench, kw), "free")
    for bus in ("m", "s"):
        at = [found.operation.nodes.index(f"{bus}.{p}") for p in (1, 2, 3)]
        assert found.operation.v_pu[1, at] == pytest.approx(1.03, abs=1e-5)  # what the transformer is not ideal by
    table = new_violations(found.violations)
    assert set(table["element"]) == {"s"} and set(table["criterion"]) == {"overvoltage"} and len(table) == 3
    assert (table["limit"] == 1.02).all() and (table["time"] == "08:00").all()


def test_simulation_and_program_stop_at_the_band(bench, tmp_path):
    plain = bench_of(tmp_path / "plain", "")
    for here, limit in ((bench, 1.02), (plain, 1.05)):
        simulated = here.baseline("uniform")
        assert simulated.hc_kw == pytest.approx(hosted_kw(limit), abs=8.0)  # 5 kW of bracket, 1e-5 pu of tolerance
        assert simulated.limit["limit"] == limit
        assert simulated.limit["element"] == "s" or here is plain
        claim = solve_hosting(here.problem("none"), "none", here.solve_options())
        top = claim.predicted_v_pu.max(axis=0)
        assert top.max() == pytest.approx(limit, abs=1e-6)
        assert {n[0] for n, v in zip(claim.predicted_nodes, top, strict=True) if v > limit - 1e-5} >= {"s"}


def test_program_knows_the_band_of_every_node(bench):
    problem = bench.problem("none")
    kv = dict(zip(problem.model.nodes, problem.model.kv_base, strict=True))
    assert kv["m.1"] == pytest.approx(12.47) and kv["s.3"] == pytest.approx(0.48)
    high = dict(zip(problem.model.nodes, problem.voltage_ceiling()[0], strict=True))
    low = dict(zip(problem.model.nodes, problem.voltage_floor()[0], strict=True))
    assert (high["m.1"], high["s.1"], low["m.1"], low["s.1"]) == (1.05, 1.02, 0.95, 0.9)


@pytest.mark.parametrize("v_max_pu", [1.02, None])
def test_nodal_search_stops_at_the_band(bench, v_max_pu):
    """Without an upper limit of its own the service level stops nothing, but the level above it does."""
    limits = Limits(v_min_pu=None, substation_min_kw=None, bands=(VoltageBand(None, 1.0, None, v_max_pu),))
    prober = Prober(FeederModel(bench.circuit, bench.network, bench.profiles, limits))
    job = NodalJob(Feeder(MASTER, ""), bench.profiles, limits, largest_kw_per_phase=10000.0)
    (found,) = search_site(prober, job, Site("x", "s", ("s.1", "s.2", "s.3"), "generation"))
    assert found.k == pytest.approx(hosted_kw(v_max_pu or 1.05), abs=3.0)  # 1 kW of resolution, 1e-5 pu of tolerance
    assert prober.element_of(0, found.at)[0] == ("s" if v_max_pu else "m")
    prober.leave()


def test_closed_loop_certifies_up_to_the_band(bench):
    claim = solve_hosting(bench.problem("none"), "none", bench.solve_options())
    found = certify(bench, claim, LoopOptions(time_limit_s=NEVER_S, bound=False))
    # the loop's own margin is 2e-4 pu of a rise of 0.02; violations have a tolerance of 1e-5 pu
    assert 0.985 * hosted_kw(1.02) <= found.certified_kw <= hosted_kw(1.02) + 3.0


def test_a_year_counts_by_level(bench, tmp_path):
    pv_kw = {f"s.{p}": hosted_kw(1.03) / 3 for p in (1, 2, 3)}
    year = record_year(FeederModel(bench.circuit, bench.network, bench.profiles, bench.limits), tmp_path, pv_kw=pv_kw)
    assert year.hours_above == dict.fromkeys(("s.1", "s.2", "s.3"), 8.0) and not year.hours_below


def test_command_line_limits_hold_at_every_level(bench):
    section = bench.case.config.limits
    own, said = simulation_limits(section), simulation_limits(section, ["overvoltage=1.03"])
    kv = bench.network.kv_of(["m.1", "s.1"])
    assert own.v_max_at(kv).tolist() == [1.05, 1.02] and said.v_max_at(kv).tolist() == [1.03, 1.03]
    assert said.v_min_at(kv).tolist() == [0.95, 0.9]
    with pytest.raises(ConfigError, match="undervoltage"):
        simulation_limits(section, ["overvoltage=0.92"])


def test_lines_for_figures_are_those_of_the_levels_there_are(bench):
    kv = bench.network.kv_base
    assert bench.limits.v_lines(kv) == [
        ("below 1 kV", 0.9),
        ("below 1 kV", 1.02),
        ("elsewhere", 0.95),
        ("elsewhere", 1.05),
    ]
    assert [w for w, _ in bench.limits.v_lines(kv[-3:])] == ["below 1 kV"] * 2
    assert Limits().v_lines() == [("", 0.95), ("", 1.05)]


def test_levels_tell_the_nodes_apart(bench):
    (low, service), (rest, others) = bench.limits.levels(bench.network.kv_base)
    assert (low, rest) == ("below 1 kV", "elsewhere") and not np.any(service & others) and np.all(service | others)
    assert [n[0] for n, inside in zip(bench.network.nodes, service, strict=True) if inside] == ["s"] * 3
    ((words, every),) = Limits().levels(bench.network.kv_base)
    assert words == "" and every.all()


def test_levels_that_are_not_known_cannot_be_judged(bench):
    with pytest.raises(ModelError, match="nominal voltages"):
        bench.limits.v_max_at(None)


# -- what the user is told ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bands", "says"),
    [
        ("[[limits.bands]]\nv_max_pu = 1.02", "kv_min, kv_max or both"),
        ("[[limits.bands]]\nkv_min = 2.0\nkv_max = 1.0", "kv_min = 2 must be below kv_max = 1"),
        ("[[limits.bands]]\nkv_max = 1.0\nv_min_pu = 1.06", "band below 1 kV: v_min_pu = 1.06 must be below v_max_pu"),
        (SERVICE + "[[limits.bands]]\nkv_min = 0.5\nkv_max = 20.0", "one level: below 1 kV, and 0.5 to 20 kV"),
        ("[[limits.bands]]\nkv_max = 1.0\nv_max = 1.02", "unknown key 'v_max' in [limits.bands]. Nearest: kv_max"),
        ("[[limits.bands]]\nkv_max = 1.0\nv_max_pu = 240", "looks like volts"),
        ("[[limits.bands]]\nkv_min = 20.0\nv_max_pu = 1.1", "no node of two_levels is from 20 kV.*12.47, 0.48 kV"),
    ],
)
def test_bands_that_cannot_be(tmp_path, bands, says):
    with pytest.raises(ConfigError) as caught:
        bench_of(tmp_path / "bad", bands)
    assert re.search(says.replace("[", r"\["), str(caught.value), re.DOTALL), str(caught.value)


def test_bands_that_touch_are_two(tmp_path):
    both = SERVICE + "[[limits.bands]]\nkv_min = 1.0\nv_max_pu = 1.04\n"
    kv = np.array([0.48, 12.47])
    assert bench_of(tmp_path / "two", both).limits.v_max_at(kv).tolist() == [1.02, 1.04]


def test_init_spells_the_band_out(bench):
    text = study_text(bench.network, bench.ledger, FeederSection(master=MASTER.name), 1.0, SitesWanted())
    start = text.index("# [[limits.bands]]")
    end = text.index("\n\n", start)
    written = text[:start] + text[start:end].replace("# ", "", 1).replace("\n# ", "\n") + text[end:]
    limits = parse_config(written, Path("study.toml")).limits.to_limits()
    assert limits.bands == (VoltageBand(0.0, 1.0, 0.917, 1.058),)
    assert "12.47, 0.48 kV" in text and not parse_config(text, Path("study.toml")).limits.bands
    assert replace(limits, bands=()).v_max_at(None) == 1.05

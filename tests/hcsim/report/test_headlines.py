"""The sentence that each page begins with, of results made by hand: number, limit, place, hour, how sure."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic_study import PV_PU, TIMES, T, network, profiles, replay

from hcsim.hosting.nodal_result import NodalResult
from hcsim.hosting.result import HostingCapacityResult
from hcsim.hosting.stochastic_result import StochasticResult
from hcsim.hosting.year_result import YearResult, YearStudy
from hcsim.jobs.campaign import CampaignResult
from hcsim.operate.days import PolicyDays
from hcsim.operate.operation import Day
from hcsim.report.common.page import limit_rows
from hcsim.report.common.tables import cell, heading, table
from hcsim.report.feeder.page import BareDay
from hcsim.report.feeder.page import headline as check_headline
from hcsim.report.operate.page import headline as operate_headline
from hcsim.report.simulation.words import (
    baseline_headline,
    nodal_counts,
    nodal_headline,
    stochastic_headline,
    year_headline,
)
from hcsim.results.operate import OperateResult
from optim.data.limits import Limits, VoltageBand
from optim.data.violations import Excess

pytestmark = pytest.mark.smoke
LIMIT = {"criterion": "reverse_flow", "element": "source", "phase": "2", "time": "10:00", "value": -1.0, "limit": 0.0}
FOUND = HostingCapacityResult("by hand", 2811.8, (2811.8, 2812.8), LIMIT, pd.DataFrame(), (), 40, 1.0, verified=True)


def test_baseline():
    """2,811.8 kW are not 2,812."""
    assert baseline_headline("ieee123", FOUND) == (
        "By plain simulation ieee123 can take 2,811 kW of PV, shared by fixed shares, limited by reverse flow at "
        "source, phase 2, at 10:00. Put back in a feeder compiled anew it holds."
    )
    again = baseline_headline("x", replace(FOUND, verified=False, passed_again_kw=(3000.0, 3500.0)))
    assert again.endswith("It was not put back, though 3,000 to 3,500 kW pass again.")
    none = replace(FOUND, hc_kw=np.nan, undefined="the batteries alone break overvoltage at b, 02:00")
    assert baseline_headline("x", none).startswith("x has no hosting capacity by simulation: the batteries alone")
    free = replace(FOUND, limit={"criterion": "none", "reason": "no limit is broken up to 9000 kW"})
    assert "no limit is broken up to 9000 kW. Put back" in baseline_headline("x", free)


def test_nodal():
    rows = [
        ("b3", 900.0, "overvoltage", "b5", "1", "12:00", "ok", True),
        ("b5", 300.0, "loading", "Line.b5", "2", "13:00", "ok", True),
        ("b6", 40.0, "reverse_flow", "source", "1", "10:00", "ok", False),
        ("b7", 5000.0, "overvoltage", "", "", "", "no limit broken up to the largest size asked", True),
    ]
    columns = ["bus", "hc_kw", "criterion", "binding_element", "binding_phase", "binding_hour", "status", "verified"]
    made = pd.DataFrame(rows, columns=columns).assign(smallest=True)
    outcome = CampaignResult(made, {}, 4, 0, 100, 1.0, 1)
    said = nodal_headline(NodalResult(network(), profiles(), {"generation": outcome}, {"case": "mine"}))
    assert said == (
        "A single bus of mine can take 40 to 5,000 kW of new generation, half of its 4 buses 600 kW or more; least "
        "at bus b6, limited by reverse flow at source, phase 1, at 10:00. 3 of 4 sizes held when put back at its bus "
        "over the whole time; the sizes do not add up."
    )
    counts = "What stops them: overvoltage at 1, loading at 1, reverse flow at 1; nothing up to the largest size at 1."
    assert nodal_counts(made) == counts


def stochastic(first, verified=True):
    kw = np.arange(100.0, 2100.0, 100.0)
    found = pd.DataFrame(
        {
            "deployment": range(20),
            "pattern": "random",
            "hc_pct": kw / 40,
            "hc_kw": kw,
            "first": first,
            "verified": verified,
        }
    )
    outcome = CampaignResult(pd.DataFrame(), {}, 20, 0, 0, 0.0, 1)
    return StochasticResult(network(), outcome, pd.DataFrame(), found, {"case": "mine"})


def test_stochastic():
    """Twenty deployments of 100 to 2,000 kW: the tenth is the half, the first is one in twenty."""
    first = ["overvoltage;loading"] * 12 + ["loading"] * 7 + [""]
    assert stochastic_headline(stochastic(first)) == (
        "Half of 20 random deployments of rooftop PV on mine take 1,000 kW or more (25 % of the nominal load) without "
        "breaking a limit, 19 in 20 take 100 kW or more; what breaks first is most often loading (19 of 20). Of the "
        "steps of penetration simulated, each was put back and held."
    )
    assert "not each held when put back" in stochastic_headline(stochastic(first, verified=False))


def test_year():
    v = np.full(T, 1.0)
    nothing = (v, "b5.1", v, {}, {}, {}, 0.0, {}, {}, 0.0, 0.0, ())
    year = YearResult(np.where(np.arange(T) == 3, 0.9601, 1.0), np.where(np.arange(T) == 9, 1.0495, 1.0), *nothing)
    said = year_headline(YearStudy(profiles(), Limits(), FOUND, {"with_pv": year}, {"case": "mine"}))
    assert said.startswith("Over 24 hours mine can take 2,811 kW of PV")
    assert said.endswith("With it voltages lie between 0.9601 and 1.0495 pu.")


def days(name, broken, curtailed):
    k = len(broken)
    none = np.zeros((k, 0))
    return PolicyDays(name, broken, np.full(k, curtailed), np.zeros(0), none, np.zeros(k), 0, 0, 0.0, TIMES)


def test_operate():
    """Three of four days pass under "follow", one under "schedule"."""
    over = (Excess("overvoltage", "pu", "b5", "1", 11, 1.054, 0.004),)
    policies = {
        "schedule": days("schedule", (over, over, over, ()), 0.0),
        "follow": days("follow", ((), (), (), over), 0.019),
    }
    made = tuple(Day(np.ones(T), np.ones(T)) for _ in range(4))
    found = OperateResult("mine", "best", 5469.3, made, policies, {})
    said = operate_headline(found)
    assert said.startswith("Operated by follow, best with 5,469 kW of PV on mine holds on 75 % of 4 days")
    assert "for 1.9 % of the PV energy; without acting it holds on 25 %" in said
    assert said.endswith("What still breaks is overvoltage at b5, phase 1, at 11:00.")


def test_check():
    net, limits = network(), Limits()
    bare = BareDay(profiles(), limits, replay(net, limits, None, "free", None))
    good = check_headline("mine", {"gate": True, "time gate": True}, 2e-9, bare)
    assert good.startswith(
        "mine is read as OpenDSS has it, to 2e-09 pu at every node; all 2 gates hold. Over its day: "
    )
    bad = check_headline("mine", {"gate": False, "time gate": True}, 0.1, None)
    assert bad == "mine is not read as OpenDSS has it: gate fails. Its day was not simulated."


def test_limits_in_force_name_those_that_are_off():
    rows = dict(limit_rows(Limits(bands=(VoltageBand(None, 1.0, 0.9, 1.1),))))
    assert rows["overvoltage"] == "at most 1.05 pu" and rows["reverse flow"] == "at least 0 kW"
    assert rows["voltage, below 1 kV"] == "0.9 to 1.1 pu" and "loading" in rows["not judged"]


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (1.049963, "v_pu", "1.0500"),
        (12345.67, "losses_kwh", "12,346"),
        (56.78, "pv_kw", "56.8"),
        (39.4, "hc_kw", "39"),
        (-0.04, "p_kw", "0.0"),
        (np.nan, "p_kw", ""),
        (True, "verified", "yes"),
        (1056, "rows", "1,056"),
        ("reverse_flow", "criterion", "reverse flow"),
        ("a_b", "bus", "a_b"),
        ("reverse_flow", "first", "reverse flow"),
        (2.3e-11, "curtailed_share", "0"),
        (2.3e-5, "curtailed_share", "2.3e-05"),
    ],
)
def test_as_many_digits_as_are_true(value, column, text):
    assert cell(value, column) == text


def test_headings_have_units():
    assert [heading(c) for c in ("losses_kwh", "worst_v_pu", "bus", "share_pct", "kw")] == [
        "losses, kWh",
        "worst voltage, pu",
        "bus",
        "share, %",
        "kW",
    ]


def test_a_long_table_says_what_it_leaves_out():
    made = table("t", pd.DataFrame({"pv_kw": PV_PU}), most=10)
    assert len(made["rows"]) == 10 and made["more"] == T - 10

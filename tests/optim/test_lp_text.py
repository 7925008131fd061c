"""Every constraint of the hosting programs as text: a changed sign or index shows as a readable difference.

The feeder: one source phase, PV at p.1, two candidate buses a and b of which one gets a unit of 100 kWh and 60 kW,
two hours (r = 1, then night), 100 and 20 kW of load. Numbers below are in MW and MWh.

After a change that is meant, `python tests/optim/test_lp_text.py` writes the files anew; read the difference.
"""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyomo.environ as pyo
import pytest
from small_programs import linear_model, profiles_of, unit

from optim.data.limits import Limits
from optim.hosting import program as hosting
from optim.hosting import storage
from optim.hosting.limit_rows import LimitRows
from optim.hosting.problem import HostingProblem, TrustRegion
from optim.hosting.storage import Fleet

FILES = Path(__file__).parent / "lp_files"


def problem(**other) -> HostingProblem:
    model = linear_model(
        [100, 20],
        ports=("p.1", "a.1", "b.1"),
        dsub_p_dp=[[-1.0, -0.98, -0.95]],
        dsub_p_dq=[[0.0, 0.01, 0.02]],
        dv_dp=[[4e-4, 2e-4, 3e-4]],
        dv_dq=[[5e-4, 0, 0]],
        v_base=[[1.01], [0.96]],
    )
    fleet = Fleet((unit("a"), unit("b")), (("a.1",), ("b.1",)), 1)
    facts = {"limits": Limits(), "fleet": fleet, **other}
    return HostingProblem(model, profiles_of(model, [0.8, 0.0]), pv_nodes=("p.1",), **facts)


def only(m: pyo.ConcreteModel, *names: str) -> pyo.ConcreteModel:
    """The model with these constraints and its objective."""
    for constraint in m.component_objects(pyo.Constraint):
        if constraint.name not in names:
            constraint.deactivate()
    return m


def built(*names: str, **other) -> pyo.ConcreteModel:
    return only(hosting.build(problem(**other)), *names)


def forbidding() -> HostingProblem:
    given = problem()
    return replace(given, fleet=replace(given.fleet, circulation="forbid"))


def counted() -> pyo.ConcreteModel:
    m = hosting.build(problem())
    storage.units_charging(m, problem().fleet)
    return only(m, "count_charging")


def with_voltages(**other) -> pyo.ConcreteModel:
    m = hosting.build(problem(**other))
    LimitRows(m, problem(**other)).all_voltage_rows()
    return only(m, "voltage_max", "voltage_min")


def with_loading() -> pyo.ConcreteModel:
    """One branch rated 50 kVA; a solution that sends 64 + j48 kVA back through it gets the tangent there."""
    given = problem(limits=Limits(loading_max_pu=1.0))
    flow = {
        "branches": ("Line.l.1",),
        "flow_base_kw": np.zeros((2, 1)),
        "flow_base_kvar": np.zeros((2, 1)),
        "dflow_p_dp": -np.ones((1, 1, 3)),
        "dflow_p_dq": np.zeros((1, 1, 3)),
        "dflow_q_dp": np.zeros((1, 1, 3)),
        "dflow_q_dq": -np.ones((1, 1, 3)),
        "rating_kva": np.array([50.0]),
    }
    given = replace(given, model=replace(given.model, **flow))
    m = hosting.build(given)
    m.pv["p.1"].set_value(0.08)
    m.q["p.1", 0].set_value(0.048)
    LimitRows(m, given).broken()
    return only(m, "loading_max")


def trusted() -> pyo.ConcreteModel:
    q_kvar, bess_kw = np.array([[5.0], [0.0]]), {"a.1": np.array([-30.0, 20.0])}
    around = TrustRegion(np.array([100.0]), q_kvar, bess_kw, pv_radius_kw=40.0, q_radius_kvar=10.0, bess_radius_kw=15.0)
    return built("bess_within", trust=around)


PROGRAMS = {
    "reactive_capability": lambda: built("q_most", "q_least"),
    "reactive_capability_without_night_var": lambda: built("q_most", "q_least", night_var=False),
    "no_reverse_flow": lambda: built("no_reverse_flow"),
    "charge_limit": lambda: built("charge_limit"),
    "discharge_limit": lambda: built("discharge_limit"),
    "status_needs_unit": lambda: built("status_needs_unit"),
    "energy_balance": lambda: built("energy_balance"),
    "energy_range": lambda: built("energy_floor", "energy_ceiling"),
    "energy_returns": lambda: built("energy_returns"),
    "number_of_units": lambda: built("number_of_units"),
    "one_status_for_all": lambda: only(hosting.build(forbidding()), "status_at_most", "status_at_least"),
    "units_charging": counted,
    "voltage_limits": with_voltages,
    "elastic": lambda: with_voltages(elastic_kw_per_pu=500.0),
    "loading": with_loading,
    "trust_region": trusted,
}


def text(name: str, folder: Path) -> str:
    """As Pyomo writes it, numbers to ten digits."""
    file = folder / f"{name}.lp"
    PROGRAMS[name]().write(str(file), io_options={"symbolic_solver_labels": True})
    return re.sub(r"\d+\.\d+(e-?\d+)?", lambda number: f"{float(number[0]):.10g}", file.read_text())


@pytest.mark.parametrize("name", PROGRAMS)
def test_lp_text(name, tmp_path):
    assert text(name, tmp_path) == (FILES / f"{name}.lp").read_text()


def test_no_file_is_left_over():
    assert {f.stem for f in FILES.glob("*.lp")} == set(PROGRAMS)


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    for each in PROGRAMS:
        content = text(each, FILES)
        (FILES / f"{each}.lp").write_text(content)
    sys.stdout.write(f"{len(PROGRAMS)} files in {FILES}\n")

"""A study folder made ready for paper 2's schemes: equivalent feeder, curves, limits, schedules, simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hcsim.cases.against_feeder import site_nodes
from hcsim.cases.config.planning import PlanningSection
from hcsim.cases.existing_devices import nodes_of, pv, station, station_kw, station_note
from hcsim.devices.inverter_curves import InverterControl
from hcsim.errors import ConfigError, ModelError
from hcsim.feeder.model import FeederModel
from hcsim.hosting.result import HostingCapacityResult
from hcsim.hosting.system_wide import hosting_capacity
from hcsim.hosting.weights import PvShares
from hcsim.replay.options import ReplayOptions
from hcsim.replay.recording import Controls
from hcsim.replay.result import ReplayResult
from hcsim.replay.run import replay
from hcsim.schedules.files import read_schedule
from hcsim.workbench.allocation import Workbench
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.node import bus_of
from optim.data.profiles import Profiles
from optim.data.schedule import BessUnit, Schedule
from optim.feeder.radial import positive_sequence
from optim.planning.case import PlanningCase, ScenarioName
from optim.planning.result import PlanningResult
from optim.solve.options import SolveOptions

Floats = NDArray[np.float64]
Sharing = Literal["as_planned", "uniform"]

SCENARIOS: tuple[ScenarioName, ...] = ("typical", "pvhc")


@dataclass(frozen=True)
class PlanningBench:
    bench: Workbench
    section: PlanningSection
    case: PlanningCase

    @classmethod
    def of(cls, bench: Workbench) -> PlanningBench:
        """Raises ConfigError (no [planning], buses that are not there, areas that overlap, sizes that admit
        nothing), ModelError (meshed feeder)."""
        section = bench.case.config.planning
        if section is None:
            raise ConfigError(
                f"{bench.case.study_file} has no section [planning].", "Paper 2's schemes need it: see README.md."
            )
        if bench.case.config.limits.bands:
            raise ConfigError(
                f"{bench.case.study_file}: paper 2's program has one voltage range a scenario, no [[limits.bands]].",
                "Take them out, and set [planning.typical] and [planning.pvhc] v_min_pu and v_max_pu.",
            )
        if bench.case.profiles.per_load:
            raise ConfigError(
                f"{bench.case.study_file}: paper 2's program lets all loads follow one curve, and some have their own.",
                'Set [profiles] loads = "file".',
            )
        _check_buses(bench, section)
        feeder = positive_sequence(bench.network)
        try:
            case = PlanningCase(
                feeder=feeder,
                profiles=bench.case.profiles,
                pv_kw={bus.lower(): kw for bus, kw in section.pv_kw.items()},
                ev_kw=station_kw(bench.case, section),
                areas=dict(section.areas),
                pvhc_buses=section.pvhc_buses,
                typical=section.typical.to_limits(),
                pvhc=section.pvhc.to_limits(),
                storage=section.storage.to_terms(),
                costs=section.costs.to_costs(),
                exactness=section.exactness,
            )
        except ModelError as error:
            raise ConfigError(f"{bench.case.study_file}, [planning]: {error.message}", error.remedy) from None
        return cls(bench, section, case)

    def options(self, gap: float | None = None, time_limit_s: float | None = None) -> SolveOptions:
        """[planning] gap and time_limit_s, with what the user asks for on top."""
        solver = self.bench.case.config.solver
        return SolveOptions(
            gap=self.section.gap if gap is None else gap,
            time_limit_s=self.section.time_limit_s if time_limit_s is None else time_limit_s,
            solver=solver.name,
            threads=solver.threads,
        )

    # -- the feeder in OpenDSS --------------------------------------------------------------------------

    @cached_property
    def day(self) -> Profiles:
        """The study's day with the charging station in it."""
        return with_station(self.bench, self.section)

    @cached_property
    def with_existing_pv(self) -> Profiles:
        """The day with the PV that is there as a given, and a flat curve for PV that is added."""
        existing = pv(self.bench.network, self.section, self.day.pv_pu)
        return replace(self.day, pv_pu=np.ones(len(self.day)), fixed=(*self.day.fixed, *existing))

    def limits(self, scenario: ScenarioName) -> Limits:
        """Eqs (25)-(26); paper 2 allows reverse flow."""
        own = self.case.limits(scenario)
        return Limits(
            v_min_pu=own.v_min_pu,
            v_max_pu=own.v_max_pu,
            substation_min_kw=None,
            loading_max_pu=None if own.i_max_a is None else 1.0,
        )

    def network(self, scenario: ScenarioName) -> Network:
        """Branches rated at the scenario's current limit where it has one."""
        own, network = self.case.limits(scenario), self.bench.network
        if own.i_max_a is None:
            return network
        return replace(network, branches=tuple(replace(b, i_rated_a=own.i_max_a) for b in network.branches))

    def model(self, scenario: ScenarioName) -> FeederModel:
        """Circuit, network, day and limits of a scenario."""
        return FeederModel(self.bench.circuit, self.network(scenario), self.day, self.limits(scenario))

    @cached_property
    def _bare(self) -> dict[tuple[ScenarioName, Controls], ReplayResult]:
        return {}

    def bare(self, scenario: ScenarioName, controls: Controls) -> ReplayResult:
        """The feeder with loads and charging station alone, run once and kept."""
        if (scenario, controls) not in self._bare:
            self._bare[scenario, controls] = self.replay(None, scenario, controls)
        return self._bare[scenario, controls]

    def replay(
        self,
        schedule: Schedule | None,
        scenario: ScenarioName,
        controls: Controls,
        *,
        base: ReplayResult | None = None,
        progress: Callable[[int, int], None] | None = None,
        inverters: InverterControl | None = None,
    ) -> ReplayResult:
        """`schedule` None is the feeder with loads and charging station alone."""
        before = base.before if base else None
        options = ReplayOptions(controls, before=before, inverters=inverters, progress=progress)
        return replay(self.model(scenario), schedule, options)

    def simulated_pvhc(
        self,
        schedule: Schedule,
        result: PlanningResult,
        sharing: Sharing,
        *,
        controls: Controls = "locked",
        progress: Callable[[int, int], None] | None = None,
    ) -> HostingCapacityResult:
        """Hosting capacity of the plan by iteration: the same dispatch, limits, existing PV and candidates.

        PV grows in the optimizer's shares, or in equal shares at all candidates.
        """
        chosen = {bus: kw for bus, kw in result.pvhc.pvhc_kw.items() if kw > 1e-3}
        if sharing == "uniform" or not chosen:
            chosen = dict.fromkeys(self.case.pvhc_buses, 1.0)
        pairs = [
            (node, kw / len(nodes))
            for bus, kw in chosen.items()
            for nodes in (nodes_of(self.bench.network, bus),)
            for node in nodes
        ]
        model = replace(self.model("pvhc"), profiles=self.with_existing_pv)
        shares = PvShares(tuple(node for node, _ in pairs), np.array([kw for _, kw in pairs]))
        options = ReplayOptions(controls, progress=progress)
        return hosting_capacity(model, shares, options, bess=schedule if schedule.bess else None)

    # -- the plan as a schedule -------------------------------------------------------------------------

    def schedule(self, result: PlanningResult, scenario: ScenarioName) -> Schedule:
        """One scenario of a scheme, every device shared equally among the phases of its bus."""
        network, case = self.bench.network, self.case
        operation = result.typical if scenario == "typical" else result.pvhc
        fixed = {bus: kw * case.profiles.pv_pu for bus, kw in case.pv_kw.items()}
        pv_nodes, pv_kw, pv_p = [], [], []
        for bus in dict.fromkeys((*case.pv_kw, *operation.pvhc_kw)):
            nodes, added = nodes_of(network, bus), operation.pvhc_kw.get(bus, 0.0)
            pv_nodes += nodes
            pv_kw += [(case.pv_kw.get(bus, 0.0) + added) / len(nodes)] * len(nodes)
            pv_p += [(fixed.get(bus, 0.0) + added * np.ones(len(case.profiles))) / len(nodes)] * len(nodes)
        units = tuple(
            BessUnit(
                f"dess_{u.bus}",
                u.bus,
                u.energy_kwh,
                u.power_kw,
                case.storage.eta_charge,
                case.storage.eta_discharge,
                case.storage.soc_min,
                case.storage.soc_max,
            )
            for u in result.plan
        )
        places = [(k, node) for k, unit in enumerate(units) for node in nodes_of(network, unit.bus)]
        share = np.array([1.0 / len(nodes_of(network, units[k].bus)) for k, _ in places])
        of = [k for k, _ in places]
        steps = len(case.profiles)
        predicted = [n for n in network.nodes if bus_of(n) in set(operation.buses)]
        column = {bus: i for i, bus in enumerate(operation.buses)}
        sources = [network.nodes[n] for n in network.source_nodes]
        return Schedule(
            case=f"planning {result.scheme} {scenario}",
            times=case.profiles.times,
            step_h=case.profiles.step_h,
            pv_nodes=tuple(pv_nodes),
            pv_kw=np.array(pv_kw, dtype=float),
            pv_p_kw=np.array(pv_p, dtype=float).reshape(len(pv_nodes), steps).T,
            pv_q_kvar=np.zeros((steps, len(pv_nodes))),
            bess=units,
            bess_nodes=tuple(node for _, node in places),
            bess_of=tuple(of),
            p_charge_kw=operation.charge_kw[:, of] * share,
            p_discharge_kw=operation.discharge_kw[:, of] * share,
            soc_kwh=operation.soc_kwh,
            predicted_nodes=tuple(predicted),
            predicted_v_pu=operation.v_pu[:, [column[bus_of(n)] for n in predicted]],
            substation_phases=tuple(sources),
            predicted_substation_kw=np.repeat(operation.substation_kw[:, None] / len(sources), len(sources), 1),
            assumptions=(*result.notes, *station_note(self.section)),
            kind="planning",
            scenario=scenario,
        )


Replayer = Callable[[Schedule | None, Controls, ReplayResult | None], ReplayResult]
"""Schedule (None: without devices), controls, what the feeder is without devices -> replay."""


def read_commanded(bench: Workbench, folder: Path) -> Schedule:
    """The schedule in a folder, checked against the case. Raises ConfigError."""
    return read_schedule(folder, network=bench.network, profiles=bench.profiles)


def replayer(bench: Workbench, commanded: Schedule, inverters: InverterControl | None = None) -> Replayer:
    """How a schedule is replayed: a planning schedule with the charging station and its scenario's limits.
    `inverters` set the PV's reactive power themselves.

    Raises ConfigError for a planning schedule of a case without [planning].
    """
    if commanded.kind != "planning":
        return lambda schedule, controls, base: bench.replay(schedule, controls, base=base, inverters=inverters)
    own = PlanningBench.of(bench)
    scenario = commanded.scenario or "typical"
    return lambda schedule, controls, base: own.replay(schedule, scenario, controls, base=base, inverters=inverters)


def model_of(bench: Workbench, commanded: Schedule) -> FeederModel:
    """What `replayer` replays a schedule on."""
    if commanded.kind != "planning":
        return bench.model
    return PlanningBench.of(bench).model(commanded.scenario or "typical")


def with_station(bench: Workbench, section: PlanningSection) -> Profiles:
    """The study's day with the charging station of [planning] ev_bus."""
    return replace(bench.case.profiles, fixed=station(bench.case, bench.network, section))


def _check_buses(bench: Workbench, section: PlanningSection) -> None:
    """Every bus that [planning] names is in the feeder. Raises ConfigError with the nearest names."""
    wanted = {f"[planning.areas] {area}": buses for area, buses in section.areas.items()}
    wanted |= {"[planning] pvhc_buses": section.pvhc_buses, "[planning.pv_kw]": tuple(section.pv_kw)}
    if section.ev_bus is not None:
        wanted["[planning] ev_bus"] = (section.ev_bus,)
    faults = []
    for key, buses in wanted.items():
        try:
            site_nodes(bench.network, tuple(b.lower() for b in buses), f"{bench.case.study_file}, {key}")
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))

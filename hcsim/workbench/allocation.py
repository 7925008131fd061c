"""A case made ready to work on: feeder compiled and read, sites found in it, programs set up.

Every command starts here, so that `optimize`, `replay`, `baseline` and `study` mean the same feeder, sites,
profiles and limits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from hcsim.cases.against_feeder import check_bands, site_nodes
from hcsim.cases.case import Case, load_case
from hcsim.cases.config.bess import BessSection
from hcsim.cases.config.pv import PvSection
from hcsim.cases.control_choice import selected
from hcsim.cases.site_caps import caps_of, spread_of
from hcsim.devices.held_controls import ALL_FREE, Selection
from hcsim.devices.inverter_curves import InverterControl
from hcsim.errors import ConfigError, FeederError
from hcsim.feeder import gate
from hcsim.feeder.gate import Gate, check_gate
from hcsim.feeder.ledger import Ledger
from hcsim.feeder.model import FeederModel
from hcsim.feeder.read import read_network
from hcsim.hosting.result import HostingCapacityResult
from hcsim.hosting.system_wide import hosting_capacity
from hcsim.hosting.weights import Weights, shares_of
from hcsim.opendss.circuit import Circuit
from hcsim.replay.operating_points import Visit, visit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.own_power import has_own_power, own_power
from hcsim.replay.recording import Controls
from hcsim.replay.result import ReplayResult
from hcsim.replay.run import replay
from hcsim.workbench.gates import DayGates, day_gates
from optim.data.limits import Limits
from optim.data.linear_model import Floats, LinearModel
from optim.data.network import Network
from optim.data.node import bus_of
from optim.data.profiles import Profiles
from optim.data.schedule import BessUnit, Schedule
from optim.hosting.problem import HostingProblem
from optim.hosting.spread import Cap, Objective, Spread
from optim.hosting.storage import Fleet
from optim.linearize import lindist3flow
from optim.solve.options import SolveOptions

DAYS_OF_YEAR = 365
Reactive = Literal["as_given", "unity"] | InverterControl
"""Of PV: what goes with the weights (the schedule's, else none), none, or the inverters' own."""


@dataclass(frozen=True)
class Workbench:
    """A case made ready to work on: feeder compiled and read, sites found in it.

    Examples
    --------
    >>> import hcsim
    >>> bench = hcsim.Workbench.open("ieee33")
    >>> len(bench.network.buses), bench.model.limits.v_max_pu
    (33, 1.05)
    """

    case: Case
    circuit: Circuit
    network: Network
    ledger: Ledger
    selection: Selection = ALL_FREE
    """Which of the feeder's controls are free to act where controls are free."""

    @classmethod
    def open(cls, case: Case | str | Path, free: Sequence[str] = (), locked: Sequence[str] = ()) -> Workbench:
        """Compiles the feeder and reads it, taps as in the file.

        Parameters
        ----------
        case : Case, str or path
            As `load_case` takes it.
        free, locked : sequence of str, optional
            Patterns of controls that act and that are held, in place of [controls].

        Returns
        -------
        Workbench

        Raises
        ------
        ConfigError
            The study folder.
        FeederError
            The feeder, with OpenDSS's message.
        ConvergenceError
            The feeder as it is cannot be solved.
        """
        case = case if isinstance(case, Case) else load_case(case)
        circuit = Circuit.compile(case.master, edits=case.config.feeder.edits)
        circuit.solve(controls=False)
        network, ledger = read_network(circuit, case.config.feeder.zone)
        case = case.timed(circuit, network).completed(network, ledger)
        check_bands(case.config, network, case.study_file)
        selection = selected(circuit, case, free, locked)
        return cls(case, circuit, network, ledger, selection)

    @cached_property
    def gate(self) -> Gate:
        """Our power flow of the network against OpenDSS, at the state in which it was read."""
        return check_gate(self.circuit, self.network, self.ledger)

    def require_gate(self, *, accept: bool = False) -> None:
        """Raises FeederError where the network is not the feeder, unless the user accepts that."""
        gate.require(self.gate, self.ledger, accept=accept)

    @cached_property
    def day_gates(self) -> DayGates:
        """Time, memory and what is added: the bare day against OpenDSS by itself, and the same again."""
        return day_gates(self.model, self.case)

    def require_days(self, *, accept: bool = False) -> None:
        """Raises FeederError where the simulated day is not OpenDSS's, unless the user accepts that."""
        if not accept and not self.day_gates.passed:
            raise FeederError(
                " ".join(self.day_gates.failures), "Look at `hcsim check`; go on all the same with --accept-gate."
            )

    @property
    def profiles(self) -> Profiles:
        """Load and sun of the case."""
        return self.case.profiles

    @cached_property
    def limits(self) -> Limits:
        """[limits] of study.toml."""
        return self.case.config.limits.to_limits()

    @cached_property
    def model(self) -> FeederModel:
        """Circuit, network, profiles and limits of the case."""
        return FeederModel(self.circuit, self.network, self.profiles, self.limits)

    @property
    def pv(self) -> PvSection:
        """[pv] of study.toml. Raises ConfigError where it is missing."""
        if self.case.config.pv is None:
            raise _missing("[pv]", self.case)
        return self.case.config.pv

    @property
    def bess(self) -> BessSection:
        """[bess] of study.toml. Raises ConfigError where it is missing."""
        if self.case.config.bess is None:
            raise _missing("[bess]", self.case)
        return self.case.config.bess

    @cached_property
    def pv_nodes(self) -> tuple[str, ...]:
        """(G,) node-phases of the candidate PV buses."""
        return site_nodes(self.network, self.pv.buses, self._where("[pv] buses"))

    @cached_property
    def caps(self) -> tuple[Cap, ...]:
        """The most that may stand at a site."""
        return caps_of(self.pv, self.network, self.pv_nodes, self._where("[pv]"))

    @cached_property
    def spread(self) -> Spread | None:
        """What is made largest instead of the sum: [program] objective."""
        where = self._where("[program] objective")
        return spread_of(self.case.config.program.objective, self.network, self.pv_nodes, self.caps, where)

    @cached_property
    def losses_max_kw(self) -> Floats | None:
        """(T,) [program] losses_max_pct in kW, controls free; None where there is no ceiling."""
        most = self.case.config.program.losses_max_pct
        if most == "off":
            return None
        bare = self.bare("free").found
        return np.maximum(most / 100.0 * bare.load_kw, bare.losses_kw)

    @property
    def cycles_per_day(self) -> float | None:
        """[bess] cycles_per_year as a share of each day; None where there is no such limit."""
        bess = self.case.config.bess
        return None if bess is None or bess.cycles_per_year == "off" else bess.cycles_per_year / DAYS_OF_YEAR

    def with_objective(self, objective: Objective) -> Workbench:
        """The same case with another objective; what is known of the feeder stays known."""
        program = self.case.config.program.model_copy(update={"objective": objective})
        config = self.case.config.model_copy(update={"program": program})
        other = replace(self, case=replace(self.case, config=config))
        known = {k: v for k, v in self.__dict__.items() if k not in {f.name for f in fields(self)} and k != "spread"}
        other.__dict__.update(known)
        return other

    def check_sites(self) -> None:
        """Finds every bus that study.toml names, so that a slip shows before an hour of work, not after."""
        _ = self.pv_nodes, self.caps, self.spread
        if self.case.config.bess:
            self.fleet("centralized")
            self.fleet("distributed")

    def fleet(self, program: str) -> Fleet | None:
        """The BESS that a program of CASES may place; None for the one without."""
        if program == "none":
            return None
        bess = self.bess
        if program == "centralized":
            return self._fleet((bess.centralized_bus,), "[bess] centralized_bus", units=1)
        circulation = "forbid" if program == "distributed_no_circulation" else "allow"
        if bess.candidate_buses:
            return self._fleet(bess.candidate_buses, "[bess] candidate_buses", bess.units, circulation)
        return self._fleet(self.pv.buses, "[pv] buses", bess.units, circulation)

    def _fleet(self, buses: tuple[str, ...], where: str, units: int, circulation: str = "allow") -> Fleet:
        """One possible unit per bus, `units` of which are placed; energy and power shared equally."""
        bess = self.bess
        nodes_of: dict[str, list[str]] = {}
        for node in site_nodes(self.network, buses, self._where(where)):
            nodes_of.setdefault(bus_of(node), []).append(node)
        possible = tuple(
            BessUnit(
                name=f"bess_{bus}",
                bus=bus,
                energy_kwh=bess.energy_kwh / units,
                power_kw=bess.power_kw / units,
                eta_charge=bess.eta_charge,
                eta_discharge=bess.eta_discharge,
                soc_min=bess.soc_min,
                soc_max=bess.soc_max,
            )
            for bus in nodes_of
        )
        return Fleet(possible, tuple(tuple(nodes) for nodes in nodes_of.values()), units, circulation)

    @cached_property
    def ports(self) -> tuple[str, ...]:
        """(D,) node-phases at which any program may put a device."""
        ports = dict.fromkeys(self.pv_nodes)
        for program in ("centralized", "distributed") if self.case.config.bess else ():
            fleet = self.fleet(program)
            ports.update(dict.fromkeys(node for _, node in fleet.converters) if fleet else {})
        return tuple(ports)

    @cached_property
    def linear_model(self) -> LinearModel:
        """Linearized once for all programs, taps as [program] taps says."""
        if self.case.config.program.linearization == "lindist3flow":
            served = self.case.config.program.base == "served"
            return self.lindist3flow(self.ports, voltage_dependent_loads=served, losses=served)
        return self.bare(self._assumed).model

    def lindist3flow(
        self, ports: tuple[str, ...], *, voltage_dependent_loads: bool, losses: bool = False
    ) -> LinearModel:
        """LinDist3Flow of the case, with what the feeder's own devices and source do in the bare run."""
        own_kva = source_v_pu = None
        if has_own_power(self.circuit):
            own_kva, source_v_pu = own_power(self.network, self.bare(self._assumed).points)
        return lindist3flow.linearize(
            self.network,
            self.profiles,
            ports,
            voltage_dependent_loads=voltage_dependent_loads,
            losses=losses,
            own_kva=own_kva,
            source_v_pu=source_v_pu,
        )

    @property
    def _assumed(self) -> Controls:
        """What the program takes controls to do."""
        return "free" if self.case.config.program.taps == "each_hour" else "locked"

    @cached_property
    def _bare(self) -> dict[Controls, Visit]:
        return {}

    def bare(self, controls: Controls, progress: Callable[[int, int], None] | None = None) -> Visit:
        """The feeder without devices, run once and kept: its replay, and where every hour came to stand."""
        if controls not in self._bare:
            ports = self.ports if self.case.config.pv else ()
            self._bare[controls] = visit(self.model, None, ports, ReplayOptions(controls, progress=progress))
        return self._bare[controls]

    def problem(self, program: str) -> HostingProblem:
        """What a program of CASES decides on: feeder, sites, batteries, limits."""
        forgiving = self.case.config.limits.existing == "forgive"
        return HostingProblem(
            model=self.linear_model,
            profiles=self.profiles,
            limits=self.limits,
            pv_nodes=self.pv_nodes,
            fleet=self.fleet(program),
            night_var=self.pv.night_var,
            already=self.bare(self._assumed).found.before if forgiving else None,
            caps=self.caps,
            losses_max_kw=self.losses_max_kw,
            cycles_per_day=self.cycles_per_day,
            spread=self.spread,
        )

    def solve_options(self, gap: float | None = None, time_limit_s: float | None = None) -> SolveOptions:
        """[solver] of study.toml, with what the user asks for on top."""
        solver = self.case.config.solver
        return SolveOptions(
            gap=solver.gap if gap is None else gap,
            time_limit_s=solver.time_limit_s if time_limit_s is None else time_limit_s,
            solver=solver.name,
            threads=solver.threads,
        )

    # -- what OpenDSS says, on this case's profiles and limits -------------------------------------------

    def replay(
        self,
        schedule: Schedule | None,
        controls: Controls,
        *,
        base: ReplayResult | None = None,
        progress: Callable[[int, int], None] | None = None,
        inverters: InverterControl | None = None,
        give_up: bool = False,
    ) -> ReplayResult:
        """`hcsim.replay.run.replay` on this case; `schedule` None is the bare feeder."""
        if schedule is None:
            return self.bare(controls, progress).found
        before = base.before if base else None
        return replay(self.model, schedule, ReplayOptions(controls, None, before, inverters, give_up, progress))

    def baseline(
        self,
        weights: Weights,
        schedule: Schedule | None = None,
        *,
        controls: Controls = "free",
        progress: Callable[[int, int], None] | None = None,
        reactive: Reactive = "as_given",
    ) -> HostingCapacityResult:
        """`hcsim.hosting.system_wide.hosting_capacity` on this case's sites, the BESS of `schedule` beside the PV.

        `reactive` takes the place of the reactive power that goes with the weights: none, or the inverters' own.
        """
        shares = shares_of(self.network, self.pv_nodes, weights, schedule, self.caps)
        if reactive != "as_given":
            shares = replace(shares, q_per_kw=None)
        inverters = reactive if isinstance(reactive, InverterControl) else None
        before = self.bare(controls).found.before
        options = ReplayOptions(controls, before=before, inverters=inverters, progress=progress)
        return hosting_capacity(self.model, shares, options, bess=schedule)

    def _where(self, key: str) -> str:
        return f"{self.case.study_file}, {key}"


def _missing(section: str, case: Case) -> ConfigError:
    return ConfigError(f"{case.study_file} has no section {section}.", "This program needs it: see README.md.")
